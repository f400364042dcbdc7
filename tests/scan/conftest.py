"""What is scanned: the overlays of staging and prod, with the pods that KubeRay would create for Ray's objects."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from rayops import kuberay, matrix
from rayops.paths import ROOT
from rayops.render import Obj
from rayops.render.sources import load
from tests.scan.scanners import Finding, scan

ENVIRONMENTS = ("staging", "prod")


@pytest.fixture(scope="session")
def findings(tmp_path_factory: pytest.TempPathFactory) -> set[Finding]:
    """All that both scanners say of these environments."""
    return scan(tmp_path_factory.mktemp("scan"), manifests())


def manifests() -> dict[str, str]:
    """A file for each overlay. What is not Ray's stays in it: a scanner looks for a network policy beside a pod."""
    folders = [folder for folder in matrix.overlays() if folder.parent.name in ENVIRONMENTS]
    assert folders
    sources = load(ROOT, [str(folder.relative_to(ROOT)) for folder in folders])
    return {
        f"{source.name.replace('/', '.')}.yaml": text(source.name, [r.obj for r in source.resources])
        for source in sources
    }


def text(name: str, objects: Sequence[Obj]) -> str:
    """The objects of an overlay as a file, with pods for Ray's."""
    ray = [obj for obj in objects if kuberay.is_ray(obj)]
    operator = kuberay.operator_of(Path(name).parent.name)
    found = [pod for answer in kuberay.ask(ray, operator=operator) for pod in answer.pods]
    for number, pod in enumerate(found):  # hosts of one replica have the same name before they run
        pod["metadata"]["name"] += f"-{number}"
    return yaml.safe_dump_all([*(obj for obj in objects if obj not in ray), *found])
