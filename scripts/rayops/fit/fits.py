"""Do the replicas of a RayService fit its workers?

found = fits(service, at="max")
found.ok, found.unplaced, found.workers, found.stuck

What "fits" means. Serve's controller (ray/serve/_private/deployment_scheduler.py) places replicas one after the other:
by default it asks Ray to SPREAD them; with RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY it takes the largest first, each to
the node where least is left over. A raylet then counts resources in ten-thousandths and GPUs device by device; a
placement group gets all of its bundles or none. Whatever has no room waits for ever: nothing that runs is moved (but by
compaction, which is off unless packing is on). So:

- `ok` is False where no assignment exists: no scheduler of any kind can place all replicas, some wait for ever.
- `ok` is True where one exists, the one in `packing`. With the resources of a worker's pod, this is also what
  kube-scheduler counts when it puts pods on nodes; tests/e2e/test_49_packing.py holds this against it.
- `stuck` says, where `ok`, which replica may still find no room because a spreading scheduler has put others into its
  way: fragmentation. "": every scheduler that uses room where there is some places all, or the search was too long.
- `ok` is None where the search was given up as too long, after the cheap ways of packing had failed.

at="max": every deployment has its most replicas, every group its most workers: what the autoscaler can reach.
at="needed": fewest replicas, most workers: what a healthy service needs. at="min": fewest replicas on the workers that
are there without any scaling. What is not known: deployments that only code
describes, resources that Ray measures on a node (no CPU or memory in the pod), the type of its GPUs.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rayops.errors import RayopsError
from rayops.fit.barring import stuck
from rayops.fit.cluster import Group, autoscales, cluster_spec, groups_of
from rayops.fit.devices import UNIT
from rayops.fit.packing import UNLIMITED, Bin, GivenUp, Item, Packing, pack
from rayops.fit.replicas import Deployment, deployments_of
from rayops.fit.workers import RayNode, ray_node, selects
from rayops.render import Obj, name_of

Scale = Literal["min", "needed", "max"]


@dataclass(frozen=True)
class Unplaced:
    """Replicas of a deployment that find no worker. never: not one of them, on no empty worker of any group."""

    deployment: Deployment
    replicas: int
    why: str
    never: bool


@dataclass(frozen=True)
class Fit:
    """See the module. workers: how many of each group the packing uses, the head among them. stuck: "" for never."""

    ok: bool | None
    unplaced: tuple[Unplaced, ...]
    workers: Mapping[str, int]
    packing: Packing
    stuck: str


@dataclass(frozen=True)
class Case:
    """A service as a problem of packing: nodes of Ray by group, bins and items at some size.

    of: the deployment of an item; pieces: how many of its pieces are one replica.
    """

    nodes: tuple[RayNode, ...]
    bins: tuple[Bin, ...]
    items: tuple[Item, ...]
    of: Mapping[str, Deployment]
    pieces: Mapping[str, int]


def fits(service: Obj, *, at: Scale) -> Fit:
    """Whether the replicas fit. RayopsError names the service and the field that cannot be read."""
    found = case(service, at=at)
    result = pack(found.items, found.bins)
    workers = Counter(name for name, inside in result.bins if inside)
    return Fit(result.ok, tuple(_unplaced(found, result)), workers, result, _stuck(found) if result.ok else "")


def case(service: Obj, *, at: Scale) -> Case:
    """The items and bins of a service. RayopsError as in `fits`."""
    cluster = cluster_spec(service)
    try:
        groups = list(groups_of(cluster or {}))
        nodes = tuple(ray_node(group) for group in groups)
        deployments = deployments_of(service)
        items = [(*found, each) for each in deployments for found in _items(each, nodes, at)]
    except RayopsError as error:
        prefix = "" if error.message.startswith(name_of(service)) else f"{name_of(service)}: "
        raise RayopsError(f"{prefix}{error.message}", hint=error.hint) from error
    except (ValueError, TypeError, AttributeError) as error:
        raise RayopsError(f"{name_of(service)}: serveConfigV2: {' '.join(str(error).split())}") from error
    alone = tuple(item for item, _, _ in items)
    pieces = sum(item.count for item in alone)
    counts = [_workers(group, at, autoscaled=autoscales(cluster or {}), pieces=pieces) for group in groups]
    bins = tuple(_bin(node, count, alone) for node, count in zip(nodes, counts, strict=True))
    of = {item.name: each for item, _, each in items}
    return Case(nodes, bins, alone, of, {item.name: pieces for item, pieces, _ in items})


def _workers(group: Group, at: Scale, *, autoscaled: bool, pieces: int) -> int:
    if at == "min":
        return (group.fewest if autoscaled else group.start) * group.hosts
    return int(group.most) * group.hosts if group.bounded else pieces


def _bin(node: RayNode, count: int, items: Sequence[Item]) -> Bin:
    """A node of Ray with the resources that anybody asks for."""
    names = {name for item in items for name in item.need}
    return Bin(node.group, count, {name: _units(node.has(name)) for name in names}, int(node.has("GPU")))


def _units(value: float) -> int:
    return UNLIMITED if value == math.inf else round(value * UNIT)


def _items(deployment: Deployment, nodes: Sequence[RayNode], at: Scale) -> Iterator[tuple[Item, int]]:
    """The pieces of all replicas, equal ones together, and how many make a replica.

    Bundles under PACK and SPREAD may lie anywhere.
    """
    count = deployment.most if at == "max" else deployment.fewest
    name = f"{deployment.application}/{deployment.name}"
    bundles = deployment.bundles
    if len(bundles) == 1 or deployment.strategy == "STRICT_PACK":
        on = _allowed(deployment, range(len(bundles)), nodes)
        limit = deployment.per_worker or UNLIMITED
        yield _item(name, count, bundles, on, key=name if limit < UNLIMITED else "", limit=limit), 1
        return
    spread = deployment.strategy == "STRICT_SPREAD"
    equal: dict[tuple[tuple[tuple[str, float], ...], frozenset[str]], list[int]] = {}
    for number, bundle in enumerate(bundles):
        equal.setdefault((tuple(sorted(bundle.items())), _allowed(deployment, [number], nodes)), []).append(number)
    for (_, on), numbers in equal.items():
        # n groups of bundles that lie apart exist exactly where no worker has more than n of them all (an edge
        # colouring of workers and bundles, which Koenig's theorem gives).
        key, limit = (name, count) if spread else ("", UNLIMITED)
        parts = [bundles[numbers[0]]]
        apart = len(bundles) - 1 if spread else 0
        item = _item(f"{name}#{numbers[0]}", count * len(numbers), parts, on, key=key, limit=limit, apart=apart)
        yield item, len(numbers)


def _item(
    name: str,
    count: int,
    bundles: Sequence[Mapping[str, float]],
    on: frozenset[str],
    *,
    key: str = "",
    limit: int = UNLIMITED,
    apart: int = 0,
) -> Item:
    need: dict[str, int] = {}
    for bundle in bundles:
        for resource, value in bundle.items():
            if resource != "GPU" and value:
                need[resource] = need.get(resource, 0) + _units(value)
    gpus = tuple(_units(bundle["GPU"]) for bundle in bundles if bundle.get("GPU"))
    return Item(name, count, need, gpus, on, key, max(limit, 1), apart)


def _allowed(deployment: Deployment, numbers: Sequence[int], nodes: Sequence[RayNode]) -> frozenset[str]:
    """The groups whose labels fit the selectors of all these pieces."""
    return frozenset(
        node.group
        for node in nodes
        if all(any(selects(each, node.labels) for each in deployment.selectors(number)) for number in numbers)
    )


def _unplaced(found: Case, result: Packing) -> Iterator[Unplaced]:
    left: dict[str, int] = {}
    for item in found.items:
        missing = math.ceil(result.unplaced.get(item.name, 0) / found.pieces[item.name])
        name = item.name.partition("#")[0]
        left[name] = max(left.get(name, 0), missing)
    for item in found.items:
        missing = left.pop(item.name.partition("#")[0], 0) if result.unplaced.get(item.name) else 0
        if not missing:
            continue
        deployment = found.of[item.name]
        reasons = [shortfall(item, node, kind) for node, kind in zip(found.nodes, found.bins, strict=True)]
        never = all(reasons)
        groups = ", ".join(
            f"{kind.name} ({kind.count})" for kind, why in zip(found.bins, reasons, strict=True) if not why
        )
        why = "; ".join(filter(None, reasons)) if never else f"the workers are full: {groups}"
        yield Unplaced(deployment, missing, f"asks {asked(item)}: {why}" if never else why, never)


def shortfall(item: Item, node: RayNode, kind: Bin) -> str:
    """Why an empty worker of a group cannot hold one piece; "" where it can."""
    if kind.name not in item.on:
        return f"group {kind.name} lacks the label"
    for name, value in sorted(item.need.items()):
        if value > kind.room.get(name, 0):
            return f"group {kind.name} has {_number(kind.room.get(name, 0), name)} {name}"
    if not pack([Item(item.name, 1, {}, item.gpus, item.on)], [Bin(kind.name, 1, {}, kind.devices)]).ok:
        return f"group {kind.name} has {node.has('GPU'):g} GPU"
    return "" if kind.count else f"group {kind.name} has no worker"


def asked(item: Item) -> str:
    """One piece in words: `2 CPU, 0.5 GPU`."""
    parts = [f"{_number(value, name)} {name}" for name, value in sorted(item.need.items()) if value]
    gpus = "+".join(f"{each / UNIT:g}" for each in item.gpus)
    return ", ".join([*parts, *([f"{gpus} GPU"] if gpus else [])]) or "nothing"


def _number(value: int, name: str) -> str:
    amount = value / UNIT
    return f"{amount / 2**30:.3g}Gi of" if name == "memory" else f"{amount:g}"


def _stuck(found: Case) -> str:
    try:
        result = stuck(found.items, found.bins)
    except GivenUp:
        return ""
    if result is None:
        return ""
    item = next(item for item in found.items if item.name == result.item)
    laid = Counter((name, tuple(sorted(inside.items()))) for name, inside in result.bins)
    there = "; ".join(
        f"{count} of group {name} with {', '.join(f'{pieces} {_short(each)}' for each, pieces in inside)}"
        for (name, inside), count in laid.items()
    )
    return f"{_short(item.name)} ({asked(item)}) finds no room once others lie so: {there}"


def _short(name: str) -> str:
    return name.partition("/")[2].partition("#")[0]
