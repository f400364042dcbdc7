"""What a change costs while it is made: pods beside those that run, failing requests; and what taking it back does."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rayops.errors import RayopsError
from rayops.fit import Amount, Capacity
from rayops.fit.amounts import quantity
from rayops.kuberay import Answer
from rayops.render import Obj, serve_config
from rayops.render.sources import Resource
from rayops.review.effects import Code, Effect, Verdict, of_pair
from rayops.review.model import During

Pair = tuple[Resource | None, Resource | None]
# rayservice_controller.go, RayClusterDeletionDelayDuration.
DELETION_DELAY_S = 60


def during(
    pair: Pair, effect: Effect, before: Capacity | None, after: Capacity | None, beside: Sequence[Obj]
) -> During | None:
    """What is needed beside what there is; None where nothing is."""
    new = pair[1]
    if new is None or after is None:
        return None
    if effect is Effect.NEW_CLUSTER:
        extra = after.at("start")
        quota = _beyond_quota(new.obj, before, after, beside)
        return During(after.pods("start"), extra, _until_switched(new.obj), quota)
    if effect is Effect.CREATED:
        return During(
            after.pods("start"), after.at("start"), "from now on", _beyond_quota(new.obj, None, after, beside)
        )
    if effect in (Effect.CLUSTER_UPDATE, Effect.AT_ONCE) and before is not None:
        pods = after.pods("start") - before.pods("start")
        extra = _minus(after.at("start"), before.at("start"))
        if pods or extra != Amount():
            return During(pods, extra, "from now on", _beyond_quota(new.obj, None, after, beside))
    return None


def _until_switched(service: Obj) -> str:
    given = (service.get("spec") or {}).get("rayClusterDeletionDelaySeconds")
    delay = DELETION_DELAY_S if given is None else given
    return f"until every application of the new cluster is RUNNING, and {delay} s more (rayClusterDeletionDelaySeconds)"


def _minus(one: Amount, other: Amount) -> Amount:
    return Amount(one.cpus - other.cpus, one.memory - other.memory, one.gpus - other.gpus)


def _beyond_quota(obj: Obj, before: Capacity | None, after: Capacity, beside: Sequence[Obj]) -> str:
    """What of the namespace's quotas the pods of the peak go beyond, "" where they hold them.

    The peak: the old cluster with its most workers and the new one with its own, as an autoscaler may reach it.
    """
    peak = dict(after.requests("max"))
    for name, value in (before.requests("max") if before else {}).items():
        peak[name] = peak.get(name, 0.0) + value
    space = (obj.get("metadata") or {}).get("namespace")
    quotas = [
        each for each in beside if each.get("kind") == "ResourceQuota" and each["metadata"].get("namespace") == space
    ]
    return "; ".join(said for each in quotas for said in _lacking((each.get("spec") or {}).get("hard") or {}, peak))


def _lacking(hard: dict[str, Any], peak: dict[str, float]) -> Iterator[str]:
    for name, given in hard.items():
        resource = name.removeprefix("requests.")
        if name.startswith("limits.") or resource not in peak:
            continue
        limit, needed = quantity(given), peak[resource]
        if needed > limit + 1e-9:
            yield f"{name} {given}, {_shown(resource, needed)} at the peak"


def _shown(resource: str, value: float) -> str:
    return f"{value / 2**30:.4g} GiB" if resource == "memory" else f"{math.ceil(value * 1000) / 1000:g}"


def failures(pair: Pair, verdict: Verdict | None) -> str:
    """Which requests are to fail while the change is made; "" where none is, and nothing is said."""
    if verdict is None or pair[0] is None:
        return ""
    code = verdict.effect.code
    if code is Code.RECREATE_PODS:
        return "every request, until the new head and workers are ready"
    if code is Code.DELETED:
        return "every request, for good"
    if code is Code.REJECTED:
        return "none now: what runs goes on; but no later change arrives before this one is mended"
    if code is Code.NEW_CLUSTER:
        return "none expected: the old cluster serves until the new one is ready"
    alone = sorted(set(verdict.restarts) & _alone(pair[0].obj))
    if alone:
        said = ", ".join(alone)
        return f"{said}: one replica, which stops before its successor starts; requests wait or fail meanwhile"
    if verdict.restarts:
        return "none expected: replicas restart one after the other"
    return ""


def _alone(service: Obj) -> set[str]:
    """APPLICATION/DEPLOYMENT of those that may have a single replica, and no room for its successor beside it."""
    try:
        applications = serve_config(service)["applications"]
    except RayopsError:
        return set()
    found = set()
    for application in applications:
        for each in application.get("deployments") or []:
            scaling = each.get("autoscaling_config")
            fewest = scaling.get("min_replicas", 1) if isinstance(scaling, dict) else each.get("num_replicas", 1)
            surge = each.get("max_surge_percent") or 0
            if surge < 100 and (fewest == "auto" or (isinstance(fewest, int) and fewest <= 1)):
                found.add(f"{application.get('name')}/{each.get('name')}")
    return found


def revert(pair: Pair, verdict: Verdict | None, ask: Callable[[Obj], Answer | RayopsError | None]) -> str:
    """What taking the change back does."""
    old, new = pair
    if verdict is None or verdict.effect in (Effect.NOTHING, Effect.NEXT, Effect.APPLIED):
        return ""
    code = verdict.effect.code
    if old is None:
        return "deletes it, and what it serves with it"
    if new is None:
        return "creates it anew: nothing of it is kept"
    if code is Code.REJECTED:
        return "nothing: it was not taken"
    if code is Code.IGNORED:
        return "nothing: what runs has not got it"
    if any("ray.io/kuberay-version" in each.change.path for each in verdict.changes):
        return "the operator of before writes the running RayCluster once more"
    back = of_pair(new.obj, old.obj, ask)
    said = back.effect.value if back else "nothing"
    if code is Code.NEW_CLUSTER and "Incremental" not in str(_strategy(new.obj)):
        return f"{said}; while the new one is not ready yet a third one is started"
    return said


def _strategy(service: Obj) -> Any:
    return ((service.get("spec") or {}).get("upgradeStrategy") or {}).get("type")
