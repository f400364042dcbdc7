"""What an object of Ray takes of Kubernetes: pods, CPU, memory and GPUs at its fewest, its start, its most, its surge.

found = capacity(service)
found.most.gpus, found.group("gpu").pods("surge")

surge is the peak of an upgrade by KubeRay: a RayService runs its old and its new cluster side by side, each with head,
autoscaler and all workers, and the job that empties Redis of the old one's keys. With NewClusterWithIncrementalUpgrade
the workers of both reach 100 % + maxSurgePercent together (rayservice_controller.go, reconcileServeTargetCapacity), and
the new cluster's minReplicas from its first minute; a worker without replicas stays idleTimeoutSeconds longer, which no
number of the spec bounds, so this is the peak of a patient upgrade and two whole clusters are that of any.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal

from rayops.errors import RayopsError
from rayops.fit.amounts import Amount, Requests, amount_of, container_requests, pod_requests
from rayops.fit.cluster import HEAD, Group, autoscales, cluster_spec, groups_of
from rayops.render import Obj, name_of

At = Literal["min", "start", "max", "surge"]
LEVELS: tuple[At, ...] = ("min", "start", "max", "surge")

# What KubeRay 1.6.2 gives containers of its own, below ray-operator/controllers/ray: common/pod.go
# (BuildAutoscalerContainer, DefaultWorkerPodTemplate), raycluster_controller.go (buildRedisCleanupJob), common/job.go
# (GetDefaultSubmitterContainer).
AUTOSCALER = {"requests": {"cpu": "500m", "memory": "512Mi"}}
WAIT_FOR_GCS = {"requests": {"cpu": "200m", "memory": "256Mi"}}
REDIS_CLEANUP = {"requests": {"cpu": "200m", "memory": "256Mi"}}
SUBMITTER = {"requests": {"cpu": "500m", "memory": "200Mi"}}


@dataclass(frozen=True)
class GroupCapacity:
    """Equal pods: the head's, a worker group's, or a job's of KubeRay. requests: of one pod, by Kubernetes' names.

    counts: pods at min, start, max and surge. bounded: False where the group has no maxReplicas; max is its start then.
    """

    name: str
    requests: Requests
    counts: tuple[int, int, int, int]
    spec: dict[str, Any]
    hosts: int = 1
    bounded: bool = True

    @property
    def pod(self) -> Amount:
        """Of one pod."""
        return amount_of(self.requests)

    def pods(self, at: At) -> int:
        """How many pods."""
        return self.counts[LEVELS.index(at)]

    def amount(self, at: At) -> Amount:
        """Of all its pods."""
        return self.pod.times(self.pods(at))


@dataclass(frozen=True)
class Capacity:
    """An object's pods by group, the head first. GPUs stand in the amounts."""

    obj: str
    groups: tuple[GroupCapacity, ...]

    def at(self, at: At) -> Amount:
        """Of all groups."""
        return reduce(Amount.__add__, (group.amount(at) for group in self.groups), Amount())

    def pods(self, at: At) -> int:
        """How many pods."""
        return sum(group.pods(at) for group in self.groups)

    def requests(self, at: At) -> Requests:
        """By Kubernetes' names of resources, as a quota counts them; `pods` among them."""
        total: Requests = {"pods": float(self.pods(at))}
        for group in self.groups:
            for name, value in group.requests.items():
                total[name] = total.get(name, 0.0) + value * group.pods(at)
        return total

    def group(self, name: str) -> GroupCapacity:
        """A group by its name; `head` is the head. KeyError where there is none."""
        return {group.name: group for group in self.groups}[name]

    @property
    def minimum(self) -> Amount:
        """With minReplicas of each group."""
        return self.at("min")

    @property
    def start(self) -> Amount:
        """With the replicas that the operator makes at first."""
        return self.at("start")

    @property
    def most(self) -> Amount:
        """With maxReplicas of each group."""
        return self.at("max")

    @property
    def surge(self) -> Amount:
        """At the peak of an upgrade."""
        return self.at("surge")


def capacity(obj: Obj) -> Capacity:
    """What a RayService, RayCluster, RayJob or RayCronJob takes; nothing for other kinds.

    RayopsError names the object and the field where a quantity or a number is none.
    """
    if obj.get("kind") not in ("RayService", "RayCluster", "RayJob", "RayCronJob"):
        return Capacity(name_of(obj), ())
    try:
        cluster = cluster_spec(obj)
        found = [] if cluster is None else [_of_group(group, cluster, obj) for group in groups_of(cluster)]
        return Capacity(name_of(obj), (*found, *_beside(obj, cluster)))
    except RayopsError as error:
        raise RayopsError(f"{name_of(obj)}: {error.message}", hint=error.hint) from error
    except (AttributeError, TypeError) as error:
        raise RayopsError(f"{name_of(obj)}: its pods cannot be read: {error}") from error


