"""Fit family: what never finds a worker, a node, a quota or a budget (rayops.fit says how it is counted)."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from rayops.errors import RayopsError
from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import Ray

if TYPE_CHECKING:
    from rayops.fit import Fit
    from rayops.fit.fits import Scale

_PENDING = "base/observability/runbooks/worker-pods-pending-unschedulable.md"
_SCALE_UP = "base/observability/runbooks/autoscaler-does-not-scale-up.md"

UNREADABLE = Rule(
    "resources-unreadable",
    "fit",
    "error",
    "the resources of a pod or a replica cannot be read: Ray, the autoscaler or the API server stops at them too",
    "write a number, or a quantity such as 500m or 2Gi",
    _PENDING,
)
NO_WORKER = Rule(
    "replica-fits-no-worker",
    "fit",
    "error",
    "one replica asks for more than a whole worker of any group has: it waits for ever, and the service with it",
    "ask for less in ray_actor_options or placement_group_bundles, or give a group that much",
    _SCALE_UP,
)
TOO_FEW = Rule(
    "replicas-beyond-workers",
    "fit",
    "error",
    "the fewest replicas do not all fit the most workers: the service never becomes healthy",
    "raise maxReplicas of the group, or lower num_replicas or min_replicas",
    _SCALE_UP,
)
UNREACHABLE = Rule(
    "max-replicas-beyond-workers",
    "fit",
    "warning",
    "max_replicas is a promise that the groups' maxReplicas cannot keep: under load, replicas wait for ever",
    "raise maxReplicas of the group, or lower max_replicas",
    _SCALE_UP,
)
COLD = Rule(
    "no-room-at-rest",
    "fit",
    "note",
    "not one replica fits the workers that are always there: the service waits for a worker to start before it answers",
    "raise minReplicas of a group that holds it, or set min_replicas: 0",
    "base/observability/runbooks/cold-start-slow.md",
)
FRAGMENTED = Rule(
    "replicas-may-block-others",
    "fit",
    "warning",
    "all replicas fit, but Serve spreads them and moves none: small ones may leave no worker with room for a large one",
    "one worker more, a group of its own (label_selector), or RAY_SERVE_USE_PACK_SCHEDULING_STRATEGY=1",
    _SCALE_UP,
)
QUOTA = Rule(
    "quota-below-peak",
    "fit",
    "error",
    "an upgrade runs two clusters: the quota refuses pods of the new one, which then never becomes ready",
    "raise the quota, lower maxReplicas, or upgrade step by step (NewClusterWithIncrementalUpgrade)",
    "base/observability/runbooks/rayservice-upgrade-stuck.md",
)
NO_NODE = Rule(
    "pod-fits-no-node",
    "fit",
    "warning",
    "no node pool of the price table takes a pod of this group: too big, or no pool with its labels and taints",
    "change the group's requests or selector, or correct the pools in overlays/prices.yaml",
    _PENDING,
)
NODES = Rule(
    "nodes-below-peak",
    "fit",
    "warning",
    "the pools' most nodes do not hold both clusters of an upgrade",
    "raise a pool's maximum, lower maxReplicas, or upgrade step by step (NewClusterWithIncrementalUpgrade)",
    _PENDING,
)
BUDGET = Rule(
    "over-budget",
    "fit",
    "error",
    "the month costs more than the environment's budget",
    "lower maxReplicas, or raise the budget in overlays/prices.yaml",
    "overlays/prices.yaml",
)


@check(UNREADABLE, NO_WORKER, TOO_FEW, UNREACHABLE, COLD, FRAGMENTED)
def replicas(context: Context) -> Iterator[Finding]:
    """Replicas against workers, at each size."""
    for ray in context.services:
        if not ray.serve:
            continue
        try:
            yield from _replicas(context, ray)
        except RayopsError as error:
            yield context.finding(UNREADABLE, ray.resource, ray.cluster_path, error.message)


def _replicas(context: Context, ray: Ray) -> Iterator[Finding]:
    most, needed, rest = (_fit(ray, scale) for scale in _SCALES)
    told = set()
    for rule, fit in ((NO_WORKER, most), (TOO_FEW, needed), (UNREACHABLE, most)):
        for each in fit.unplaced if fit.ok is False else ():
            if each.deployment.path in told or (rule is NO_WORKER) != each.never:
                continue
            told.add(each.deployment.path)
            wanted = each.deployment.most if rule is UNREACHABLE else each.deployment.fewest
            count = "" if each.never else f"{each.replicas} of {wanted} replicas: "
            text = f"{each.deployment.name}: {count}{each.why}"
            yield context.finding(rule, ray.resource, each.deployment.path, text)
    for each in rest.unplaced if needed.ok else ():
        if each.replicas >= each.deployment.fewest and each.deployment.path not in told:
            rule = COLD if ray.cluster.get("enableInTreeAutoscaling") else TOO_FEW
            yield context.finding(rule, ray.resource, each.deployment.path, f"{each.deployment.name}: {each.why}")
    if most.stuck:
        yield context.finding(FRAGMENTED, ray.resource, (*ray.cluster_path, "workerGroupSpecs"), most.stuck)


_SCALES: "tuple[Scale, Scale, Scale]" = ("max", "needed", "min")


def _fit(ray: Ray, at: "Scale") -> "Fit":
    """The same service is often in several sources: an overlay, and the environment that sums all up."""
    spec = {key: ray.spec.get(key) for key in ("serveConfigV2", "rayClusterConfig")}
    return _fit_of(json.dumps(spec, default=str), ray.name, at)


@lru_cache(maxsize=4096)
def _fit_of(spec: str, name: str, at: "Scale") -> "Fit":
    from rayops.fit import fits

    kind, _, full = name.partition(" ")
    return fits({"kind": kind, "metadata": {"name": full}, "spec": json.loads(spec)}, at=at)


@check(QUOTA)
def quotas(context: Context) -> Iterator[Finding]:
    """Quotas of the source against the peak of their namespaces."""
    from rayops.fit.peak import shortfalls

    objects = [each.obj for each in context.resources]
    for quota in context.of_kind("ResourceQuota"):
        with_readable = [quota.obj, *(obj for obj in objects if obj.get("kind") != "ResourceQuota")]
        try:
            found = list(shortfalls(with_readable))
        except (RayopsError, ValueError, TypeError, AttributeError):
            continue  # resources-unreadable and the schema family say what is wrong
        for each in found:
            there, needed = (_round(value, each.resource) for value in (each.there, each.needed))
            text = f"{each.resource}: {there} for a peak of {needed}"
            yield context.finding(QUOTA, quota, ("spec", "hard", each.resource), text)


def _round(value: float, resource: str) -> str:
    return f"{value / 2**30:.4g}Gi" if resource.endswith(("memory", "storage")) else f"{value:.4g}"


@check(NO_NODE, NODES, BUDGET)
def nodes(context: Context) -> Iterator[Finding]:
    """Pods and their cost against the price table, where the repository has one."""
    from rayops.fit import capacity, cost, find_prices, over_budget
    from rayops.fit.peak import nodes as nodes_of

    prices = find_prices(context.root) if context.ray else None
    if prices is None:
        return
    try:
        found = [(ray, capacity(ray.obj)) for ray in context.ray]
    except RayopsError:
        return  # resources-unreadable says it
    costs = [(ray, cost(each, prices)) for ray, each in found]
    for ray, each in costs:
        for name in each.unpriced:
            group = next((group for group in ray.groups if group.name == name), ray.head)
            yield context.finding(NO_NODE, ray.resource, group.path, f"group {name}: no pool takes its pod")
    peak = nodes_of([each for _, each in found], prices)
    if peak.ok is False and peak.waiting:
        waiting = ", ".join(f"{count} of {name}" for name, count in sorted(peak.waiting.items()))
        yield context.finding(NODES, found[0][0].resource, found[0][0].cluster_path, f"no node is left for {waiting}")
    if over := over_budget([each for _, each in costs], prices, context.source):
        name, month, budget = over
        dearest = max(costs, key=lambda pair: pair[1].month("max"))[0]
        text = f"{name}: {month:,.0f} {prices.currency} a month, the budget is {budget:,.0f}"
        yield context.finding(BUDGET, dearest.resource, dearest.cluster_path, text)
