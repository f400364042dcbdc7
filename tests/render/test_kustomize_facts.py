"""Facts of Kustomize that our layout rests on, with the rules that follow from them.

The numbers are those of base/decisions: a fact that changes with a new version shows here, not in production.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, one, render

Compose = Callable[..., Path]
Build = Callable[..., list[Obj]]

CLUSTER = """
apiVersion: ray.io/v1
kind: RayCluster
metadata: {name: pipeline}
spec:
  workerGroupSpecs:
  - {groupName: cpu, maxReplicas: 1, template: {spec: {containers: [{name: ray-worker, image: pipeline}]}}}
  - {groupName: gpu, maxReplicas: 0, template: {spec: {containers: [{name: ray-worker, image: pipeline-gpu}]}}}
"""
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {template: {spec: {containers: [{name: web, image: web}, {name: side, image: side}]}}}
"""


@pytest.fixture(params=["kubectl", "kustomize"])
def build(request: pytest.FixtureRequest, tmp_path: Path) -> Build:
    """Render files of a fresh folder with either program: build(kustomization, **{"file.yaml": text})."""
    binary: Path = request.getfixturevalue(request.param)

    def of(kustomization: dict[str, Any], files: dict[str, str]) -> list[Obj]:
        for name, text in {**files, "kustomization.yaml": yaml.safe_dump(kustomization)}.items():
            (tmp_path / name).write_text(text)
        return render(tmp_path, binary=binary)

    return of


def groups(objects: list[Obj]) -> list[tuple[str, int | None]]:
    cluster = one(objects, "RayCluster")
    return [(group["groupName"], group.get("maxReplicas")) for group in cluster["spec"]["workerGroupSpecs"]]


def merge_patch(*names: str) -> str:
    listed = [{"groupName": name, "maxReplicas": 5} for name in names]
    meta = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "pipeline"}}
    return yaml.safe_dump({**meta, "spec": {"workerGroupSpecs": listed}})


def test_k1_merging_a_group_deletes_the_others(build: Build) -> None:
    objects = build(
        {"resources": ["c.yaml"], "patches": [{"path": "p.yaml"}]}, {"c.yaml": CLUSTER, "p.yaml": merge_patch("gpu")}
    )
    assert groups(objects) == [("gpu", 5)]


