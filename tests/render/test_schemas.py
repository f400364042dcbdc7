"""What an overlay renders is valid by the schemas of the pinned CRDs and of the pinned Kubernetes, strictly."""

import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from rayops.cluster import gobuild
from rayops.paths import ROOT
from rayops.proc import run
from rayops.render import Obj, one
from rayops.versions import pin
from tests.render.schemas import write_core_schemas, write_crd_schemas
from tests.tooling import tool

Rendered = Callable[[Path], list[Obj]]
Check = Callable[[list[Obj]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def kubeconform() -> Path:
    return tool("kubeconform")


@pytest.fixture(scope="session")
def schemas(module: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    write_crd_schemas(module, folder)
    return folder


@pytest.fixture(scope="session")
def check(kubeconform: Path, schemas: Path) -> Check:
    """Run kubeconform over objects; it fails on a kind that has no schema."""
    location = str(schemas / "{{.Group}}" / "{{.ResourceKind}}_{{.ResourceAPIVersion}}.json")

    def over(objects: list[Obj]) -> "subprocess.CompletedProcess[str]":
        command = [str(kubeconform), "-strict", "-summary", "-schema-location", location]
        return subprocess.run(command, input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False)

    return over


def swagger() -> Path | None:
    """The API description in the source of the pinned Kubernetes, where the Go module cache has it."""
    cache = Path(run([gobuild.go(), "env", "GOMODCACHE"]).strip())
    file = cache / f"k8s.io/kubernetes@v{pin('KUBERNETES_VERSION')}" / "api/openapi-spec/swagger.json"
    return file if file.exists() else None


def test_ray_objects_are_valid(overlay: Path, rendered: Rendered, check: Check) -> None:
    ray = [obj for obj in rendered(overlay) if obj["apiVersion"].startswith("ray.io/")]
    assert ray
    done = check(ray)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "place", ["spec", "spec.rayClusterConfig", "spec.rayClusterConfig.headGroupSpec.template.spec"]
)
def test_a_misspelt_field_is_refused(place: str, rendered: Rendered, check: Check) -> None:
    service = deepcopy(one(rendered(Path("overlays/local/rag")), "RayService"))
    here = service
    for key in place.split("."):
        here = here[key]
    here["mispelt"] = True
    done = check([service])
    assert done.returncode != 0
    assert "mispelt" in done.stdout


def test_core_objects_are_valid(rendered: Rendered, check: Check, schemas: Path) -> None:
    file = swagger()
    if file is None:
        pytest.skip("the source of Kubernetes is not in the Go module cache (building the node image brings it)")
    overlays = [path.parent.relative_to(ROOT) for path in sorted((ROOT / "overlays").rglob("sizing.env"))]
    objects = [obj for overlay in overlays for obj in rendered(overlay) if "ray.io" not in obj["apiVersion"]]
    write_core_schemas(file, schemas, {(obj["apiVersion"], obj["kind"]) for obj in objects})
    done = check(objects)
    assert done.returncode == 0, done.stdout
    broken = deepcopy(objects[-1])
    broken["spec"]["mispelt"] = True
    assert check([broken]).returncode != 0
