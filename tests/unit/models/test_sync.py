"""What is written from the catalogue, what is out of date, and files that environments share."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops import paths
from rayops.cli import main
from rayops.models.join import with_environment
from rayops.models.sync import CATALOGUE, LOCK, PAGE, SCHEMA
from tests.unit.models.conftest import GATEWAY, LLM, A, B, Checkout

LISTS = ("overlays/local/llm/models.txt", "overlays/prod/llm/models.txt", "overlays/prod/llm-70b/models.txt")
EXTRA = """\
- id: extra
  kind: chat
  source: maker/Extra
  revision: eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee
  licence: MIT
  size_gib: 1.5
  files: [{path: extra.safetensors, sha256: %s}]
  pipeline: llm
  application: llm
  group: gpu
  aliases: [Extra]
  environments: [local, prod]
""" % ("d" * 64)


def config(checkout: Checkout, app: str, application: int = 0) -> Any:
    return yaml.safe_load(checkout.read(f"apps/{app}/serve.yaml"))["applications"][application]


def routes(checkout: Checkout, app: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = config(checkout, app)["deployments"][0]["user_config"]["routes"]
    return found


def test_routes(synced: Checkout) -> None:
    local = {route["model"]: route for route in routes(synced, "gateway")}
    assert list(local) == ["small", "big", "big-support", "vectors", "assistant"]
    url = "http://llm-serve-svc.llm:8000/v1"
    assert local["big"] == {
        "model": "big",
        "aliases": ["Big", "maker/Big"],
        "kind": "chat",
        "targets": [{"name": "big", "url": url, "model": "big", "weight": 1.0}],
        "timeout_s": 120,
        "first_byte_timeout_s": 10,
    }
    own = "http://127.0.0.1:8000/llm/v1"
    assert local["small"]["targets"] == [{"name": "small", "url": own, "model": "small", "weight": 1.0}]
    assert local["big-support"]["fallback"] == ["big"]
    assert local["vectors"]["kind"] == "embeddings"
    assert local["assistant"] == {
        "model": "assistant",
        "aliases": [],
        "kind": "chat",
        "targets": [
            {"name": "big", "url": url, "model": "big", "weight": 0.9},
            {"name": "small", "url": own, "model": "small", "weight": 0.1},
        ],
        "shadow": {"name": "big-support", "url": url, "model": "big-support", "share": 0.5},
        "timeout_s": 120,
        "first_byte_timeout_s": 10,
    }
    assert [route["model"] for route in routes(synced, "gateway/replicated")] == [
        "big",
        "big-support",
        "huge",
        "vectors",
    ]


def test_models_of_servers(synced: Checkout) -> None:
    cached = "/srv/model-cache/big"
    assert config(synced, "llm")["args"]["models"] == [
        {
            "id": "big",
            "source": cached,
            "kind": "chat",
            "aliases": ["Big", "maker/Big"],
            "engine_args": {"max_model_len": 8192},
            "adapters": [{"id": "big-support", "source": f"{cached}-support"}],
        }
    ]
    small = {"id": "small", "source": "stand-in", "kind": "chat", "aliases": []}
    assert config(synced, "gateway", 1)["args"]["models"] == [small]
    assert [model["id"] for model in config(synced, "llm/multi-host")["args"]["models"]] == ["huge"]
    vectors = {"name": "vectors", "folder": "vectors", "aliases": []}
    assert config(synced, "embeddings")["args"]["serve_models"] == [vectors]


def test_downloads_only_of_what_is_pinned_as_a_whole(synced: Checkout) -> None:
    lines = synced.read(LISTS[0]).splitlines()
    hub = f"https://hub.example.com/maker/Big-7B/resolve/{'c' * 40}"
    assert lines[1:3] == [
        f"{A} {hub}/config.json big/config.json",
        f"{B} {hub}/model.safetensors big/model.safetensors",
    ]
    assert lines[3].endswith(" big-support/adapter.safetensors")
    note = "# huge: not yet pinned, nothing is downloaded: 1 of 1 files"
    assert synced.read(LISTS[2]).splitlines()[1:] == [note]
    synced.model("big", f"sha256: {A}", f'sha256: "{"0" * 64}"')
    synced.edit(f"    config.json: {A}\n", "", LOCK)
    synced.plan().write()
    assert "big/" not in synced.read(LISTS[0])


def test_an_address_of_its_own(synced: Checkout) -> None:
    synced.model("big", "  licence:", "  download: https://own.example.com/big/{path}\n  licence:")
    synced.plan().write()
    assert f"{A} https://own.example.com/big/config.json big/config.json" in synced.read(LISTS[0])


def test_the_table_and_the_schema(synced: Checkout) -> None:
    page = synced.read(PAGE)
    assert page.startswith("# gateway\n\n<!-- rayops models: begin -->\n\n| model |")
    assert page.endswith("\n\n<!-- rayops models: end -->\n\nBelow.\n")
    assert "| `big` | `Big`, `maker/Big` | chat | maker/Big-7B at `cccccccccccc` | Apache-2.0 | 13.5 |" in page
    assert "maker/Huge-70B at `cccccccccccc`, 1 of 1 files not yet pinned |" in page
    assert "| `assistant` | `big` 0.9, `small` 0.1 | `big-support` 0.5 | local | - |" in page
    schema = yaml.safe_load(synced.read(SCHEMA))
    assert schema["additionalProperties"] is False
    assert set(schema["$defs"]["Model"]["required"]) >= {"id", "kind", "source", "licence", "size_gib", "environments"}


def test_a_second_sync_changes_nothing(synced: Checkout) -> None:
    before = synced.tree()
    assert synced.plan().write() == []
    assert synced.tree() == before


def test_a_model_comes_and_goes_without_a_trace(synced: Checkout) -> None:
    before, text = synced.tree(), synced.read(CATALOGUE)
    synced.write(CATALOGUE, text.replace("- id: huge\n", f"{EXTRA}- id: huge\n"))
    written = {path.relative_to(synced.root).as_posix() for path in synced.plan().write()}
    serve = {f"apps/{name}/serve.yaml" for name in ("gateway", "gateway/replicated", "llm")}
    assert written == {*serve, LISTS[0], LISTS[1], LOCK, PAGE}
    assert all("extra" in synced.read(name) for name in written)
    synced.write(CATALOGUE, text)
    synced.plan().write()
    assert synced.tree() == before


def test_nothing_is_written_while_anything_is_wrong(synced: Checkout) -> None:
    synced.model("small", "  size_gib: 0", "  size_gib: -1")
    assert synced.plan().texts == {}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("apps/gateway/serve.yaml", "weight: 0.9}", "weight: 0.5}"),
        ("apps/llm/serve.yaml", "max_model_len: 8192", "max_model_len: 1"),
        ("apps/embeddings/serve.yaml", "- name: vectors", "- name: other"),
        (LISTS[0], f"{B} ", f"{A} "),
        (PAGE, "| 13.5 |", "| 7 |"),
        (SCHEMA, '"additionalProperties": false,\n      "description": "One file', '"description": "One file'),
    ],
)
def test_a_file_that_is_out_of_date(synced: Checkout, name: str, old: str, new: str) -> None:
    assert synced.plan().stale() == []
    line = synced.read(name).partition(old)[0].count("\n") + 1
    synced.edit(old, new, name)
    assert [str(fault) for fault in synced.plan().stale()] == [
        f"{name}:{line}: is not what {CATALOGUE} says → rayops models sync"
    ]


def test_a_file_that_is_missing(synced: Checkout) -> None:
    (synced.root / LISTS[1]).unlink()
    assert [fault.file for fault in synced.plan().stale()] == [LISTS[1]]


def test_a_file_that_two_environments_share(synced: Checkout) -> None:
    synced.model("big-support", "  environments: [local, prod]", "  environments: [prod] # here")
    synced.edit("  shadow: {model: big-support, share: 0.5}\n", "")
    said = "apps/llm/serve.yaml runs in local and prod, this is only in prod"
    fix = "the same environments for it, or a serve.yaml of its own for one of them"
    line = synced.line("# here")
    assert synced.faults() == [f"{CATALOGUE}:{line}: models[big-support].environments: {said} → {fix}"]
    synced.overlay("local", "llm", "llm/local", "../../../base/components/model-cache")
    synced.write("apps/llm/local/serve.yaml", LLM)
    assert synced.faults() == []


def test_a_shared_file_whose_addresses_differ(synced: Checkout) -> None:
    synced.overlay("prod", "gateway", "gateway")
    synced.model("small", "[local]", "[local, prod]")
    synced.edit("environments: [local]\n  weights", "environments: [local, prod]\n  weights")
    synced.model("huge", "  environments: [prod]", "  environments: [prod]\n  timeout_s: 9")
    faults = synced.faults()
    assert any("apps/gateway/serve.yaml runs in local and prod, this is only in prod" in fault for fault in faults)
    service = synced.read("overlays/prod/llm/rayservice.yaml").replace("namespace: llm", "namespace: other")
    synced.write("overlays/prod/llm/rayservice.yaml", service)
    synced.write(CATALOGUE, synced.read(CATALOGUE).partition("- id: huge")[0])
    said = "apps/gateway/serve.yaml:1: apps/gateway/serve.yaml runs in local and prod, whose addresses of models differ"
    assert [fault.partition(" → ")[0] for fault in synced.faults() if "gateway/serve" in fault] == [said]


def test_a_serve_file_that_no_overlay_runs(synced: Checkout) -> None:
    name = "apps/llm/own/serve.yaml"
    synced.write(name, LLM)
    fix = f"`{name}: {{environment: …}}` in variants of {CATALOGUE}"
    assert synced.faults() == [f"{name}:1: no overlay runs it → {fix}"]
    synced.edit("\nmodels:\n", f"\nvariants: {{{name}: {{environment: prod}}}}\nmodels:\n")
    assert synced.faults() == []
    synced.plan().write()
    assert config(synced, "llm/own") == config(synced, "llm")
    synced.edit("{environment: prod}", "{environment: prod, models: []}")
    synced.plan().write()
    assert config(synced, "llm/own")["args"]["models"] == []


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("apps/llm/none/serve.yaml: {environment: prod}", "there is no such file → take it out"),
        ("apps/llm/serve.yaml: {environment: prod}", "overlays/local/llm runs it → take it out"),
        (
            "apps/llm/own/serve.yaml: {environment: moon}",
            "environment: there is no overlays/moon/llm → an environment that has it",
        ),
        (
            "apps/llm/own/serve.yaml: {environment: prod, models: [big, small]}",
            "models[1]: small is no model of overlays/prod/llm → one of: big, big-support",
        ),
        ("apps/llm/own/serve.yaml: {environment: prod, modles: []}", "modles: unknown field → did you mean models?"),
    ],
)
def test_variants_that_are_none(synced: Checkout, variant: str, said: str) -> None:
    if "own" in variant:
        synced.write("apps/llm/own/serve.yaml", LLM)
    synced.edit("\nmodels:\n", f"\nvariants: {{{variant}}}\nmodels:\n")
    place = f"variants.{variant.partition(':')[0]}"
    faults = [fault for fault in synced.faults() if "variants of" not in fault]
    assert [fault.replace(f"{place}.", f"{place}: ") for fault in faults] == [
        f"{CATALOGUE}:{synced.line('variants:')}: {place}: {said}"
    ]


def test_an_application_without_a_place_for_its_models(synced: Checkout) -> None:
    bare = LLM.replace("    # rayops models: begin\n    # rayops models: end\n", "")
    synced.write("apps/llm/serve.yaml", bare)
    synced.write("apps/gateway/replicated/serve.yaml", GATEWAY.replace("# rayops models:", "# models:"))
    whats = [fault.partition(" → ")[0] for fault in synced.faults()]
    says = f"has no place for what {CATALOGUE} says"
    assert whats == [
        f"apps/gateway/replicated/serve.yaml:1: application gateway {says}",
        f"apps/llm/serve.yaml:1: application llm {says}",
    ]


def test_markers_in_an_application_that_takes_no_models(synced: Checkout) -> None:
    text = LLM.replace("apps.llm.app", "apps.hello.app").replace("name: llm", "name: hello")
    synced.write("apps/hello/serve.yaml", text)
    synced.write("overlays/local/hello/kustomization.yaml", "resources: [../../../apps/hello]\n")
    synced.write("overlays/local/hello/sizing.env", "a=1\n")
    assert [fault.partition(" → ")[0] for fault in synced.faults()] == [
        "apps/hello/serve.yaml:6: application hello (apps.hello.app:build_app) takes no models"
    ]


def test_a_page_without_a_place_for_the_table(synced: Checkout) -> None:
    synced.write(PAGE, "# gateway\n")
    assert [fault.partition(" → ")[0] for fault in synced.faults()] == [f"{PAGE}:1: has no place for the table"]


def test_the_command(checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(paths, "ROOT", checkout.root)
    note = "note: huge: not yet pinned: 1 of 1 files; no download line in prod\n"
    assert main(["models", "sync", "--check"]) == 1
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 11
    assert all(line.endswith(f"is not what {CATALOGUE} says → rayops models sync") for line in err.splitlines())
    assert out == ""
    assert main(["models", "sync"]) == 0
    assert capsys.readouterr().out.endswith(f"~ {PAGE}\n{note}")
    assert main(["models", "sync", "--check"]) == 0
    assert capsys.readouterr() == (note, "")
    assert main(["models", "list"]) == 0
    assert capsys.readouterr().out.startswith("| model |")
    checkout.edit("weights: {big: 0.9", "weights: {big: 0.8")
    checkout.model("small", "  group: cpu", "  grop: cpu")
    before = checkout.tree()
    for arguments in (["sync"], ["sync", "--check"], ["list"]):
        assert main(["models", *arguments]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert len(err.splitlines()) == 3
        assert all(line.startswith(f"{CATALOGUE}:") for line in err.splitlines())
    assert checkout.tree() == before
    assert isinstance(paths.ROOT, Path)


def test_an_environment_that_is_made_from_another_has_its_models(synced: Checkout) -> None:
    block = "  environments:\n  - local\n  - prod # and this stays\n"
    synced.model("big", "  environments: [local, prod]\n", block)
    text = with_environment(synced.read(CATALOGUE), "prod", "qa")
    before, after = yaml.safe_load(synced.read(CATALOGUE)), yaml.safe_load(text)
    for old, new in zip(before["models"], after["models"], strict=True):
        assert new["environments"] == [*old["environments"], *(["qa"] if "prod" in old["environments"] else [])]
    assert after["models"][-1]["group"] == {"local": "cpu", "prod": "gpu", "qa": "gpu"}
    assert after["splits"] == before["splits"]
    assert "# and this stays" in text
    assert with_environment(text, "moon", "other") == text


@pytest.mark.parametrize(("name", "fits"), [("big", True), ("bigger", False)])
def test_a_deployment_of_a_model_that_is_gone(synced: Checkout, name: str, fits: bool) -> None:
    synced.write(
        "apps/llm/serve.yaml", f"{synced.read('apps/llm/serve.yaml')}  deployments:\n  - name: LLMServer:{name}\n"
    )
    line = len(synced.read("apps/llm/serve.yaml").splitlines())
    what = f"the deployment of a model that {CATALOGUE} has not: bigger"
    fault = f"apps/llm/serve.yaml:{line}: {what} → take the deployment out"
    assert synced.faults() == ([] if fits else [fault])
