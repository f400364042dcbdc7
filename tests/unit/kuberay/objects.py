"""Small objects of each kind that KubeRay takes, to be changed by tests."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

from rayops.render import Obj

Edit = Callable[[Obj], object]


def container(name: str) -> Obj:
    resources = {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"cpu": "1", "memory": "2Gi"}}
    return {"name": name, "image": "ray:2.60.0", "resources": resources}


def group(name: str, **more: Any) -> Obj:
    template = {"spec": {"containers": [container("ray-worker")]}}
    return {"groupName": name, "replicas": 1, "minReplicas": 1, "maxReplicas": 2, "template": template} | more


def cluster_spec() -> Obj:
    return {
        "rayVersion": "2.60.0",
        "headGroupSpec": {"rayStartParams": {}, "template": {"spec": {"containers": [container("ray-head")]}}},
        "workerGroupSpecs": [group("cpu"), group("gpu")],
    }


def _object(kind: str, spec: Obj) -> Obj:
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "demo", "namespace": "team"}, "spec": spec}


def service(*edits: Edit) -> Obj:
    return _changed(_object("RayService", {"serveConfigV2": "{}", "rayClusterConfig": cluster_spec()}), edits)


def cluster(*edits: Edit) -> Obj:
    return _changed(_object("RayCluster", cluster_spec()), edits)


def job(*edits: Edit) -> Obj:
    return _changed(_object("RayJob", {"entrypoint": "python -c 1", "rayClusterSpec": cluster_spec()}), edits)


def _changed(obj: Obj, edits: Sequence[Edit]) -> Obj:
    changed = deepcopy(obj)
    for edit in edits:
        edit(changed)
    return changed


def spec_of(obj: Obj) -> Obj:
    spec: Obj = obj["spec"]
    return spec.get("rayClusterConfig") or spec.get("rayClusterSpec") or spec


def put(path: str, value: Any) -> Edit:
    """Set a field: `/metadata/name` of the object, `headGroupSpec/template` of its cluster's spec; items by index."""

    def edit(obj: Obj) -> None:
        here: Any = obj if path.startswith("/") else spec_of(obj)
        *steps, last = path.strip("/").split("/")
        for step in steps:
            here = here[int(step)] if isinstance(here, list) else here.setdefault(step, {})
        here[int(last) if isinstance(here, list) else last] = deepcopy(value)

    return edit


def drop(path: str) -> Edit:
    """Take a field away."""

    def edit(obj: Obj) -> None:
        here: Any = obj if path.startswith("/") else spec_of(obj)
        *steps, last = path.strip("/").split("/")
        for step in steps:
            here = here[int(step)] if isinstance(here, list) else here[step]
        del here[last]

    return edit
