"""A RayCluster's spec read once: its head and groups, and how many pods KubeRay makes of each."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rayops.errors import RayopsError
from rayops.render import Obj, name_of

HEAD = "head"
CLUSTER_KINDS = ("RayService", "RayCluster", "RayJob", "RayCronJob")


@dataclass(frozen=True)
class Group:
    """The head or a worker group. fewest, start, most: replicas, of `hosts` pods each; most: inf where none is set."""

    name: str
    spec: Mapping[str, Any]
    hosts: int
    fewest: int
    start: int
    most: float

    @property
    def pod(self) -> Mapping[str, Any]:
        """The pod spec of its template."""
        found: Mapping[str, Any] = (self.spec.get("template") or {}).get("spec") or {}
        return found

    @property
    def bounded(self) -> bool:
        """Whether anything limits its replicas."""
        return math.isfinite(self.most)


def cluster_spec(obj: Obj) -> Obj | None:
    """The RayCluster's spec inside an object of Ray; None where it makes no cluster (a RayJob with clusterSelector)."""
    kind, spec = obj.get("kind"), obj.get("spec") or {}
    if kind == "RayCronJob":
        spec = spec.get("jobTemplate") or {}
    if kind == "RayCluster":
        found: Obj | None = spec
    else:
        found = spec.get("rayClusterConfig") if kind == "RayService" else spec.get("rayClusterSpec")
    if found is not None and not isinstance(found, dict):
        raise RayopsError(f"{name_of(obj)}: the spec of its cluster is no mapping")
    return found


def groups_of(cluster: Mapping[str, Any]) -> Iterator[Group]:
    """The head, then the worker groups in order.

    Replicas as KubeRay counts them (utils/util.go, GetWorkerGroupDesiredReplicas): `replicas` within minReplicas and
    maxReplicas, none where the group is suspended. RayopsError where a number is none.
    """
    yield Group(HEAD, cluster.get("headGroupSpec") or {}, 1, 1, 1, 1)
    for spec in cluster.get("workerGroupSpecs") or []:
        name = str(spec.get("groupName") or "?")
        fewest = _number(spec, "minReplicas", name, 0)
        most: float = math.inf if spec.get("maxReplicas") is None else _number(spec, "maxReplicas", name, 0)
        start = fewest if (wanted := _number(spec, "replicas", name, 0)) < fewest else int(min(wanted, most))
        hosts = max(_number(spec, "numOfHosts", name, 1), 1)
        if spec.get("suspend"):
            yield Group(name, spec, hosts, 0, 0, 0)
        else:
            yield Group(name, spec, hosts, fewest, start, max(most, fewest))


def autoscales(cluster: Mapping[str, Any]) -> bool:
    """Whether Ray's autoscaler runs beside the head and changes the groups' replicas."""
    return bool(cluster.get("enableInTreeAutoscaling"))


def _number(spec: Mapping[str, Any], field: str, group: str, default: int) -> int:
    value = spec.get(field)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RayopsError(f"worker group {group}: {field}: {value!r} is no whole number", hint="0 or more, no quotes")
    return value
