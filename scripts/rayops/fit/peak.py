"""Does the peak of an upgrade fit: the namespace's quota, and the nodes that there may be at most.

Beside the pods of Ray's objects, a quota also counts what else the namespace runs: the pods of Deployments,
StatefulSets and Jobs in the same render, and volume claims. Both clusters of an upgrade are there at once
(`rayops.fit.capacity`, surge).
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rayops.fit.amounts import Requests, pod_requests, quantity
from rayops.fit.capacity import At, Capacity, GroupCapacity, capacity
from rayops.fit.cluster import CLUSTER_KINDS
from rayops.fit.nodes import admits, holds
from rayops.fit.packing import UNLIMITED, Bin, Item, Packing, pack
from rayops.fit.prices import Pool, Prices
from rayops.render import Obj, pod_specs

_ROUNDING = 1e-6
_MILLI = 1000
# Names under which a quota may limit the same (k8s.io/kubernetes/pkg/quota/v1/evaluator/core/pods.go).
_ALIASES = {"requests.cpu": "cpu", "requests.memory": "memory", "count/pods": "pods"}


@dataclass(frozen=True)
class Shortfall:
    """A resource of which a quota holds too little. needed and there: cores, bytes or pieces."""

    quota: str
    resource: str
    needed: float
    there: float


@dataclass(frozen=True)
class Nodes:
    """ok: all pods lie on nodes of the pools, None where the search was given up. used: nodes by pool.

    homeless: groups whose pod no node of any pool takes. waiting: pods by group that find no room at the pools' most.
    packing: which pods (`OBJECT/GROUP`) lie together on a node.
    """

    ok: bool | None
    used: Mapping[str, int]
    homeless: tuple[str, ...]
    waiting: Mapping[str, int]
    packing: Packing


def shortfalls(objects: Sequence[Obj]) -> Iterator[Shortfall]:
    """Where a ResourceQuota among objects does not hold the peak of its namespace. `objects`: all of one render.

    Quotas with scopes hold a part of the pods only: they are left out, as are limits.* (nothing here sums limits).
    """
    for quota in [obj for obj in objects if obj.get("kind") == "ResourceQuota"]:
        spec, meta = quota.get("spec") or {}, quota.get("metadata") or {}
        if spec.get("scopes") or spec.get("scopeSelector"):
            continue
        there = [obj for obj in objects if (obj.get("metadata") or {}).get("namespace") == meta.get("namespace")]
        needed = asked(there)
        for name, value in (spec.get("hard") or {}).items():
            resource = _ALIASES.get(str(name), str(name).removeprefix("requests."))
            wanted = needed.get(resource, 0.0)
            if not str(name).startswith("limits.") and wanted > quantity(value) * (1 + _ROUNDING):
                yield Shortfall(str(meta.get("name")), str(name), wanted, quantity(value))


def asked(objects: Iterable[Obj]) -> Requests:
    """What objects of a namespace request at the peak: by resource, with `pods` and `persistentvolumeclaims`."""
    total: Counter[str] = Counter()
    for obj in objects:
        if obj.get("kind") in CLUSTER_KINDS:
            total.update(capacity(obj).requests("surge"))
        else:
            for requests, count in _plain(obj):
                total.update({name: value * count for name, value in {**requests, "pods": 1.0}.items()})
            total["persistentvolumeclaims"] += _claims(obj)
    return dict(total)


def nodes(found: Sequence[Capacity], prices: Prices, at: At = "surge") -> Nodes:
    """Whether the pods of some objects, together, fit the nodes that the pools may have.

    kube-scheduler filters nodes by selector, affinity, taints and what is left of CPU, memory, GPUs and pods, and
    prefers emptier ones; whether any assignment exists is what is asked here. A pool without a maximum grows.
    """
    groups = [(f"{each.obj}/{group.name}", group) for each in found for group in each.groups if group.pods(at)]
    places = {name: _places(group, prices) for name, group in groups}
    items = [_item(name, group, places[name], at) for name, group in groups if places[name]]
    most = sum(item.count for item in items)
    result = pack(items, [_bin(pool, items, most) for pool in prices.pools])
    homeless = tuple(name for name, _ in groups if not places[name])
    used = Counter(name for name, inside in result.bins if inside)
    return Nodes(result.ok if not homeless else False, used, homeless, result.unplaced, result)


def _places(group: GroupCapacity, prices: Prices) -> frozenset[str]:
    there = (pool for pool in prices.pools if admits(pool, group.spec) and holds(pool, group.requests))
    return frozenset(pool.name for pool in there)


def _item(name: str, group: GroupCapacity, on: frozenset[str], at: At) -> Item:
    need = {resource: math.ceil(value * _MILLI - _ROUNDING) for resource, value in group.requests.items()}
    return Item(name, group.pods(at), {**need, "pods": _MILLI}, (), on)


def _bin(pool: Pool, items: Sequence[Item], most: int) -> Bin:
    room = {resource: math.floor(value * _MILLI + _ROUNDING) for resource, value in pool.allocatable.items()}
    room.setdefault("pods", UNLIMITED)
    wanted = sum(item.count for item in items if pool.name in item.on)
    return Bin(pool.name, min(most, wanted, pool.maximum if pool.maximum is not None else most), room)


def _plain(obj: Obj) -> Iterator[tuple[Requests, int]]:
    """The pods of Kubernetes' own kinds: requests of one, and how many; a rolling Deployment has a surge of its own."""
    kind, spec = obj.get("kind"), obj.get("spec") or {}
    if kind not in ("Deployment", "StatefulSet", "Job", "Pod"):
        return
    count = 1 if spec.get("replicas") is None else int(spec["replicas"])
    if kind == "Job":
        count = int(spec.get("parallelism") or 1)
    if kind == "Deployment" and (spec.get("strategy") or {}).get("type") != "Recreate":
        surge = ((spec.get("strategy") or {}).get("rollingUpdate") or {}).get("maxSurge", "25%")
        count += math.ceil(count * float(surge.rstrip("%")) / 100) if isinstance(surge, str) else int(surge)
    if kind == "Pod" and "config.kubernetes.io/local-config" in ((obj.get("metadata") or {}).get("annotations") or {}):
        return
    for _, pod in pod_specs(obj):
        yield pod_requests(pod), count


def _claims(obj: Obj) -> int:
    spec = obj.get("spec") or {}
    if obj.get("kind") == "PersistentVolumeClaim":
        return 1
    if obj.get("kind") == "StatefulSet":
        replicas = spec.get("replicas")
        return len(spec.get("volumeClaimTemplates") or []) * int(1 if replicas is None else replicas)
    return 0
