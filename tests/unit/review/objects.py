"""Small objects to change, and a way to change a field of one."""

import copy
from typing import Any

import yaml

Obj = dict[str, Any]

SERVE = """
applications:
- name: rag
  route_prefix: /
  import_path: apps.rag.app:build_app
  args: {store: lancedb}
  deployments:
  - {name: Ingress, num_replicas: 2, max_ongoing_requests: 256, ray_actor_options: {num_cpus: 0.1}, user_config: {a: 1}}
  - {name: Retriever, autoscaling_config: {min_replicas: 1, max_replicas: 4}, ray_actor_options: {num_cpus: 0.5}}
"""


def pod(image: str = "r/pipeline:1", cpu: str = "1", **limits: str) -> Obj:
    container = {
        "name": "ray",
        "image": image,
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
        "resources": {"requests": {"cpu": cpu, "memory": "2Gi"}, "limits": {"memory": "2Gi", **limits}},
    }
    return {"metadata": {"labels": {"environment": "dev"}}, "spec": {"containers": [container]}}


def group(name: str, most: int, **limits: str) -> Obj:
    return {
        "groupName": name,
        "replicas": 1,
        "minReplicas": 1,
        "maxReplicas": most,
        "rayStartParams": {"num-cpus": "2"},
        "template": pod(cpu="2", **limits),
    }


def cluster_spec() -> Obj:
    groups = [group("cpu", 3), group("gpu", 2, **{"nvidia.com/gpu": "1"})]
    return {
        "rayVersion": "2.60.0",
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": pod()},
        "workerGroupSpecs": groups,
    }


def service() -> Obj:
    spec = {
        "serveConfigV2": SERVE,
        "rayClusterConfig": cluster_spec(),
        "serveService": {"spec": {"type": "ClusterIP", "ports": [{"name": "serve", "port": 8000}]}},
        "excludeHeadPodFromServeSvc": True,
        "rayClusterDeletionDelaySeconds": 30,
        "upgradeStrategy": {"type": "NewCluster"},
    }
    return _object("RayService", spec)


def cluster() -> Obj:
    return _object("RayCluster", cluster_spec())


def job() -> Obj:
    return _object("RayJob", {"entrypoint": "python x.py", "backoffLimit": 1, "rayClusterSpec": cluster_spec()})


def _object(kind: str, spec: Obj) -> Obj:
    meta = {"name": "rag", "namespace": "rag", "labels": {"a": "1"}}
    return {"apiVersion": "ray.io/v1", "kind": kind, "metadata": meta, "spec": spec}


def edited(obj: Obj, path: str, value: Any) -> Obj:
    """A copy with another value at a path such as `spec rayClusterConfig workerGroupSpecs 0 maxReplicas`.

    A path through `serveConfigV2` changes the config inside that text.
    """
    changed = copy.deepcopy(obj)
    words = path.split()
    if "serveConfigV2" in words[:-1]:
        config = yaml.safe_load(changed["spec"]["serveConfigV2"])
        _set(config, words[2:], value)
        changed["spec"]["serveConfigV2"] = yaml.safe_dump(config)
    else:
        _set(changed, words, value)
    return changed


def _set(place: Any, words: list[str], value: Any) -> None:
    for word in words[:-1]:
        place = place[int(word)] if isinstance(place, list) else place.setdefault(word, {})
    if isinstance(place, list):
        place[int(words[-1])] = value
    else:
        place[words[-1]] = value
