"""How the changes of one object weigh on each other: what KubeRay and Ray Serve do with all of them together.

The rules (rayops.review.rules) say which field does what and why. What counts for a cluster is KubeRay's own hash of it
(rayops.kuberay): where that is equal nothing arrives, whatever was written differently.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rayops.errors import RayopsError
from rayops.render import Obj, name_of, serve_config
from rayops.review.changes import MISSING, Change, of_object, pairs
from rayops.review.rules import GROUP, OF_THE_CHILD, RULES, Code, Effect, Touch

if TYPE_CHECKING:
    from rayops.kuberay import Answer

__all__ = ["Code", "Effect", "Judged", "Touch", "Verdict", "effect", "judge", "of_pair"]


@dataclass(frozen=True)
class Judged:
    """A change with what it does and why. place: where it is written, where that is not in the object itself."""

    change: Change
    effect: Effect
    why: str
    touch: Touch = Touch.NOTHING
    place: str = ""


@dataclass(frozen=True)
class Verdict:
    """What happens to one object. restarts: Serve deployments (APPLICATION/NAME) whose replicas are replaced.

    reconfigures: those that keep their replicas and get another configuration.
    """

    obj: str
    effect: Effect
    why: str
    changes: tuple[Judged, ...]
    restarts: tuple[str, ...] = ()
    reconfigures: tuple[str, ...] = ()


Ask = Callable[[Obj], "Answer | RayopsError | None"]


def judge(before: Iterable[Obj], after: Iterable[Obj], ask: Ask = lambda _: None) -> list[Verdict]:
    """A verdict for every object that differs.

    ask: KubeRay's answer about one of the objects; without answers the rules alone speak, and nothing is refused by
    KubeRay's own validation.
    """
    return [verdict for old, new in pairs(before, after) if (verdict := of_pair(old, new, ask))]


def of_pair(old: Obj | None, new: Obj | None, ask: Ask = lambda _: None) -> Verdict | None:
    """The verdict for one object at two revisions; None where nothing differs."""
    found = list(of_object(old, new))
    if not found:
        return None
    judged = effect(old, new, found, ask)
    first = min(judged, key=lambda each: _WEIGHT[each.effect])
    running = old is not None and new is not None and new.get("kind") == "RayService"
    running = running and first.effect not in (Effect.NEW_CLUSTER, Effect.REFUSED)
    touched = list(_touched(judged, old, new)) if running and old is not None and new is not None else []
    return Verdict(
        name_of(new or old or {}),
        first.effect,
        first.why,
        tuple(judged),
        tuple(sorted({name for name, touch in touched if touch is Touch.RESTART})),
        tuple(sorted({name for name, touch in touched} - {name for name, touch in touched if touch is Touch.RESTART})),
    )


_WEIGHT = {effect: weight for weight, effect in enumerate(Effect)}


def effect(old: Obj | None, new: Obj | None, found: Sequence[Change], ask: Ask = lambda _: None) -> list[Judged]:
    """What each change of one object does, the others considered. old, new: the object, None where it is not there."""
    if new is not None and (refusal := _refusal(ask(new))):
        return [Judged(change, Effect.REFUSED, refusal) for change in found]
    if old is None or new is None:
        return [Judged(change, Effect.CREATED if old is None else Effect.DELETED, "") for change in found]
    kind = str(new.get("kind"))
    judged = [_alone(kind, change) for change in found]
    if kind == "RayService":
        judged = _together(_by_hash(judged, ask(old), ask(new)), new)
        return _childless(_served(_scaled_anew(judged, old, new), new), ask(new))
    if kind == "RayCluster":
        return _recreated(_by_pods(judged, ask(old), ask(new)), new)
    return judged


def _refusal(answer: "Answer | RayopsError | None") -> str:
    """Why the API server or the operator refuses an object; "" where it is taken, or nobody was asked."""
    if isinstance(answer, RayopsError):
        return answer.message
    if answer is None:
        return ""
    return next((problem for problem in answer.problems if problem != OF_THE_CHILD), "")


def _childless(judged: list[Judged], answer: "Answer | RayopsError | None") -> list[Judged]:
    """KubeRay takes such a RayService and refuses each RayCluster that it makes for it from then on."""
    if answer is None or isinstance(answer, RayopsError) or OF_THE_CHILD not in answer.problems:
        return judged
    why = f"KubeRay refuses the next RayCluster: {OF_THE_CHILD}"
    these = (Effect.NOT_APPLIED, Effect.NEW_CLUSTER)
    return [replace(each, why=f"{why}; {each.why}") if each.effect in these else each for each in judged]


def _scaled_anew(judged: list[Judged], old: Obj, new: Obj) -> list[Judged]:
    """A change that alone restarts nothing and makes another code of its application: its autoscaling comes or goes."""
    recoded = {f"[{name}]" for name in _recoded(old, new)}
    told = {
        each.change.path[3] for each in judged if each.touch is Touch.RESTART_APPLICATION and len(each.change.path) > 3
    }
    why = "Ray takes the application for another code, because an autoscaling_config comes or goes: all of it restarts"
    return [
        replace(each, why=why)
        if "autoscaling_config" in each.change.path and each.change.path[3] in recoded - told
        else each
        for each in judged
    ]


def _served(judged: list[Judged], service: Obj) -> list[Judged]:
    """A Serve config that the dashboard refuses is not taken, and a new cluster that waits for it is never ready."""
    if not any(each.change.path[:2] == ("spec", "serveConfigV2") for each in judged):
        return judged
    from rayops.lint.schema import serve_problems

    problems = serve_problems(service["spec"].get("serveConfigV2"))
    wrong = [each.message for each in problems if not each.unknown]
    if not wrong:
        unknown = {each.path[-1] for each in problems}
        why = "Ray's schema has no such field: it has no effect"
        return [
            replace(each, why=why, touch=Touch.NOTHING)
            if each.change.path[-1] in unknown and each.touch is not Touch.RESTART_APPLICATION
            else each
            for each in judged
        ]
    anew = any(each.effect is Effect.NEW_CLUSTER for each in judged)
    why = f"Ray refuses the Serve config: {wrong[0]}" + ("; the new cluster never becomes ready" if anew else "")
    return [
        replace(each, effect=Effect.REFUSED, why=why) if each.change.path[:2] == ("spec", "serveConfigV2") else each
        for each in judged
    ]


def _touched(judged: Iterable[Judged], old: Obj, new: Obj) -> Iterator[tuple[str, Touch]]:
    """(APPLICATION/DEPLOYMENT, what happens to its replicas) of those that run before the change."""
    running = _deployments(old)
    for application in _recoded(old, new):
        yield from ((name, Touch.RESTART) for name in running if name.startswith(f"{application}/"))
    for each in judged:
        keys = [key.strip("[]") for key in each.change.path]
        name = f"{keys[3]}/{keys[5]}" if len(keys) > 5 else ""
        if each.effect is Effect.SERVE_UPDATE and each.touch in (Touch.RESTART, Touch.RECONFIGURE) and name in running:
            yield name, each.touch


def _recoded(old: Obj, new: Obj) -> list[str]:
    """The applications that Ray takes for another code, so that all of their replicas restart."""
    before, after = (_codes(each) for each in (old, new))
    return [name for name in after if name in before and before[name] != after[name]]


def _codes(service: Obj) -> dict[str, Any]:
    """By application what Ray hashes as its code (serve/_private/deploy_utils.py, get_app_code_version).

    The deployments' policies and routers are lists there: a deployment that gets its first autoscaling_config makes the
    list longer, whatever stands in it.
    """
    try:
        applications = serve_config(service)["applications"]
    except RayopsError:
        return {}
    found = {}
    for each in applications:
        deployments = [deployment for deployment in each.get("deployments") or [] if isinstance(deployment, dict)]
        found[str(each.get("name", "default"))] = {
            "code": [each.get(key) for key in ("import_path", "args", "autoscaling_policy")],
            "runtime_env": each.get("runtime_env") or {},
            "policies": [
                deployment["autoscaling_config"].get("policy")
                for deployment in deployments
                if isinstance(deployment.get("autoscaling_config"), dict)
            ],
            "routers": _all(deployments, "request_router_config", dict),
            "actors": _all(deployments, "deployment_actors", list),
        }
    return found


def _all(deployments: Iterable[dict[str, Any]], key: str, kind: type) -> list[Any]:
    return [deployment[key] for deployment in deployments if isinstance(deployment.get(key), kind)]


def _deployments(service: Obj) -> list[str]:
    """APPLICATION/DEPLOYMENT of all that a RayService lists; none where its Serve config cannot be read."""
    try:
        applications = serve_config(service)["applications"]
        return [f"{app['name']}/{each['name']}" for app in applications for each in app.get("deployments") or []]
    except (RayopsError, KeyError, TypeError, AttributeError):
        return []


def _alone(kind: str, change: Change) -> Judged:
    if change.path == ("spec", "managedBy") and change.old is not MISSING and change.new is not MISSING:
        return Judged(change, Effect.REFUSED, "the field is immutable")
    where = {"RayService": GROUP, "RayCluster": "spec workerGroupSpecs"}.get(kind, "").split()
    if where and change.old is MISSING and list(change.path[:-1]) == where:
        return Judged(change, Effect.CLUSTER_UPDATE, "a group that is added: only its pods are made")
    if kind == "RayCluster" and change.new is MISSING and list(change.path[:-1]) == where:
        why = "KubeRay forgets the group and leaves its pods running: delete them by hand (kuberay#1739)"
        return Judged(change, Effect.CLUSTER_UPDATE, why)
    rule = next(rule for rule in RULES if rule.fits(kind, change.path))
    return Judged(change, rule.effect, rule.why, rule.touch)


_HASHED = {Effect.NEW_CLUSTER, Effect.CLUSTER_UPDATE}


def _by_hash(
    judged: list[Judged], old: "Answer | RayopsError | None", new: "Answer | RayopsError | None"
) -> list[Judged]:
    """KubeRay's own comparison of two cluster specs, where it was asked: equal, appended to, or another cluster."""
    if old is None or new is None or isinstance(old, RayopsError) or isinstance(new, RayopsError):
        return judged
    suspends = [each for each in judged if each.change.path[-1] == "suspend" and each.effect is Effect.CLUSTER_UPDATE]
    if suspends or not (old.hash and new.hash):
        return judged
    if old.hash == new.hash:
        why = "the same for KubeRay: its hash of the cluster is equal"
        return [_moved(each, _HASHED, Effect.NOTHING, why) for each in judged]
    groups = len(old.prefix_hashes) - 1
    if groups < len(new.prefix_hashes) and new.prefix_hashes[groups] == old.hash:
        why = "written with the group that is appended"
        # Two groups of one name have no names to go by: the whole list is one change.
        known = any(each.effect is Effect.CLUSTER_UPDATE for each in judged)
        return [
            _moved(each, {Effect.NEW_CLUSTER}, Effect.NOTHING if known else Effect.CLUSTER_UPDATE, why)
            for each in judged
        ]
    why = "in KubeRay's hash of the cluster"
    if any(each.effect is Effect.NEW_CLUSTER for each in judged):
        why = "comes with the new cluster"
    return [_moved(each, {Effect.CLUSTER_UPDATE}, Effect.NEW_CLUSTER, why) for each in judged]


