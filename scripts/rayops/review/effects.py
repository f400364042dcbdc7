"""What KubeRay 1.6.2 does with a change: a table of rules, and how the changes of one object weigh on each other.

The rules say which field does what and why. What counts for a cluster is KubeRay's own hash of it (rayops.kuberay):
where that is equal nothing arrives, whatever was written differently. tests/e2e/verdicts/mutations.yaml
holds both against what a live operator did.

Read from its source, below ray-operator/controllers/ray: rayservice_controller.go (shouldUpdateCluster,
shouldPrepareNewCluster, reconcileServices, updateHeadPodServeLabel), raycluster_controller.go
(shouldRecreatePodsForUpgrade), rayjob_controller.go, utils/util.go (GenerateHashWithoutReplicasAndWorkersToDelete).
For a Serve config from Ray 2.60: serve/_private/version.py and deploy_utils.py (get_app_code_version).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from rayops.errors import RayopsError
from rayops.render import Obj, name_of, serve_config
from rayops.review.changes import MISSING, ORDER, Change, of_object, pairs
from rayops.review.resources import Amount, cluster_amounts

if TYPE_CHECKING:
    from rayops.kuberay import Answer


class Code(StrEnum):
    """The verdict for machines, the gravest first."""

    REJECTED = "rejected"
    DELETED = "deleted"
    RECREATE_PODS = "recreate-pods"
    NEW_CLUSTER = "new-cluster"
    IGNORED = "ignored"
    CLUSTER_IN_PLACE = "cluster-in-place"
    SERVE_IN_PLACE = "serve-in-place"
    CREATED = "created"
    NONE = "none"


class Effect(StrEnum):
    """What happens, the gravest first: the first of its changes' effects is the object's."""

    REFUSED = "rejected"
    DELETED = "deleted"
    PODS_DELETED = "all pods deleted at once"
    NEW_CLUSTER = "new cluster"
    NOT_APPLIED = "not applied to what runs"
    SERVE_SERVICE = "serve Service, with the next cluster"
    CLUSTER_UPDATE = "cluster updated in place"
    AT_ONCE = "taken at once"
    SERVE_UPDATE = "Serve updated in place"
    CREATED = "created"
    APPLIED = "changed"
    NEXT = "counts from the next change"
    NOTHING = "nothing"

    @property
    def code(self) -> Code:
        """The verdict that it is."""
        return _CODES.get(self, Code.NONE)


_CODES = {
    Effect.REFUSED: Code.REJECTED,
    Effect.DELETED: Code.DELETED,
    Effect.PODS_DELETED: Code.RECREATE_PODS,
    Effect.NEW_CLUSTER: Code.NEW_CLUSTER,
    Effect.NOT_APPLIED: Code.IGNORED,
    Effect.SERVE_SERVICE: Code.IGNORED,
    Effect.CLUSTER_UPDATE: Code.CLUSTER_IN_PLACE,
    Effect.AT_ONCE: Code.CLUSTER_IN_PLACE,
    Effect.SERVE_UPDATE: Code.SERVE_IN_PLACE,
    Effect.CREATED: Code.CREATED,
}


class Touch(StrEnum):
    """What a change of a Serve config does to replicas that run: of its deployment, or of its whole application."""

    NOTHING = ""
    RECONFIGURE = "reconfigure"
    RESTART = "restart"
    RESTART_APPLICATION = "restart-application"


@dataclass(frozen=True)
class Rule:
    """A change of a field of a kind, or of anything below it. path: `*` is any one key. The first that fits counts."""

    id: str
    kind: str
    path: tuple[str, ...]
    effect: Effect
    why: str
    touch: Touch = Touch.NOTHING

    def fits(self, kind: str, path: Sequence[str]) -> bool:
        """Whether the rule speaks of this field."""
        return self.kind in (kind, "*") and len(path) >= len(self.path) and all(map(_key_fits, self.path, path))


@dataclass(frozen=True)
class Judged:
    """A change with what it does and why."""

    change: Change
    effect: Effect
    why: str
    touch: Touch = Touch.NOTHING


@dataclass(frozen=True)
class Verdict:
    """What happens to one object. restarts: Serve deployments (APPLICATION/NAME) whose replicas are replaced.

    reconfigures: those that keep their replicas and get another configuration. old, new: the object, None where it is
    not there. peak: what old and new pods request together, where a cluster is made.
    """

    obj: str
    effect: Effect
    why: str
    changes: tuple[Judged, ...]
    peak: str = ""
    restarts: tuple[str, ...] = ()
    reconfigures: tuple[str, ...] = ()
    old: Obj | None = None
    new: Obj | None = None


GROUP = "spec rayClusterConfig workerGroupSpecs"
DEPLOYMENT = "spec serveConfigV2 applications * deployments *"
_NO_RESTART = "no replica restarts"
_ROLLING = "the replicas of that deployment restart, one after the other"
_APPLICATION = "every deployment of the application restarts, replica by replica"
_MUTED = "left out of KubeRay's hash: the running cluster keeps the old value"
_LIVE_JOB = "the operator reads it at its next look"


def _rules(kind: str, effect: Effect, why: str, touch: Touch = Touch.NOTHING, **paths: str) -> Iterator[Rule]:
    for name, path in paths.items():
        yield Rule(f"{kind.lower()}-{name.replace('_', '-')}", kind, tuple(path.split()), effect, why, touch)


RULES: tuple[Rule, ...] = (
    *_rules("RayService", Effect.REFUSED, "the field is immutable", managed_by="spec managedBy"),
    *_rules(
        "RayService",
        Effect.SERVE_UPDATE,
        "submitted again; Ray finds the same fields and restarts nothing",
        serve_text="spec serveConfigV2 [text]",
    ),
    *_rules(
        "RayService",
        Effect.SERVE_UPDATE,
        f"replicas come or go; {_NO_RESTART}",
        Touch.RECONFIGURE,
        num_replicas=f"{DEPLOYMENT} num_replicas",
    ),
    *_rules(
        "RayService",
        Effect.SERVE_UPDATE,
        _APPLICATION,
        Touch.RESTART_APPLICATION,
        autoscaling_policy=f"{DEPLOYMENT} autoscaling_config policy",
        application_policy="spec serveConfigV2 applications * autoscaling_policy",
        router=f"{DEPLOYMENT} request_router_config",
        deployment_actors=f"{DEPLOYMENT} deployment_actors",
        import_path="spec serveConfigV2 applications * import_path",
        runtime_env="spec serveConfigV2 applications * runtime_env",
        args="spec serveConfigV2 applications * args",
    ),
    *_rules(
        "RayService",
        Effect.SERVE_UPDATE,
        "each replica runs its reconfigure(), and waits for it",
        Touch.RECONFIGURE,
        user_config=f"{DEPLOYMENT} user_config",
    ),
    *_rules(
        "RayService",
        Effect.SERVE_UPDATE,
        _ROLLING,
        Touch.RESTART,
        actor_options=f"{DEPLOYMENT} ray_actor_options",
        placement=f"{DEPLOYMENT} placement_group_bundles",
        placement_strategy=f"{DEPLOYMENT} placement_group_strategy",
        per_node=f"{DEPLOYMENT} max_replicas_per_node",
        gang=f"{DEPLOYMENT} gang_scheduling_config",
    ),
    *_rules("RayService", Effect.SERVE_UPDATE, _NO_RESTART, Touch.RECONFIGURE, deployment_field=f"{DEPLOYMENT} *"),
    *_rules(
        "RayService", Effect.SERVE_UPDATE, "submitted to the cluster that serves", serve_config="spec serveConfigV2"
    ),
    *_rules(
        "RayService",
        Effect.CLUSTER_UPDATE,
        "the operator deletes or makes all pods of the cluster that is there",
        suspend="spec rayClusterConfig suspend",
    ),
    *_rules(
        "RayService",
        Effect.NOT_APPLIED,
        _MUTED,
        replicas=f"{GROUP} * replicas",
        min=f"{GROUP} * minReplicas",
        max=f"{GROUP} * maxReplicas",
        workers_to_delete=f"{GROUP} * scaleStrategy",
        tolerations=f"{GROUP} * template spec tolerations",
        gates=f"{GROUP} * template spec schedulingGates",
        head_tolerations="spec rayClusterConfig headGroupSpec template spec tolerations",
        head_gates="spec rayClusterConfig headGroupSpec template spec schedulingGates",
        cluster_strategy="spec rayClusterConfig upgradeStrategy",
    ),
    *_rules(
        "RayService",
        Effect.NEW_CLUSTER,
        "groups are not only appended: KubeRay's hash knows their order",
        order=f"{GROUP} {ORDER}",
    ),
    *_rules("RayService", Effect.NEW_CLUSTER, "in KubeRay's hash of the cluster", cluster="spec rayClusterConfig"),
    *_rules(
        "RayService",
        Effect.SERVE_SERVICE,
        "the Service is only written when it turns to another cluster; its metadata never",
        serve_service="spec serveService",
    ),
    *_rules(
        "RayService",
        Effect.AT_ONCE,
        "the label ray.io/serve of the head pod changes",
        exclude_head="spec excludeHeadPodFromServeSvc",
    ),
    *_rules(
        "RayService",
        Effect.NEXT,
        "counts from the next upgrade",
        strategy="spec upgradeStrategy",
        deletion_delay="spec rayClusterDeletionDelaySeconds",
        timeout="metadata annotations ray.io/initializing-timeout",
    ),
    *_rules(
        "RayService",
        Effect.NOTHING,
        "KubeRay 1.6.2 reads this field nowhere",
        unhealthy="spec serviceUnhealthySecondThreshold",
        deployment_unhealthy="spec deploymentUnhealthySecondThreshold",
    ),
    *_rules("RayService", Effect.NOTHING, "copied to the RayCluster when that is next written", metadata="metadata"),
    *_rules("RayCluster", Effect.REFUSED, "the field is immutable", managed_by="spec managedBy"),
    *_rules(
        "RayCluster",
        Effect.AT_ONCE,
        "workers come or go (the autoscaler, where it is on, decides within the bounds)",
        replicas="spec workerGroupSpecs * replicas",
        min="spec workerGroupSpecs * minReplicas",
        max="spec workerGroupSpecs * maxReplicas",
        workers_to_delete="spec workerGroupSpecs * scaleStrategy",
    ),
    *_rules("RayCluster", Effect.PODS_DELETED, "or made again, when it is no longer suspended", suspend="spec suspend"),
    *_rules("RayCluster", Effect.NEXT, "counts from the next change", strategy="spec upgradeStrategy"),
    *_rules(
        "RayCluster",
        Effect.NOT_APPLIED,
        "running pods stay as they are; one that dies comes back with the new template",
        spec="spec",
    ),
    *_rules("RayCluster", Effect.NOTHING, "pods take nothing from it", metadata="metadata"),
    *_rules("RayJob", Effect.REFUSED, "the field is immutable", managed_by="spec managedBy"),
    *_rules(
        "RayJob",
        Effect.AT_ONCE,
        "stops the job and deletes its cluster, or starts it on a new one",
        suspend="spec suspend",
    ),
    *_rules(
        "RayJob",
        Effect.AT_ONCE,
        _LIVE_JOB,
        backoff="spec backoffLimit",
        deadline="spec activeDeadlineSeconds",
        pre_running="spec preRunningDeadlineSeconds",
        ttl="spec ttlSecondsAfterFinished",
        shutdown="spec shutdownAfterJobFinishes",
        deletion="spec deletionStrategy",
    ),
    *_rules(
        "RayJob",
        Effect.NOT_APPLIED,
        "a job that was submitted is not changed: it takes effect when it is deleted and applied again",
        spec="spec",
    ),
    *_rules("RayJob", Effect.NOTHING, "neither cluster nor job take it after their start", metadata="metadata"),
    Rule("other", "*", (), Effect.APPLIED, ""),
)


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
    touched = [] if first.effect in (Effect.NEW_CLUSTER, Effect.REFUSED) else list(_touched(judged, old or {}))
    return Verdict(
        name_of(new or old or {}),
        first.effect,
        first.why,
        tuple(judged),
        _peak(old, new, first.effect),
        tuple(sorted({name for name, touch in touched if touch is Touch.RESTART})),
        tuple(sorted({name for name, touch in touched} - {name for name, touch in touched if touch is Touch.RESTART})),
        old,
        new,
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
        return _served(_together(_by_hash(judged, ask(old), ask(new)), new), new)
    if kind == "RayCluster":
        return _recreated(_by_pods(judged, ask(old), ask(new)), new)
    return judged


def _refusal(answer: "Answer | RayopsError | None") -> str:
    """Why the API server or the operator refuses an object; "" where it is taken, or nobody was asked."""
    if isinstance(answer, RayopsError):
        return answer.message
    return next(iter(answer.problems), "") if answer is not None else ""


def _served(judged: list[Judged], service: Obj) -> list[Judged]:
    """A Serve config that the dashboard refuses is not taken, and a new cluster that waits for it is never ready."""
    if not any(each.change.path[:2] == ("spec", "serveConfigV2") for each in judged):
        return judged
    from rayops.lint.schema import serve_problems

    wrong = [each.message for each in serve_problems(service["spec"].get("serveConfigV2")) if not each.unknown]
    if not wrong:
        return judged
    anew = any(each.effect is Effect.NEW_CLUSTER for each in judged)
    why = f"Ray refuses the Serve config: {wrong[0]}" + ("; the new cluster never becomes ready" if anew else "")
    return [
        replace(each, effect=Effect.REFUSED, why=why) if each.change.path[:2] == ("spec", "serveConfigV2") else each
        for each in judged
    ]


def _touched(judged: Iterable[Judged], old: Obj) -> Iterator[tuple[str, Touch]]:
    """(APPLICATION/DEPLOYMENT, what happens to its replicas) of those that run before the change."""
    running = _deployments(old)
    for each in judged:
        if each.effect is not Effect.SERVE_UPDATE and each.touch is Touch.NOTHING:
            continue
        keys = [key.strip("[]") for key in each.change.path]
        application = keys[3] if len(keys) > 3 else ""
        if each.touch is Touch.RESTART_APPLICATION:
            yield from ((name, Touch.RESTART) for name in running if name.startswith(f"{application}/"))
        elif each.touch is not Touch.NOTHING and len(keys) > 5 and f"{application}/{keys[5]}" in running:
            yield f"{application}/{keys[5]}", each.touch


def _deployments(service: Obj) -> list[str]:
    """APPLICATION/DEPLOYMENT of all that a RayService lists; none where its Serve config cannot be read."""
    try:
        applications = serve_config(service)["applications"]
        return [f"{app['name']}/{each['name']}" for app in applications for each in app.get("deployments") or []]
    except (RayopsError, KeyError, TypeError, AttributeError):
        return []


def _alone(kind: str, change: Change) -> Judged:
    where = {"RayService": GROUP, "RayCluster": "spec workerGroupSpecs"}.get(kind, "").split()
    if where and change.old is MISSING and list(change.path[:-1]) == where:
        return Judged(change, Effect.CLUSTER_UPDATE, "a group appended at the end: only its pods are made")
    rule = next(rule for rule in RULES if rule.fits(kind, change.path))
    return Judged(change, rule.effect, rule.why, rule.touch)


def _key_fits(wanted: str, key: str) -> bool:
    return wanted in ("*", key)


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
        return [_moved(each, {Effect.NEW_CLUSTER}, Effect.NOTHING, why) for each in judged]
    why = "in KubeRay's hash of the cluster"
    if any(each.effect is Effect.NEW_CLUSTER for each in judged):
        why = "comes with the new cluster"
    return [_moved(each, {Effect.CLUSTER_UPDATE}, Effect.NEW_CLUSTER, why) for each in judged]


def _by_pods(
    judged: list[Judged], old: "Answer | RayopsError | None", new: "Answer | RayopsError | None"
) -> list[Judged]:
    """What is written differently and gives the same pods is no change of a RayCluster."""
    if old is None or new is None or isinstance(old, RayopsError) or isinstance(new, RayopsError):
        return judged
    if old.hash != new.hash:
        return judged
    why = "the same for KubeRay: its hash of the cluster is equal"
    return [
        each
        if is_muted(each.change)
        else _moved(each, {Effect.NOT_APPLIED, Effect.CLUSTER_UPDATE}, Effect.NOTHING, why)
        for each in judged
    ]


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


def _peak(old: Obj | None, new: Obj | None, effect: Effect) -> str:
    """One line: what the pods of the old and the new cluster request together."""
    made = {Effect.NEW_CLUSTER, Effect.CREATED}
    if new is None or effect not in made or new.get("kind") not in ("RayService", "RayCluster", "RayJob"):
        return ""
    start, most = _cluster_of(new)
    if effect is Effect.CREATED or old is None:
        return f"needs {start} at its start, at most {most}"
    was_start, was_most = _cluster_of(old)
    return f"old + new need {was_start + start} with the workers they start with, at most {was_most + most}"


def _cluster_of(obj: Obj) -> tuple[Amount, Amount]:
    spec = obj.get("spec") or {}
    return cluster_amounts(spec.get("rayClusterConfig") or spec.get("rayClusterSpec") or spec)
