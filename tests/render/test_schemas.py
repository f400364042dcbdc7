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
from rayops.render import Obj, of_kind, one
from rayops.render.crds import crds, crds_of, own_group
from rayops.versions import pin
from tests.render.conftest import kustomizations
from tests.render.schemas import write_core_schemas, write_crd_schemas
from tests.tooling import tool

Rendered = Callable[[Path], list[Obj]]
Check = Callable[[list[Obj]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def kubeconform() -> Path:
    return tool("kubeconform")


@pytest.fixture(scope="session")
def everything(rendered: Rendered) -> list[Obj]:
    """What all overlays render: pipelines, environments, what is around them."""
    return [obj for overlay in kustomizations("overlays", "Kustomization") for obj in rendered(overlay)]


@pytest.fixture(scope="session")
def schemas(everything: list[Obj], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    write_crd_schemas([*crds("ray.io"), *crds_of(foreign(everything))], folder)
    if file := swagger():
        write_core_schemas(file, folder, {(obj["apiVersion"], obj["kind"]) for obj in everything})
    return folder


@pytest.fixture(scope="session")
def check(kubeconform: Path, schemas: Path) -> Check:
    """Run kubeconform over objects; it fails on a kind that has no schema."""
    location = str(schemas / "{{.Group}}" / "{{.ResourceKind}}_{{.ResourceAPIVersion}}.json")

    def over(objects: list[Obj]) -> "subprocess.CompletedProcess[str]":
        command = [str(kubeconform), "-strict", "-summary", "-schema-location", location]
        return subprocess.run(command, input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False)

    return over


def foreign(objects: list[Obj]) -> list[Obj]:
    """The objects of kinds that do not come with Kubernetes."""
    return [obj for obj in objects if not own_group(obj["apiVersion"].rpartition("/")[0])]


def swagger() -> Path | None:
    """The API description in the source of the pinned Kubernetes, where the Go module cache has it."""
    cache = Path(run([gobuild.go(), "env", "GOMODCACHE"]).strip())
    file = cache / f"k8s.io/kubernetes@v{pin('KUBERNETES_VERSION')}" / "api/openapi-spec/swagger.json"
    return file if file.exists() else None


def test_foreign_objects_are_valid(overlay: Path, rendered: Rendered, check: Check) -> None:
    """RayServices and RayJobs, and whatever else an operator or a controller must understand."""
    objects = foreign(rendered(overlay))
    if (ROOT / overlay / "sizing.env").exists():
        assert of_kind(objects, "RayService") or of_kind(objects, "RayJob")
    done = check(objects)
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


def test_a_misspelt_field_of_any_foreign_kind_is_refused(everything: list[Obj], check: Check) -> None:
    kinds = {(obj["apiVersion"], obj["kind"]): obj for obj in foreign(everything)}
    for obj in kinds.values():
        broken = deepcopy(obj)
        broken.setdefault("spec", {})["mispelt"] = True
        done = check([broken])
        assert done.returncode != 0, obj["kind"]
        assert "mispelt" in done.stdout


def test_core_objects_are_valid(everything: list[Obj], check: Check) -> None:
    if swagger() is None:
        pytest.skip("the source of Kubernetes is not in the Go module cache (building the node image brings it)")
    objects = [obj for obj in everything if own_group(obj["apiVersion"].rpartition("/")[0])]
    done = check(objects)
    assert done.returncode == 0, done.stdout
    broken = deepcopy(one(of_kind(objects, "PodDisruptionBudget")[:1], "PodDisruptionBudget"))
    broken["spec"]["mispelt"] = True
    assert check([broken]).returncode != 0
