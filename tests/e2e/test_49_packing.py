"""Does what rayops.fit says of a packing hold for the real scheduler? 200 random services on simulated nodes.

The nodes are the workers of a service, the pods its replicas (bundles, where they may lie apart), and the cluster's own
kube-scheduler binds them with its own profile: it filters by what is left, as a raylet does, and prefers emptier nodes,
as Serve's SPREAD does; it moves nothing. "fits" is true exactly where all pods find a node. Two answers need more than
one look:

- where rayops.fit warns that a spreading scheduler may leave a replica over, that is what happens in some cases: there
  the pods are tried again, each on the node of the packing that was found, and all must be bound;
- where it gives no warning, all pods must be bound by the scheduler's own choice, in whatever order they come.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from rayops.fit import Fit, Prices, capacity, case, fits
from rayops.fit.barring import stuck
from rayops.fit.packing import GivenUp
from rayops.fit.peak import nodes as nodes_for
from rayops.kube import Kube, Obj
from tests.e2e.packing import Case, Deployment, Fleet, batches, cases, fleets, pieces
from tests.harness.kwok import Nodes, controller

pytestmark = [pytest.mark.cluster, pytest.mark.drill, pytest.mark.timeout(1800)]
SEED = 49
CASES = 200
AT_ONCE = 40
# Each has tens of nodes, and every node is work for a kubelet-less control plane on two CPUs.
FLEETS_AT_ONCE = 10
BUDGET = 200_000


@pytest.fixture(scope="module")
def nodes(kube: Kube) -> Iterator[Nodes]:
    with controller(kube) as found:
        yield found


@pytest.fixture
def tally(record: Callable[..., None]) -> Iterator[Counter[str]]:
    found: Counter[str] = Counter()
    yield found
    record(**found)


def test_what_fits_is_scheduled_and_what_does_not_is_not(nodes: Nodes, namespace: str, tally: Counter[str]) -> None:
    wrong: list[str] = []
    for part in batches(cases(SEED, CASES), AT_ONCE):
        nodes.add([each for one in part for each in one.nodes()])
        bound = nodes.schedule(namespace, [each for one in part for each in one.pods(SEED)])
        nodes.clear(namespace)
        again = []
        for one in part:
            said, waiting = fits(one.service(), at="max"), [name for name in _of(one, bound) if bound[name] is None]
            verdict = _compared(one, said, waiting, tally)
            again += [(one, said)] if verdict == "missed" else []
            wrong += [f"seed {SEED}, case {one.number}: {verdict}"] if verdict.startswith("wrong") else []
        pinned = nodes.schedule(namespace, [each for one, said in again for each in _pinned(one, said)])
        nodes.clear(namespace)
        nodes.clear()
        wrong += [f"seed {SEED}: {name} on the node of the packing" for name, node in pinned.items() if node is None]
    assert not wrong
    assert tally["fits, all bound"] + tally["fits, a pod missed it"] >= CASES / 4
    assert tally["does not fit"] >= CASES / 4


def _compared(one: Case, said: Fit, waiting: Sequence[str], tally: Counter[str]) -> str:
    """`right`, `missed` where a warning was right to be given, `wrong: …`."""
    if said.ok is None:
        return "wrong: not decided"
    if not said.ok:
        tally["does not fit"] += 1
        return "right" if waiting else "wrong: said not to fit, all are bound"
    if not waiting:
        tally["fits, all bound"] += 1
        return "right"
    tally["fits, a pod missed it"] += 1
    return "missed" if _warned(one) else f"wrong: said to fit in any order, {waiting} are not bound"


def _warned(one: Case) -> bool:
    """Whether a pod may be left over; a search that was given up claims nothing, so it counts as a warning."""
    found = case(one.service(), at="max")
    try:
        return stuck(found.items, found.bins, BUDGET) is not None
    except GivenUp:
        return True


def _of(one: Case, bound: Mapping[str, Any]) -> list[str]:
    return [name for name in bound if name.startswith(f"c{one.number}-")]


def _pinned(one: Case, said: Fit) -> list[Obj]:
    """The pods of a case, each with the node that the packing gives it."""
    pods = {each["metadata"]["name"]: each for each in one.pods(SEED)}
    workers: Counter[str] = Counter()
    places: list[tuple[str, Counter[str]]] = []
    for group, inside in said.packing.bins:
        places.append((f"{group}-{workers[group]}", Counter(inside)))
        workers[group] += 1
    for each in one.deployments:
        for name, node in _placed(each, one.number, places).items():
            pods[name]["spec"]["nodeSelector"]["worker"] = node
    return list(pods.values())


def _placed(each: Deployment, number: int, places: list[tuple[str, Counter[str]]]) -> dict[str, str]:
    """Nodes for the pieces of a deployment, those of a replica on different ones where they lie apart.

    The packing only counts equal pieces in each worker. Tries all ways; an assignment of pieces to replicas exists.
    """
    wanted = list(pieces(each))
    first = [each.bundles.index(bundle) if each.strategy != "STRICT_PACK" else 0 for _, _, _, bundle in wanted]
    single = len(each.bundles) == 1 or each.strategy == "STRICT_PACK"
    apart = each.strategy == "STRICT_SPREAD"
    chosen: list[str] = []

    def choose() -> bool:
        if len(chosen) == len(wanted):
            return True
        _, replica, _, _ = wanted[len(chosen)]
        item = f"a/{each.name}" + ("" if single else f"#{first[len(chosen)]}")
        taken = {node for (_, other, _, _), node in zip(wanted, chosen, strict=False) if apart and other == replica}
        for node, inside in places:
            if inside[item] and node not in taken:
                inside[item] -= 1
                chosen.append(node)
                if choose():
                    return True
                chosen.pop()
                inside[item] += 1
        return False

    assert choose(), f"case {number}: the packing is none of {each.name}"
    names = [f"c{number}-{each.name}-{replica}-{part}" for _, replica, part, _ in wanted]
    return dict(zip(names, chosen, strict=True))


def test_another_order_of_the_same_pods_changes_no_answer_that_is_sure(nodes: Nodes, namespace: str) -> None:
    """Fewer cases, three orders each: neither what never fits nor what fits in any order depends on luck."""
    part = [one for one in cases(SEED + 1, CASES // 4) if fits(one.service(), at="max").ok is False or not _warned(one)]
    part = random.Random(SEED).sample(part, min(len(part), AT_ONCE // 2))  # noqa: S311 - no secret
    nodes.add([each for one in part for each in one.nodes()])
    wrong = []
    for order in range(3):
        bound = nodes.schedule(namespace, [each for one in part for each in one.pods(order)])
        nodes.clear(namespace)
        for one in part:
            everything = all(bound[name] for name in _of(one, bound))
            if everything != fits(one.service(), at="max").ok:
                wrong.append(f"seed {SEED + 1}, case {one.number}, order {order}")
    nodes.clear()
    assert part
    assert not wrong


def test_pods_fit_the_pools_where_they_are_scheduled_on_them(nodes: Nodes, namespace: str, tally: Counter[str]) -> None:
    """Head and workers on as many nodes as each pool may have; what spreading missed, again by the packing."""
    there = fleets(SEED, CASES // 4)
    wrong, lost = [], []
    for start in range(0, len(there), FLEETS_AT_ONCE):
        part, again = there[start : start + FLEETS_AT_ONCE], []
        nodes.add([each for one in part for each in one.nodes()])
        bound = nodes.schedule(namespace, [each for one in part for each in one.pods()])
        nodes.clear(namespace)
        for one in part:
            said = nodes_for([capacity(one.cluster())], Prices.model_validate(one.prices()), "start")
            everything = all(node for name, node in bound.items() if name.startswith(f"f{one.number}-"))
            tally[f"said {said.ok}, all bound {everything}"] += 1
            wrong += [f"seed {SEED}, fleet {one.number}"] if said.ok is None or (everything and not said.ok) else []
            again += _on_pools(one, said.packing.bins) if said.ok and not everything else []
        pinned = nodes.schedule(namespace, again)
        lost += [name for name, node in pinned.items() if node is None]
        nodes.clear(namespace)
        nodes.clear()
    assert not wrong
    assert not lost
    assert tally["said True, all bound True"] >= CASES / 40
    assert tally["said False, all bound False"] >= CASES / 40


def _on_pools(one: Fleet, bins: Sequence[tuple[str, Mapping[str, int]]]) -> list[Obj]:
    """The pods of a fleet, each with the node that the packing gives it."""
    pods: dict[str, list[Obj]] = {}
    for each in one.pods():
        pods.setdefault(each["metadata"]["name"].split("-")[1], []).append(each)
    found, used = [], Counter[str]()
    for pool, inside in bins:
        for item, count in inside.items():
            for _ in range(count):
                made = pods[item.rpartition("/")[2]].pop()
                made["spec"]["nodeSelector"]["worker"] = f"{pool}-{used[pool]}"
                found.append(made)
        used[pool] += 1
    return found
