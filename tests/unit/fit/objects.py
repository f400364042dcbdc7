"""Small objects of Ray to weigh."""

from typing import Any

Obj = dict[str, Any]


def pod(cpu: str = "1", memory: str = "2Gi", **limits: str) -> Obj:
    named = {name.replace("_", "/"): value for name, value in limits.items()}
    wanted = {"cpu": cpu, "memory": memory, **named}
    return {
        "spec": {"containers": [{"name": "ray", "image": "r/p:1", "resources": {"requests": wanted, "limits": wanted}}]}
    }


def group(name: str = "cpu", start: int = 1, most: int | None = 3, fewest: int = 1, **more: Any) -> Obj:
    found: Obj = {"groupName": name, "replicas": start, "minReplicas": fewest, "rayStartParams": {}, "template": pod()}
    if most is not None:
        found["maxReplicas"] = most
    return found | more


def cluster(*groups: Obj, **more: Any) -> Obj:
    head = {"rayStartParams": {"num-cpus": "0"}, "template": pod()}
    return {"rayVersion": "2.60.0", "headGroupSpec": head, "workerGroupSpecs": list(groups), **more}


def service(*groups: Obj, serve: str = "applications: []", strategy: Obj | None = None, **more: Any) -> Obj:
    spec = {"serveConfigV2": serve, "rayClusterConfig": cluster(*groups, **more)}
    if strategy:
        spec["upgradeStrategy"] = strategy
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "s", "namespace": "n"}, "spec": spec}