def schema_of_ray_only() -> str:
    lists = {"x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "groupName", "type": "array"}
    spec = {"type": "object", "properties": {"workerGroupSpecs": {**lists, "items": {"type": "object"}}}}
    kind = [{"group": "ray.io", "kind": "RayCluster", "version": "v1"}]
    cluster = {"type": "object", "properties": {"spec": spec}, "x-kubernetes-group-version-kind": kind}
    return yaml.safe_dump({"definitions": {"io.ray.v1.RayCluster": cluster}})


def test_k3_a_schema_of_our_own_breaks_deployments(build: Build) -> None:
    patch = DEPLOYMENT.replace("{name: web, image: web}, {name: side, image: side}", "{name: web, tty: true}")
    kustomization = {"resources": ["d.yaml"], "patches": [{"path": "p.yaml"}]}
    files = {"d.yaml": DEPLOYMENT, "p.yaml": patch, "s.yaml": schema_of_ray_only()}
    whole = one(build(kustomization, files), "Deployment")["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in whole] == ["web", "side"]
    broken = one(build({**kustomization, "openapi": {"path": "s.yaml"}}, files), "Deployment")
    assert broken["spec"]["template"]["spec"]["containers"] == [{"name": "web", "tty": True}]


def test_k6_a_keyed_merge_moves_the_touched_group_to_the_front(build: Build) -> None:
    files = {"c.yaml": CLUSTER, "p.yaml": merge_patch("gpu"), "s.yaml": schema_of_ray_only()}
    kustomization = {"resources": ["c.yaml"], "patches": [{"path": "p.yaml"}], "openapi": {"path": "s.yaml"}}
    assert groups(build(kustomization, files)) == [("gpu", 5), ("cpu", 1)]


def sized(field: str) -> dict[str, Any]:
    target = {"select": {"kind": "RayCluster"}, "fieldPaths": [field]}
    source = {"kind": "ConfigMap", "name": "sizing", "fieldPath": "data.gpuMax"}
    sizing = {"name": "sizing", "literals": ["gpuMax=7"], "options": {"disableNameSuffixHash": True}}
    return {
        "resources": ["c.yaml"],
        "configMapGenerator": [sizing],
        "replacements": [{"source": source, "targets": [target]}],
    }


def test_k7_a_number_lands_by_group_name_and_stays_a_number(build: Build) -> None:
    objects = build(sized("spec.workerGroupSpecs.[groupName=gpu].maxReplicas"), {"c.yaml": CLUSTER})
    assert groups(objects) == [("cpu", 1), ("gpu", 7)]


@pytest.mark.parametrize("field", ["[groupName=tpu].maxReplicas", "[groupName=gpu].most"])
def test_k7_a_missing_group_or_field_fails_the_build(build: Build, field: str) -> None:
    with pytest.raises(RayopsError, match=field.replace("[", r"\[").replace("]", r"\]")):
        build(sized(f"spec.workerGroupSpecs.{field}"), {"c.yaml": CLUSTER})


def test_k12_a_test_operation_guards_an_index(build: Build) -> None:
    patch = [
        {"op": "test", "path": "/spec/workerGroupSpecs/0/groupName", "value": "gpu"},
        {"op": "replace", "path": "/spec/workerGroupSpecs/0/maxReplicas", "value": 9},
    ]
    patches = [{"target": {"kind": "RayCluster"}, "path": "p.yaml"}]
    with pytest.raises(RayopsError, match="workerGroupSpecs/0/groupName"):
        build({"resources": ["c.yaml"], "patches": patches}, {"c.yaml": CLUSTER, "p.yaml": yaml.safe_dump(patch)})


def test_k13_a_group_appended_twice_is_there_twice(build: Build) -> None:
    append = yaml.safe_dump([{"op": "add", "path": "/spec/workerGroupSpecs/-", "value": {"groupName": "new"}}])
    patches = [{"target": {"kind": "RayCluster"}, "path": name} for name in ("p.yaml", "q.yaml")]
    files = {"c.yaml": CLUSTER, "p.yaml": append, "q.yaml": append}
    assert groups(build({"resources": ["c.yaml"], "patches": patches}, files))[2:] == [("new", None), ("new", None)]


def test_k14_a_component_after_the_last_one_does_nothing(compose: Compose, kustomize: Path) -> None:
    """The reason why a test wants base/rayservice last."""
    plain = render(compose("base/rayservice"), binary=kustomize)
    late = render(compose("base/rayservice", "base/components/high-throughput"), binary=kustomize)
    early = render(compose("base/components/high-throughput", "base/rayservice"), binary=kustomize)
    assert late == plain
    assert early != plain


def test_an_appended_group_gets_what_every_worker_has(compose: Compose, kustomize: Path, tmp_path: Path) -> None:
    """The pod template reaches groups that a component appends; this is what makes one patch enough."""
    extra = tmp_path / "extra"
    extra.mkdir()
    image = {"image": "pipeline", "resources": {}}
    spec = {
        "initContainers": [{"name": "wait-gcs", "command": [], **image}],
        "containers": [{"name": "ray-worker", **image}],
    }
    group = {"groupName": "big", "minReplicas": 0, "maxReplicas": 1, "template": {"metadata": {}, "spec": spec}}
    append = [{"op": "add", "path": "/spec/workerGroupSpecs/-", "value": group}]
    (extra / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1alpha1",
                "kind": "Component",
                "patches": [{"target": {"kind": "RayCluster"}, "patch": yaml.safe_dump(append)}],
            }
        )
    )
    chosen = [extra, "base/components/pod-security", "base/components/high-throughput", "base/rayservice"]
    service = one(render(compose(*chosen), binary=kustomize), "RayService")
    cpu, _, big = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    ours, theirs = (each["template"]["spec"] for each in (big, cpu))
    assert big["groupName"] == "big"
    assert ours["containers"][0]["env"] == theirs["containers"][0]["env"]
    assert ours["securityContext"] == theirs["securityContext"]
    assert ours["initContainers"][0]["command"] == theirs["initContainers"][0]["command"]


def yaml_files(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.yaml"))]


def test_rule_no_schema_of_our_own() -> None:
    for file in yaml_files("base", "overlays", "apps"):
        if file.name == "kustomization.yaml":
            assert "openapi" not in yaml.safe_load(file.read_text()), f"{file}: see K3"


def test_rule_patches_of_groups_append_or_test_first() -> None:
    for file in yaml_files("base", "overlays"):
        if file.parent.name != "patches":
            continue
        patch = yaml.safe_load(file.read_text())
        if isinstance(patch, dict):
            assert "workerGroupSpecs" not in patch.get("spec", {}), f"{file}: see K1"
            continue
        tested = {entry["path"].split("/")[3] for entry in patch if entry["op"] == "test"}
        for entry in patch:
            if entry["path"].startswith("/spec/workerGroupSpecs/"):
                assert entry["path"].split("/")[3] in {"-", *tested}, f"{file}: see K12"
