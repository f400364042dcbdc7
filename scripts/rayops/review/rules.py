"""What KubeRay 1.6.2 and Ray Serve 2.60 do with a change of one field: a table of rules.

Read from KubeRay's source, below ray-operator/controllers/ray: rayservice_controller.go (shouldUpdateCluster,
shouldPrepareNewCluster, reconcileServices, updateHeadPodServeLabel), raycluster_controller.go
(shouldRecreatePodsForUpgrade), rayjob_controller.go, utils/util.go (GenerateHashWithoutReplicasAndWorkersToDelete).
For a Serve config from Ray 2.60: serve/_private/version.py and deploy_utils.py (get_app_code_version).
tests/e2e/verdicts/mutations.yaml holds them against what a live operator did.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rayops.review.changes import ORDER


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


GROUP = "spec rayClusterConfig workerGroupSpecs"
DEPLOYMENT = "spec serveConfigV2 applications * deployments *"
# ValidateRayClusterUpgradeOptions (utils/validation.go): asked of the child alone, so the RayService itself is taken.
OF_THE_CHILD = "upgradeStrategy cannot be set when RayCluster is created by RayService"
_NO_RESTART = "no replica restarts"
_ROLLING = "the replicas of that deployment restart, one after the other"
_APPLICATION = "every deployment of the application restarts, replica by replica"
_MUTED = "left out of KubeRay's hash: the running cluster keeps the old value"
_LIVE_JOB = "the operator reads it at its next look"


def _rules(kind: str, effect: Effect, why: str, touch: Touch = Touch.NOTHING, **paths: str) -> Iterator[Rule]:
    for name, path in paths.items():
        yield Rule(f"{kind.lower()}-{name.replace('_', '-')}", kind, tuple(path.split()), effect, why, touch)


RULES: tuple[Rule, ...] = (
    *_rules("RayService", Effect.NOTHING, "only a value that is there is immutable", managed_by="spec managedBy"),
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
    *_rules("RayCluster", Effect.NOTHING, "only a value that is there is immutable", managed_by="spec managedBy"),
    *_rules(
        "RayCluster",
        Effect.AT_ONCE,
        "workers come or go (the autoscaler, where it is on, decides within the bounds)",
        replicas="spec workerGroupSpecs * replicas",
        min="spec workerGroupSpecs * minReplicas",
        max="spec workerGroupSpecs * maxReplicas",
        workers_to_delete="spec workerGroupSpecs * scaleStrategy",
    ),
    *_rules(
        "RayCluster",
        Effect.NOT_APPLIED,
        "pods are added beside those that run, which stay as they were made",
        hosts="spec workerGroupSpecs * numOfHosts",
    ),
    *_rules(
        "RayCluster",
        Effect.AT_ONCE,
        "Ray's autoscaler reads it from the RayCluster at its next look",  # ray/autoscaler/_private/kuberay
        idle_timeout="spec autoscalerOptions idleTimeoutSeconds",
        upscaling="spec autoscalerOptions upscalingMode",
        group_idle_timeout="spec workerGroupSpecs * idleTimeoutSeconds",
    ),
    *_rules(
        "RayCluster", Effect.NOTHING, "KubeRay goes by the names of groups", order=f"spec workerGroupSpecs {ORDER}"
    ),
    *_rules(
        "RayCluster",
        Effect.NOT_APPLIED,
        "the head Service is written once, when it is made",
        head_service="spec headGroupSpec serviceType",
        head_annotations="spec headServiceAnnotations",
        own_head_service="spec headGroupSpec headService",
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
    *_rules("RayJob", Effect.NOTHING, "only a value that is there is immutable", managed_by="spec managedBy"),
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


def _key_fits(wanted: str, key: str) -> bool:
    return wanted in ("*", key)
