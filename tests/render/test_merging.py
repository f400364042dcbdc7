"""No list is replaced by a merge patch anywhere; and the table behind that rule is Kustomize's own behaviour."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import Obj, one, render
from tests.render.merging import CONTAINER_KEYS, KEYS, PODS, faults, read

Build = Callable[..., list[Obj]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A folder with one object and some patches: inline, or as files where a name is given."""

    def of(obj: Obj, *patches: Obj, target: dict[str, Any] | None = None, files: bool = False) -> Path:
        aimed = {"target": target} if target else {}
        texts = {f"p{number}.yaml": yaml.safe_dump(patch) for number, patch in enumerate(patches)}
        for name, text in texts.items() if files else ():
            (tmp_path / name).write_text(text)
        entries = [{"path": name} if files else {"patch": text} for name, text in texts.items()]
        listed = [{**entry, **aimed} for entry in entries]
        (tmp_path / "object.yaml").write_text(yaml.safe_dump(obj))
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["object.yaml"], "patches": listed}))
        return tmp_path

    return of


def made(kind: str, place: str, value: Any, version: str = "v1") -> Obj:
    """An object of a kind with one value at a place; `containers[].env` puts it into the container `ray`."""
    inner = value
    for step in reversed(place.split(".")):
        inner = {step[:-2]: [{"name": "ray", **inner}]} if step.endswith("[]") else {step: inner}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "pipeline"}, **inner}


def test_rule_no_list_is_replaced_by_a_merge_patch() -> None:
    tree = read(ROOT / "base", ROOT / "overlays", ROOT / "apps")
    assert len(tree.patches) > 20
    assert len(tree.objects) > 40
    assert faults(tree) == []


GROUPS = "spec.workerGroupSpecs"
RAY = "ray.io/v1"
POD = "template.spec"
NULL: list[str] | None = None
BAD: dict[str, tuple[Obj, list[Obj]]] = {
    "group": (
        made("RayCluster", GROUPS, [{"groupName": "cpu"}], RAY),
        [made("RayCluster", GROUPS, [{"groupName": "gpu"}], RAY)],
    ),
    "no groups yet": (made("RayCluster", "spec.a", 1, RAY), [made("RayCluster", GROUPS, [{"groupName": "gpu"}], RAY)]),
    "port of Serve": (
        made("RayService", "spec.serveService.spec.ports", [{"name": "serve"}], RAY),
        [made("RayService", "spec.serveService.spec.ports", [{"name": "grpc"}], RAY)],
    ),
    "group taken away": (
        made("RayCluster", GROUPS, [{"groupName": "cpu"}], RAY),
        [made("RayCluster", GROUPS, NULL, RAY)],
    ),
    "tolerations": (
        made("PodTemplate", f"{POD}.tolerations", [{"key": "a"}]),
        [made("PodTemplate", f"{POD}.tolerations", [{"key": "b"}])],
    ),
    "command": (
        made("PodTemplate", f"{POD}.containers[].command", ["a"]),
        [made("PodTemplate", f"{POD}.containers[].command", ["b"])],
    ),
    "rules": (
        made("NetworkPolicy", "spec.ingress", [{"from": []}], "networking.k8s.io/v1"),
        [made("NetworkPolicy", "spec.ingress", [{"ports": []}], "networking.k8s.io/v1")],
    ),
    "two patches": (
        made("PodTemplate", f"{POD}.a", 1),
        [made("PodTemplate", f"{POD}.tolerations", [{"key": name}]) for name in ("a", "b")],
    ),
    "directive": (
        made("PodTemplate", f"{POD}.containers", [{"name": "ray"}]),
        [made("PodTemplate", f"{POD}.containers", [{"$patch": "replace"}, {"name": "x"}])],
    ),
}
GOOD: dict[str, tuple[Obj, list[Obj]]] = {
    "environment": (
        made("PodTemplate", f"{POD}.containers[].env", [{"name": "A"}]),
        [made("PodTemplate", f"{POD}.containers[].env", [{"name": name}]) for name in ("B", "C")],
    ),
    "new list": (
        made("PodTemplate", f"{POD}.containers[].image", "a"),
        [made("PodTemplate", f"{POD}.containers[].securityContext.capabilities.drop", ["ALL"])],
    ),
    "other container": (
        made("PodTemplate", f"{POD}.containers", [{"name": "side", "command": ["a"]}]),
        [made("PodTemplate", f"{POD}.containers[].command", ["b"])],
    ),
    "port": (
        made("Service", "spec.ports", [{"port": 1}]),
        [made("Service", "spec.ports", [{"port": 2}])],
    ),
    "new words in a Ray kind": (
        made("RayCluster", GROUPS, [{"groupName": "cpu"}], RAY),
        [made("RayCluster", "spec.autoscalerOptions.securityContext.capabilities.drop", ["ALL"], RAY)],
    ),
    "operations": (
        made("RayCluster", GROUPS, [{"groupName": "cpu"}], RAY),
        [[{"op": "add", "path": "/spec/workerGroupSpecs/-", "value": {"groupName": "gpu"}}]],  # type: ignore[list-item]
    ),
}


