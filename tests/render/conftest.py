"""What the render tests share: the tools, overlays and components found by looking, and a way to compose one's own."""

import functools
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.cluster import gobuild, tools
from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, components_of, render

LITERALS = ["pipeline=rag", "environment=local", "grpcNodePort=30092", "entrypoint=true"]
HIDDEN = {"disableNameSuffixHash": True, "annotations": {"config.kubernetes.io/local-config": "true"}}
# Components of a whole environment, not of one pipeline: overlays/<env>/platform has them.
PLATFORM = {"base/platform/gateway", "base/policies", "base/policies/warn"}
KUBERAY_MODULE = "github.com/ray-project/kuberay/ray-operator"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/render/golden from what renders now")


def kustomizations(below: str, kind: str) -> list[Path]:
    """Folders below one of the repository's, relative to its root, whose kustomization is of a kind."""
    files = sorted((ROOT / below).rglob("kustomization.yaml"))
    return [file.parent.relative_to(ROOT) for file in files if load(file).get("kind", "Kustomization") == kind]


def is_job(overlay: Path) -> bool:
    """Whether an overlay ends in a RayJob."""
    return any(
        str(entry).endswith("base/rayjob") for entry in load(ROOT / overlay / "kustomization.yaml")["components"]
    )


@functools.cache
def load(file: Path) -> dict[str, Any]:
    """A YAML file, read once: test generation asks for each of them hundreds of times. Not to be changed."""
    loaded: dict[str, Any] = yaml.safe_load(file.read_text())
    return loaded


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`overlay`, `component`: every one. `pipeline`, `job`: overlays of one RayService or RayJob. By discovery."""
    overlays = kustomizations("overlays", "Kustomization")
    single = [overlay for overlay in overlays if (ROOT / overlay / "sizing.env").exists()]
    found = {
        "overlay": overlays,
        "pipeline": [overlay for overlay in single if not is_job(overlay)],
        "job": [overlay for overlay in single if is_job(overlay)],
        "component": kustomizations("base", "Component"),
        "environment": [overlay for overlay in overlays if len(overlay.parts) == 2],
    }
    for name, values in found.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values, ids=str)


@pytest.fixture(scope="session")
def kustomize() -> Path:
    """The standalone kustomize, of the pinned version where rayops can find it."""
    try:
        return tools.path("kustomize")
    except RayopsError:
        found = shutil.which("kustomize")
        if found is None:
            raise
        return Path(found)


@pytest.fixture(scope="session")
def kubectl() -> Path:
    found = shutil.which("kubectl")
    assert found, "kubectl is not on PATH"
    return Path(found)


@pytest.fixture(scope="session")
def rendered(kustomize: Path) -> Callable[[Path], list[Obj]]:
    """The objects of an overlay, rendered once a session. Not to be changed by a test."""
    seen: dict[Path, list[Obj]] = {}

    def of(overlay: Path) -> list[Obj]:
        if overlay not in seen:
            seen[overlay] = render(ROOT / overlay, binary=kustomize)
        return seen[overlay]

    return of


@pytest.fixture(scope="session")
def pipelines_of() -> Callable[[Path], list[Path]]:
    """The overlays of an environment that are one pipeline; a job is applied by itself, not with its environment."""

    def of(environment: Path) -> list[Path]:
        parts = [folder for folder in sorted((ROOT / environment).iterdir()) if (folder / "sizing.env").exists()]
        return [part.relative_to(ROOT) for part in parts if not is_job(part.relative_to(ROOT))]

    return of


@pytest.fixture
def service(pipeline: Path, rendered: Callable[[Path], list[Obj]]) -> Obj:
    """The RayService of a pipeline's overlay."""
    found = [obj for obj in rendered(pipeline) if obj["kind"] == "RayService"]
    assert len(found) == 1
    return found[0]


@pytest.fixture(scope="session")
def module() -> Path:
    """The source of KubeRay's operator, from the Go module cache; fetched when it is not there."""
    return gobuild.module_directory("kuberay-operator", KUBERAY_MODULE)


def example_numbers(components: Iterable[Path | str]) -> list[str]:
    """The lines of the components' sizing.example.env: numbers that only a pipeline which takes them has."""
    files = [ROOT / component / "sizing.example.env" for component in components]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return [line for line in lines if "=" in line and not line.startswith("#")]


def literals(lines: Iterable[str]) -> list[str]:
    """Each name once, with the last of its values."""
    return list({line.partition("=")[0]: line for line in lines}.values())


def example_files(components: Iterable[Path | str], folder: Path) -> list[dict[str, Any]]:
    """A hidden ConfigMap for each NAME.example.txt of a component, as an overlay gives it NAME.txt."""
    made = []
    for example in [file for component in components for file in sorted((ROOT / component).glob("*.example.txt"))]:
        name = example.name.removesuffix(".example.txt")
        shutil.copy(example, folder / f"{name}.txt")
        made.append({"name": name, "files": [f"{name}.txt"], "options": HIDDEN})
    return made


@pytest.fixture
def compose(tmp_path: Path) -> Callable[..., Path]:
    """Write an overlay of the repository's own parts into a fresh folder: the local RAG numbers, any components.

    `numbers`: literals of `sizing` besides, or in place of, those that a component gives as an example (`name=value`).
    """

    def write(*components: Path | str, extra: str = "", numbers: Sequence[str] = ()) -> Path:
        def at(path: Path | str) -> str:
            return os.path.relpath(ROOT / path, tmp_path)

        shutil.copy(ROOT / "overlays/local/rag/sizing.env", tmp_path / "sizing.env")
        profiles = [part for part in components if "profiles" in Path(part).parts]
        # A profile brings namespace and cluster along.
        resources = ["apps/rag"] if profiles else ["base/platform/namespace", "base/raycluster", "apps/rag"]
        asking = [*components, *(part for profile in profiles for part in components_of(ROOT / profile))]
        overlay = {
            "resources": [at(resource) for resource in resources],
            "components": [at(component) for component in components],
            "namespace": "rag",
            "configMapGenerator": [
                {
                    "name": "sizing",
                    "envs": ["sizing.env"],
                    "literals": literals([*LITERALS, *example_numbers(asking), *numbers]),
                    "options": HIDDEN,
                },
                *example_files(components, tmp_path),
            ],
        }
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay) + extra)
        return tmp_path

    return write
