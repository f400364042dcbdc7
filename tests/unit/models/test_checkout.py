"""The catalogue of this checkout: in date; a model comes and goes in a copy, and the pipelines take what is written."""

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.common.model_cache import WrongError, read_list
from apps.embeddings.settings import EmbeddingsArgs
from apps.gateway.settings import GatewayArgs, IngressSettings
from apps.llm.settings import LlmArgs
from rayops import paths
from rayops.cli import main
from rayops.models import places
from rayops.models.sync import CATALOGUE, LOCK, PAGE
from rayops.paths import ROOT
from rayops.render import Obj, render

FOLDERS = ("apps", "base", "overlays")
LOCAL = """\
- id: passing-guest
  kind: chat
  source: stand-in
  licence: Apache-2.0
  size_gib: 0
  pipeline: llm
  application: llm
  group: cpu
  aliases: [guest-local]
  environments: [local]
  fallback: [stand-in-small]
"""
# An adapter: no GPU of its own. Its files are pinned, so that it would be downloaded.
GPU = f"""\
- id: passing-guest-adapter
  kind: chat
  source: example/passing-guest-lora
  revision: {"e" * 40}
  licence: MIT
  size_gib: 0.1
  adapter_of: mistral-7b-instruct
  pipeline: llm
  application: llm
  group: gpu
  environments: [dev, staging, prod]
  files: [{{path: adapter.safetensors, sha256: {"d" * 64}}}]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the checkout that the registry reads or writes, as Git has them or would add them."""
    made = tmp_path_factory.mktemp("registry") / "checkout"
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *FOLDERS]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, made / name)
    return made


@pytest.fixture(scope="module")
def rendered() -> Callable[[Path], list[Obj]]:
    """Each overlay of this checkout rendered once: what the registry writes changes no worker group."""
    return cache(lambda folder: render(ROOT / folder))


@pytest.fixture
def copied(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rendered: Callable[[Path], list[Obj]]
) -> Path:
    made = Path(shutil.copytree(template, tmp_path / "checkout"))
    monkeypatch.setattr(paths, "ROOT", made)
    monkeypatch.setattr(places, "render", lambda folder: rendered(folder.relative_to(made)))
    return made


def tree(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def applications(file: Path) -> dict[str, Any]:
    return {each["name"]: each for each in yaml.safe_load(file.read_text())["applications"]}


def live(application: dict[str, Any], deployment: str) -> dict[str, Any]:
    found = [each["user_config"] for each in application["deployments"] if each["name"] == deployment]
    return dict(found[0])


def test_everything_is_in_date(capsys: pytest.CaptureFixture[str]) -> None:
    """`rayops models sync` mends it, or says what is wrong with the catalogue."""
    assert main(["models", "sync", "--check"]) == 0, capsys.readouterr().err


def test_the_pipelines_take_what_is_written() -> None:
    builders: dict[str, Any] = {
        "apps.gateway": GatewayArgs,
        "apps.llm": LlmArgs,
        "apps.embeddings": EmbeddingsArgs,
    }
    seen = set()
    for file in sorted(ROOT.glob("apps/**/serve.yaml")):
        if "# rayops models: begin" not in file.read_text():
            continue
        for application in applications(file).values():
            package = application["import_path"].partition(".app:")[0]
            builders[package].model_validate(application.get("args") or {})
            seen.add(package)
            if package == "apps.gateway":
                assert IngressSettings.model_validate(live(application, "Ingress")).routes
    assert seen == set(builders)


def test_a_model_comes_and_goes(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, catalogue = tree(copied), copied / CATALOGUE
    text = catalogue.read_text()
    catalogue.write_text(text.replace("\nsplits:\n", f"\n{LOCAL}\n{GPU}\nsplits:\n"))
    assert main(["models", "sync"]) == 0, capsys.readouterr().err
    after = tree(copied)
    changed = {name for name, content in after.items() if before.get(name) != content}
    serve = {"gateway", "gateway/gpu", "gateway/replicated", "llm", "llm/gpu", "llm/own-engine", "llm/replicated"}
    lists = {f"overlays/{environment}/llm/models.txt" for environment in ("dev", "staging", "prod")}
    assert changed == {CATALOGUE, LOCK, PAGE, *lists, *(f"apps/{name}/serve.yaml" for name in serve)}
    _is_served(copied)
    catalogue.write_text(text)
    assert main(["models", "sync"]) == 0, capsys.readouterr().err
    assert tree(copied) == before


def _is_served(root: Path) -> None:
    local = applications(root / "apps/gateway/serve.yaml")["gateway"]
    routes = {route.model: route for route in IngressSettings.model_validate(live(local, "Ingress")).routes}
    guest = routes["passing-guest"]
    assert (guest.aliases, guest.fallback) == (("guest-local",), ("stand-in-small",))
    assert str(guest.targets[0].url) == "http://llm-serve-svc.llm:8000/v1"
    args = LlmArgs.model_validate(applications(root / "apps/llm/serve.yaml")["llm"]["args"])
    assert args.names()["guest-local"] == "passing-guest"
    for variant in ("gpu", "replicated", "own-engine"):
        args = LlmArgs.model_validate(applications(root / f"apps/llm/{variant}/serve.yaml")["llm"]["args"])
        assert "passing-guest-adapter" in args.models[0].ids
    files = read_list((root / "overlays/prod/llm/models.txt").read_text())
    assert [str(file.path) for file in files] == ["passing-guest-adapter/adapter.safetensors"]
    assert files[0].url == f"https://huggingface.co/example/passing-guest-lora/resolve/{'e' * 40}/adapter.safetensors"


def test_a_job_with_nothing_pinned_says_so_and_ends() -> None:
    with pytest.raises(WrongError, match="the list of models is empty"):
        read_list((ROOT / "overlays/prod/llm/models.txt").read_text())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  group: multihost\n", "  group: gpu\n", "models[llama-70b-instruct].group: "),
        ("tensor_parallel_size: 8", "tensor_parallel_size: 16", "models[llama-70b-instruct].group: no place for it"),
        ("size_gib: 13.5", "size_gib: 23", "models[mistral-7b-instruct].group: no place for it"),
        (
            "revision: e0bc86c23ce5aae1db576c8cca6f06f1f73af2db",
            "revision: main",
            "models[mistral-7b-instruct].revision",
        ),
        ("size_gib: 131.5", "size_gib: 130.5", "models[llama-70b-instruct].size_gib: 130.5 under the same revision"),
        ("  aliases: [gpt-local]", "  aliases: [stand-in-next]", "models[stand-in].aliases[0]: "),
        ("  adapter_of: mistral", "  adapter_off: mistral", "models[mistral-7b-support].adapter_off: unknown field"),
    ],
)
def test_what_is_refused_is_one_line_and_writes_nothing(
    copied: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    catalogue = copied / CATALOGUE
    text = catalogue.read_text()
    assert text.count(old) == 1
    catalogue.write_text(text.replace(old, new))
    before = tree(copied)
    assert main(["models", "sync"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert all(line.startswith(f"{CATALOGUE}:") and " → " in line for line in err.splitlines())
    assert tree(copied) == before
