"""A copy of the chart with the packaged stand-in for its dependency, and Helm to render it."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rayops.cluster import gobuild
from rayops.paths import ROOT
from rayops.render import Obj, package_operator_chart
from rayops.versions import pin
from tests.tooling import tool

CHART = ROOT / "charts" / "kuberay-platform"


@pytest.fixture(scope="session")
def module() -> Path:
    """The source of KubeRay's operator, from the Go module cache; fetched when it is not there."""
    return gobuild.module_directory("kuberay-operator", "github.com/ray-project/kuberay/ray-operator")


@pytest.fixture(scope="session")
def helm() -> Path:
    return tool("helm")


@pytest.fixture(scope="session")
def archive(module: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package_operator_chart(module, pin("KUBERAY_VERSION"), tmp_path_factory.mktemp("packaged"))


@pytest.fixture(scope="session")
def chart(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("chart") / CHART.name
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("charts"))
    (copy / "charts").mkdir()
    shutil.copy(archive, copy / "charts")
    return copy


Helm = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def call(helm: Path) -> Helm:
    def of(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([str(helm), *map(str, arguments)], capture_output=True, text=True, check=False)

    return of


@pytest.fixture(scope="session")
def template(call: Helm, chart: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Obj]]:
    """Objects of the chart; keyword values are those of the operator's chart, files come first. Not to be changed."""
    own = tmp_path_factory.mktemp("values") / "values.yaml"
    seen: dict[str, list[Obj]] = {}

    def of(*files: Path, **values: object) -> list[Obj]:
        text = yaml.safe_dump({"kuberay-operator": values})
        key = f"{files}{text}"
        if key not in seen:
            own.write_text(text)
            seen[key] = rendered(files)
        return seen[key]

    def rendered(files: tuple[Path, ...]) -> list[Obj]:
        flags = [flag for file in [*files, own] for flag in ("--values", str(file))]
        done = call("template", "kuberay", chart, "--namespace", "kuberay-system", *flags)
        assert done.returncode == 0, done.stderr
        return [obj for obj in yaml.load_all(done.stdout, Loader=yaml.CSafeLoader) if obj]

    return of
