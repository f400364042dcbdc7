"""What `rayops new` makes passes the checks untouched; the checks run in a copy of the checkout."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.new.conftest import ENVIRONMENT, PIPELINE, Checkout

pytestmark = pytest.mark.timeout(600)
TOOLS = Path(sys.executable).parent
PACKAGE = PIPELINE.replace("-", "_")


def passes(checkout: Checkout, *words: str | Path) -> None:
    done = checkout.run(*words)
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"


def pytest_passes(checkout: Checkout, *arguments: str) -> None:
    passes(checkout, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments)


def test_lint(checkout: Checkout) -> None:
    files = [*checkout.made, *checkout.changed]
    python = [name for name in files if name.endswith(".py")]
    assert len(python) > 5
    passes(checkout, TOOLS / "ruff", "format", "--check", *python)
    passes(checkout, TOOLS / "ruff", "check", *python)
    passes(checkout, TOOLS / "yamllint", "--strict", *(name for name in files if name.endswith(".yaml")))


def test_renders(checkout: Checkout) -> None:
    """Every render test that is about the new overlays, one pipeline of the new environment, or all of it together."""
    others = " and ".join(f"not {name}" for name in ("local", "dev", "staging", "prod", f"overlays/{ENVIRONMENT}"))
    names = ("test_overlays", "test_serve_config", "test_budgets", "test_rayservice", "test_environments")
    files = [f"tests/render/{name}.py" for name in names if (checkout.root / f"tests/render/{name}.py").exists()]
    pytest_passes(checkout, *files, "-k", f"{PIPELINE} or {ENVIRONMENT}/hello or ({others})")


def test_the_pipeline_answers(checkout: Checkout) -> None:
    pytest_passes(checkout, f"tests/apps/{PACKAGE}", "tests/apps/test_serve_config.py", "-k", PACKAGE)


def test_documents(checkout: Checkout) -> None:
    pytest_passes(checkout, "tests/unit/docs", "-k", "not questions")


def test_tables_are_fresh(checkout: Checkout) -> None:
    assert checkout.rayops("matrix", "--check").returncode == 0


def test_the_catalogue_of_models_has_the_new_environment(checkout: Checkout) -> None:
    done = checkout.rayops("models", "sync", "--check")
    assert done.returncode == 0, done.stderr


def test_every_environment_has_the_pipeline_and_the_new_one_all_pipelines(checkout: Checkout) -> None:
    overlays = checkout.root / "overlays"
    environments = sorted(file.parent.name for file in overlays.glob("*/kustomization.yaml"))
    assert ENVIRONMENT in environments
    for environment in environments:
        listed = yaml.safe_load((overlays / environment / "kustomization.yaml").read_text())["resources"]
        assert {PIPELINE, "hello"} <= set(listed)
        flux = overlays / environment / "delivery/flux/pipelines.yaml"
        if flux.exists():
            paths = [each["spec"]["path"] for each in yaml.safe_load_all(flux.read_text())]
            assert f"./overlays/{environment}/{PIPELINE}" in paths
    folders = [{path.name for path in (overlays / name).iterdir()} for name in ("staging", ENVIRONMENT)]
    assert folders[0] == folders[1]


def test_nothing_still_names_what_it_was_made_from(checkout: Checkout) -> None:
    for name in checkout.made:
        text = (checkout.root / name).read_text("utf-8")
        if name.startswith(f"overlays/{ENVIRONMENT}/") and not name.endswith("README.md"):
            assert not re.search(r"(?<![\w-])staging\b", text), name
        if PACKAGE in name or PIPELINE in name:
            left = [line for line in text.splitlines() if re.search(r"\bhello\b", line) and "made" not in line]
            assert not left, (name, left)


def test_digests_are_those_of_the_source_and_none_for_code_that_was_never_built(checkout: Checkout) -> None:
    for environment in ("staging", ENVIRONMENT):
        text = (checkout.root / f"overlays/{environment}/{PIPELINE}/kustomization.yaml").read_text()
        assert set(re.findall(r"sha256:\w+", text)) <= {f"sha256:{64 * '0'}"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("pipeline", "Demo"), "no name for Kubernetes"),
        (("pipeline", "1demo"), "no name for Kubernetes"),
        (("pipeline", "demo-"), "no name for Kubernetes"),
        (("pipeline", "a" * 48), "has 48 characters, KubeRay takes 47"),
        (("pipeline", "rag"), "is taken: apps/rag, overlays/"),
        (("pipeline", "images"), "means something else"),
        (("pipeline", "import"), "means something else"),
        (("env", "staging"), "is taken: overlays/staging"),
        (("env", "q a"), "no name for Kubernetes"),
        (("env", "uat", "--from", "nope"), "--from nope: no such environment → there are: "),
    ],
)
def test_a_bad_name_is_one_line_and_makes_nothing(checkout: Checkout, words: tuple[str, ...], says: str) -> None:
    done = checkout.rayops("new", *words)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert says in line
    assert checkout.files("--others", "--modified", "--exclude-standard") == ()
