"""rayops.fit against Ray's own scheduler: random services as placement groups on a local Ray of several nodes.

A placement group reserves on real raylets what a replica would take, GPUs device by device, without starting one.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from rayops.fit import case, fits
from rayops.fit.barring import stuck
from tests.e2e.packing import MIB, Case, Deployment, Group, random_deployments

SEED = 7
CASES = 40
GROUPS = (
    Group("plain", 1, 2, 4096, 0, 2, "iron", 1, "params"),
    Group("two", 1, 4, 8192, 2, 0, "gold", 1, "params"),
    Group("one", 1, 1, 2048, 1, 0, "iron", 1, "params"),
)
# States of GCS's placement group scheduler that say that it has tried (gcs.proto, PlacementGroupStats).
TRIED_IN_VAIN = ("NO_RESOURCES", "INFEASIBLE")
DEADLINE_S = 60


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for each in GROUPS:
            resources = {"disk": each.disks} if each.disks else {}
            memory = each.memory * MIB
            labels = {"tier": each.tier}
            made.add_node(num_cpus=each.cpus, num_gpus=each.gpus, memory=memory, resources=resources, labels=labels)
        ray.init(address=made.address, log_to_driver=False)
        yield ray
    finally:
        ray.shutdown()
        made.shutdown()


def reserve(each: Deployment) -> Any:
    """What one replica takes."""
    from ray.util.placement_group import placement_group

    bundles = [
        {name: value for name, value in zip(("CPU", "memory", "GPU", "disk"), parts, strict=True) if value}
        for parts in ((cpus, memory * MIB, gpus, disks) for cpus, memory, gpus, disks in each.bundles)
    ]
    selectors = [{"tier": each.tier} for _ in bundles] if each.tier else None
    return placement_group(bundles, strategy=each.strategy or "PACK", bundle_label_selector=selectors)


def placed(group: Any) -> bool:
    """Whether a placement group was made, as soon as the scheduler has said so or that it has no room."""
    from ray.util.placement_group import placement_group_table

    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        found = placement_group_table(group)
        if found["state"] == "CREATED":
            return True
        if found.get("stats", {}).get("scheduling_state") in TRIED_IN_VAIN:
            return False
        time.sleep(0.02)
    raise AssertionError(f"no verdict on a placement group: {found}")


def gone(ray: Any) -> bool:
    free, all_there = ray.available_resources(), ray.cluster_resources()
    return all(free.get(name, 0) == all_there[name] for name in ("CPU", "GPU", "disk", "memory"))


def test_ray_places_what_fits_and_nothing_else(ray: Any) -> None:
    from ray.util.placement_group import remove_placement_group

    draw = random.Random(SEED)  # noqa: S311 - no secret
    tally: Counter[tuple[bool | None, bool, bool]] = Counter()
    for number in range(CASES):
        # Fractions too: unlike kube-scheduler, Ray knows devices.
        deployments = random_deployments(draw, GROUPS, fractions=number % 2 == 0)
        one = Case(number, GROUPS, tuple(replace(each, per_worker=0) for each in deployments))
        replicas = [each for each in one.deployments for _ in range(each.replicas)]
        draw.shuffle(replicas)
        found = case(one.service(), at="max")
        ok = fits(one.service(), at="max").ok
        warned = bool(ok and stuck(found.items, found.bins, 10**6))
        groups = [reserve(each) for each in replicas]
        everything = all(placed(group) for group in groups)
        tally[ok, warned, everything] += 1
        for group in groups:
            remove_placement_group(group)
        until = time.monotonic() + DEADLINE_S
        while not gone(ray) and time.monotonic() < until:
            time.sleep(0.02)
        assert warned or everything == ok, f"seed {SEED}, case {number}: said {ok}, Ray placed everything: {everything}"
    print(dict(tally))
    assert tally[True, False, True] >= CASES / 8
    assert tally[False, False, False] >= CASES / 8