@pytest.mark.parametrize("files", [True, False], ids=["file", "inline"])
@pytest.mark.parametrize("case", BAD)
def test_a_replaced_list_is_named(case: str, files: bool, write: Callable[..., Path]) -> None:
    obj, patches = BAD[case]
    found = faults(read(write(obj, *patches, files=files)))
    assert found, case
    assert ("p0.yaml: " if files else "kustomization.yaml: ") in found[0]


@pytest.mark.parametrize("case", GOOD)
def test_a_merged_or_new_list_is_none(case: str, write: Callable[..., Path]) -> None:
    obj, patches = GOOD[case]
    assert faults(read(write(obj, *patches, target={"kind": obj["kind"]}))) == []


@pytest.mark.parametrize(
    ("target", "hit"),
    [
        ({"kind": "PodTemplate"}, True),
        ({"kind": "PodTemplate", "name": "pipe.*"}, True),
        ({"kind": "PodTemplate", "name": "pipe"}, False),
        ({"kind": "PodTemplate", "labelSelector": "a=b"}, False),
        ({"kind": "Pod"}, False),
    ],
)
def test_a_target_decides_what_a_patch_meets(target: dict[str, str], hit: bool, write: Callable[..., Path]) -> None:
    obj, patches = BAD["tolerations"]
    assert bool(faults(read(write(obj, *patches, target=target)))) is hit


def item(key: str, value: int) -> dict[str, Any]:
    """An item of a merged list: its key, and what Kubernetes wants of it besides."""
    named: Any = value if key in ("port", "containerPort") else f"x{value}"
    return {key: named, **({"whenUnsatisfiable": "ScheduleAnyway"} if key == "topologyKey" else {})}


def with_all_lists(kind: str, value: int) -> Obj:
    """An object of a kind that has every list of the table, with one item each."""
    body: dict[str, Any] = {}
    for path, key in KEYS[kind].items():
        if "[]" not in path:
            *steps, last = path.split(".")
            inner = body
            for step in steps:
                inner = inner.setdefault(step, {})
            inner[last] = [item(key, value)]
            if last in ("containers", "initContainers"):
                inner[last].append({"name": "ray", **{name: [item(by, value)] for name, by in CONTAINER_KEYS.items()}})
    versions = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1"}
    version = versions.get(kind, "batch/v1" if kind in ("Job", "CronJob") else "v1")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "pipeline"}, **body}


def sizes(node: Any) -> list[int]:
    if isinstance(node, dict):
        return [size for value in node.values() for size in sizes(value)]
    if isinstance(node, list):
        return [len(node), *(size for value in node for size in sizes(value))]
    return []


@pytest.mark.parametrize("program", ["kubectl", "kustomize"])
def test_the_table_is_what_kustomize_does(program: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two items in each list after a patch with another one: it was merged. (`ray` is in both: three containers.)"""
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump_all(with_all_lists(kind, 1) for kind in KEYS))
    patches = [{"patch": yaml.safe_dump(with_all_lists(kind, 2))} for kind in KEYS]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["objects.yaml"], "patches": patches}))
    rendered = render(tmp_path, binary=request.getfixturevalue(program))
    for kind in KEYS:
        found = sizes({name: value for name, value in one(rendered, kind).items() if name != "metadata"})
        containers = 2 if kind in PODS else 0
        assert sorted(found) == sorted([2] * (len(found) - containers) + [3] * containers), kind
        assert len(found) >= len(KEYS[kind]), kind


@pytest.mark.parametrize("program", ["kubectl", "kustomize"])
@pytest.mark.parametrize("case", ["group", "port of Serve", "tolerations", "command", "rules"])
def test_what_the_rule_forbids_does_lose_something(
    case: str, program: str, write: Callable[..., Path], request: pytest.FixtureRequest
) -> None:
    obj, patches = BAD[case]
    (rendered,) = render(write(obj, *patches), binary=request.getfixturevalue(program))
    assert rendered["kind"] == obj["kind"]
    assert obj["spec" if "spec" in obj else "template"] != rendered["spec" if "spec" in obj else "template"]
    assert max(sizes({name: value for name, value in rendered.items() if name != "metadata"})) == 1