def _by_pods(
    judged: list[Judged], old: "Answer | RayopsError | None", new: "Answer | RayopsError | None"
) -> list[Judged]:
    """What is written differently and gives the same pods is no change of a RayCluster that keeps its pods."""
    if old is None or new is None or isinstance(old, RayopsError) or isinstance(new, RayopsError):
        return judged
    if old.hash == new.hash:
        why, these = (
            "the same for KubeRay: its hash of the cluster is equal",
            {Effect.NOT_APPLIED, Effect.CLUSTER_UPDATE},
        )
    elif old.built == new.built:
        why, these = "its pods are the same with it", {Effect.NOT_APPLIED}
    else:
        return judged
    return [each if _is_apart(each.change) else _moved(each, these, Effect.NOTHING, why) for each in judged]


def _is_apart(change: Change) -> bool:
    """Whether a field of a RayCluster counts beside its pods' hash: left out of it, or the head Service's."""
    return is_muted(change) or any(
        key in {"serviceType", "headServiceAnnotations", "headService"} for key in change.path
    )


def _together(judged: list[Judged], service: Obj) -> list[Judged]:
    """A new cluster takes everything along; a group that is appended takes along what would wait for a new cluster."""
    strategy = (service["spec"].get("upgradeStrategy") or {}).get("type") or "NewCluster"
    effects = {each.effect for each in judged}
    if Effect.NEW_CLUSTER in effects and strategy == "None":
        why = "upgradeStrategy None: KubeRay makes no new cluster"
        return [
            replace(each, effect=Effect.NOT_APPLIED, why=why) if each.effect in _HASHED else each for each in judged
        ]
    if Effect.NEW_CLUSTER in effects:
        along = {Effect.NOT_APPLIED, Effect.CLUSTER_UPDATE, Effect.SERVE_UPDATE}
        along |= set() if "Incremental" in strategy else {Effect.SERVE_SERVICE}
        why = "comes with the new cluster; the old one keeps what it has"
        judged = [_moved(each, along, Effect.NEW_CLUSTER, why) for each in judged]
    elif Effect.CLUSTER_UPDATE in effects:
        why = "written with the same update; a replica count that the autoscaler chose jumps back to this one"
        judged = [_moved(each, {Effect.NOT_APPLIED}, Effect.CLUSTER_UPDATE, why) for each in judged]
    if "Incremental" in strategy:
        why = "the serve Service is not kept up in incremental upgrades: clients go through the Gateway"
        judged = [_moved(each, {Effect.SERVE_SERVICE}, Effect.NOTHING, why) for each in judged]
    return judged


def _moved(each: Judged, these: set[Effect], to: Effect, why: str) -> Judged:
    return replace(each, effect=to, why=why) if each.effect in these else each


def _recreated(judged: list[Judged], cluster: Obj) -> list[Judged]:
    """upgradeStrategy Recreate: what is in the hash deletes every pod, the head included, at once."""
    if (cluster["spec"].get("upgradeStrategy") or {}).get("type") != "Recreate":
        return judged
    why = "upgradeStrategy Recreate: the service is down until the new pods are ready"
    return [
        replace(each, effect=Effect.PODS_DELETED, why=why)
        if each.effect in {Effect.NOT_APPLIED, Effect.CLUSTER_UPDATE} and not is_muted(each.change)
        else each
        for each in judged
    ]


def is_muted(change: Change) -> bool:
    """Whether a field of a pod template is left out of KubeRay's hash."""
    return any(key in {"tolerations", "schedulingGates"} for key in change.path)