def of_cluster(cluster: Obj) -> Capacity:
    """The same of a RayCluster's spec alone."""
    return capacity({"kind": "RayCluster", "metadata": {}, "spec": cluster})


def surge_of(old: Obj, new: Obj) -> Amount:
    """The peak of the upgrade from one version of an object to another one with the same name."""
    before, after = capacity(old), capacity(new)
    if new.get("kind") != "RayService" or never_upgrades(new):
        return before.most.most(after.most)
    return _both(before, after, _share(new))


def _both(before: Capacity, after: Capacity, share: float) -> Amount:
    """All of the old cluster, of the new one its head and share of its workers, and Redis' job once."""
    jobs = [group for group in after.groups if group.name == _CLEANUP]
    first = [group.amount("max") for group in before.groups if group.name != _CLEANUP]
    second = [group.pod.times(_of_second(group, share)) for group in after.groups if group.name != _CLEANUP]
    return reduce(Amount.__add__, [*first, *second, *(job.amount("surge") for job in jobs)], Amount())


def _of_second(group: GroupCapacity, share: float) -> int:
    if group.name == HEAD:
        return 1
    return max(group.pods("min"), math.ceil(group.pods("max") / group.hosts * share) * group.hosts)


_CLEANUP = "redis-cleanup"


def _share(service: Obj) -> float:
    """How much of a second cluster's workers an upgrade of a service brings beside all of the first one's."""
    strategy = (service.get("spec") or {}).get("upgradeStrategy") or {}
    if strategy.get("type") == "NewClusterWithIncrementalUpgrade":
        percent = (strategy.get("clusterUpgradeOptions") or {}).get("maxSurgePercent")
        return float(100 if percent is None else percent) / 100
    return 1.0


def _of_group(group: Group, cluster: Obj, obj: Obj) -> GroupCapacity:
    fewest, start = group.fewest * group.hosts, group.start * group.hosts
    most = int(group.most) * group.hosts if group.bounded else max(fewest, start)
    requests = _requests(group, cluster, obj)
    counts = (fewest, start, most, most)
    alone = GroupCapacity(group.name, requests, counts, dict(group.pod), group.hosts, group.bounded)
    second = _of_second(alone, _share(obj)) if obj["kind"] == "RayService" and not never_upgrades(obj) else 0
    return replace(alone, counts=(fewest, start, most, most + second))


def never_upgrades(service: Obj) -> bool:
    """Whether upgradeStrategy None keeps KubeRay from making a second cluster."""
    return ((service.get("spec") or {}).get("upgradeStrategy") or {}).get("type") == "None"


def _requests(group: Group, cluster: Obj, obj: Obj) -> Requests:
    beside, first = [], []
    if group.name == HEAD:
        if autoscales(cluster):
            options = cluster.get("autoscalerOptions") or {}
            beside.append(container_requests({"resources": options.get("resources") or AUTOSCALER}))
        if _job_spec(obj).get("submissionMode") == "SidecarMode":
            beside.append(container_requests({"resources": SUBMITTER}))
    elif not any("wait-gcs" in str(each.get("name")) for each in group.pod.get("initContainers") or []):
        # KubeRay adds its own unless ENABLE_INIT_CONTAINER_INJECTION is off: then somebody's own waits instead.
        first.append(container_requests({"resources": WAIT_FOR_GCS}))
    try:
        return pod_requests(group.pod, beside=beside, first=first)
    except (ValueError, AttributeError, TypeError) as error:
        raise RayopsError(f"group {group.name}: resources: {error}", hint="a quantity such as 500m or 2Gi") from error


def _beside(obj: Obj, cluster: Obj | None) -> Iterator[GroupCapacity]:
    """The pods of jobs that KubeRay makes: a RayJob's submitter, the cleaning of Redis after a cluster."""
    spec = _job_spec(obj)
    if obj["kind"] in ("RayJob", "RayCronJob") and (spec.get("submissionMode") or "K8sJobMode") == "K8sJobMode":
        pod = (spec.get("submitterPodTemplate") or {}).get("spec") or {"containers": [{"resources": SUBMITTER}]}
        yield GroupCapacity("submitter", pod_requests(pod), (1, 1, 1, 1), dict(pod))
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    tolerant = str(annotations.get("ray.io/ft-enabled")).lower() == "true"
    if cluster and (tolerant or cluster.get("gcsFaultToleranceOptions") is not None):
        head = ((cluster.get("headGroupSpec") or {}).get("template") or {}).get("spec") or {}
        yield GroupCapacity(_CLEANUP, container_requests({"resources": REDIS_CLEANUP}), (0, 0, 0, 1), dict(head))


def _job_spec(obj: Obj) -> dict[str, Any]:
    spec: dict[str, Any] = obj.get("spec") or {}
    return (spec.get("jobTemplate") or {}) if obj.get("kind") == "RayCronJob" else spec
