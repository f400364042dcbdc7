"""Safety family: gaps in serving when something is updated, drained or lost, and clusters without an end."""

from collections.abc import Iterator
from typing import Any

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import Group, Ray

# What KubeRay's CRD fills in where a group says nothing.
UNBOUNDED = 2147483647
# Labels whose values only a running cluster has (controllers/ray/common/pod.go, DefaultHeadPodTemplate).
LIVE = ("ray.io/cluster", "ray.io/identifier", "ray.io/serve")

ONE_REPLICA = Rule(
    "one-replica",
    "safety",
    "warning",
    "an update in place stops the only replica before the new one starts, and a lost worker is an outage",
    "run two replicas on two workers (max_replicas_per_node: 1), or at least max_surge_percent: 100 for updates",
    "overlays/README.md",
)
PDB_MISSING = Rule(
    "pdb-missing",
    "safety",
    "warning",
    "no PodDisruptionBudget holds the pods of a service: a drain of nodes may take all of them at once",
    'add base/components/disruption, or a PodDisruptionBudget that selects ray.io/is-ray-node: "yes"',
    "base/components/disruption/README.md",
)
PRESTOP_MISSING = Rule(
    "prestop-missing",
    "safety",
    "warning",
    "a worker that goes gets SIGTERM while requests still come and are answered: they fail",
    "add a preStop hook that waits until endpoints and proxies have let go of the pod",
    "base/components/disruption/README.md",
)
GRACE_MISSING = Rule(
    "grace-period-missing",
    "safety",
    "warning",
    "a worker has 30 seconds from the start of its preStop hook to its end, whatever it still answers",
    "set terminationGracePeriodSeconds to the hook and the longest request together",
    "base/components/disruption/README.md",
)
MAX_UNBOUNDED = Rule(
    "max-replicas-unbounded",
    "safety",
    "error",
    "the autoscaler may add workers without an end: a fault in an application becomes a bill",
    "set maxReplicas of every group",
    "base/components/autoscaling/README.md",
)
HEAD_SERVES = Rule(
    "head-in-serve-service",
    "safety",
    "warning",
    "requests go through the head too, so a lost head costs requests that workers could have answered",
    "excludeHeadPodFromServeSvc: true, with at least one worker that has replicas",
    "base/components/gcs-fault-tolerance/README.md",
)
HEAD_WORKS = Rule(
    "head-has-cpus",
    "safety",
    "warning",
    "replicas may be put on the head, which then is short of CPU or memory when they are, and the cluster with it",
    'rayStartParams: {num-cpus: "0"} for the head',
    "https://docs.ray.io/en/latest/cluster/vms/user-guides/large-cluster-best-practices.html",
)
RESOURCES_MISSING = Rule(
    "resources-missing",
    "safety",
    "warning",
    "without limits Ray takes the whole node's CPUs and memory for its own, and the node kills what it likes",
    "set limits of cpu and memory for the Ray container",
    "https://docs.ray.io/en/latest/cluster/kubernetes/user-guides/config.html",
)
NAMESPACE_FIXED = Rule(
    "gcs-namespace-fixed",
    "safety",
    "error",
    "old and new cluster of an upgrade share one state in Redis: the new one takes the old one's nodes and actors",
    "remove externalStorageNamespace: KubeRay uses the cluster's UID",
    "base/components/gcs-fault-tolerance/README.md",
)


@check(ONE_REPLICA)
def one_replica(context: Context) -> Iterator[Finding]:
    """Deployments whose fewest replicas are one, unless a rolling update starts another one first (Ray 2.60)."""
    for ray in context.services:
        for deployment in ray.deployments:
            if deployment.replicas and deployment.replicas[0] == 1 and not deployment.obj.get("max_surge_percent"):
                scaling = "autoscaling_config" if "autoscaling_config" in deployment.obj else "num_replicas"
                field = (*deployment.path, scaling)
                yield context.finding(ONE_REPLICA, ray.resource, field, f"{deployment.name} has one replica")


@check(PDB_MISSING)
def budgets(context: Context) -> Iterator[Finding]:
    """Services of which no budget of the same source selects a worker."""
    found = [resource.obj for resource in context.of_kind("PodDisruptionBudget")]
    for ray in context.services:
        space = _mapping(ray.obj.get("metadata")).get("namespace")
        there = [each for each in found if _mapping(each.get("metadata")).get("namespace") == space]
        if ray.workers and not any(_selects(budget, group) for budget in there for group in ray.workers):
            yield context.finding(PDB_MISSING, ray.resource, (), "no PodDisruptionBudget selects its workers")


def _selects(budget: dict[str, Any], group: Group) -> bool:
    """Whether a budget selects the pods of a worker group, as KubeRay labels them."""
    labels = {
        **_mapping(_mapping(group.template.get("metadata")).get("labels")),
        "ray.io/node-type": "worker",
        "ray.io/group": group.name,
        "ray.io/is-ray-node": "yes",
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    selector = _mapping(_mapping(budget.get("spec")).get("selector"))
    wanted = _mapping(selector.get("matchLabels"))
    if any(labels.get(key) != value for key, value in wanted.items() if key not in LIVE):
        return False
    expressions = selector.get("matchExpressions")
    given = expressions if isinstance(expressions, list) else []
    return all(_holds(each, labels) for each in given if isinstance(each, dict) and each.get("key") not in LIVE)


def _holds(expression: dict[str, Any], labels: dict[str, Any]) -> bool:
    value, values = labels.get(expression.get("key", "")), expression.get("values") or []
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


@check(PRESTOP_MISSING, GRACE_MISSING)
def drain(context: Context) -> Iterator[Finding]:
    """Workers of services: a hook before SIGTERM, and the time for it."""
    for ray in context.services:
        for group in ray.workers:
            if not (group.ray.obj.get("lifecycle") or {}).get("preStop"):
                said = f"group {group.name} has no preStop hook"
                yield context.finding(PRESTOP_MISSING, ray.resource, group.ray.path, said)
            if group.pod.get("terminationGracePeriodSeconds") is None:
                said = f"group {group.name} has no terminationGracePeriodSeconds"
                yield context.finding(GRACE_MISSING, ray.resource, group.pod_path, said)


@check(MAX_UNBOUNDED)
def bounded(context: Context) -> Iterator[Finding]:
    """Groups that an autoscaler scales without a maximum."""
    for ray in context.ray:
        if not ray.cluster.get("enableInTreeAutoscaling"):
            continue
        for group in ray.workers:
            if group.obj.get("maxReplicas", UNBOUNDED) == UNBOUNDED:
                said = f"group {group.name} has no maxReplicas"
                yield context.finding(MAX_UNBOUNDED, ray.resource, (*group.path, "maxReplicas"), said)


@check(HEAD_SERVES)
def head_serves(context: Context) -> Iterator[Finding]:
    """Services whose head takes requests although there are workers."""
    for ray in context.services:
        if ray.workers and not ray.spec.get("excludeHeadPodFromServeSvc"):
            path = ("spec", "excludeHeadPodFromServeSvc")
            yield context.finding(HEAD_SERVES, ray.resource, path, "the head is in the serve Service")


@check(HEAD_WORKS)
def head_works(context: Context) -> Iterator[Finding]:
    """Heads of services that have Ray CPUs although there are workers."""
    for ray in context.services:
        if ray.workers and not _no_cpus(ray):
            path = (*ray.head.path, "rayStartParams", "num-cpus")
            yield context.finding(HEAD_WORKS, ray.resource, path, "the head has Ray CPUs")


def _no_cpus(ray: Ray) -> bool:
    given = ray.head.start_params.get("num-cpus") or str((ray.head.obj.get("resources") or {}).get("CPU", ""))
    return given.strip('"') in ("0", "0.0")


@check(RESOURCES_MISSING)
def limits(context: Context) -> Iterator[Finding]:
    """Ray containers without limits. A CPU request does for CPU (KubeRay takes it for num-cpus)."""
    for ray in context.ray:
        for group in ray.groups:
            given = group.ray.obj.get("resources") or {}
            there = _mapping(given.get("limits"))
            cpu = "cpu" in there or "cpu" in _mapping(given.get("requests")) or "num-cpus" in group.start_params
            missing = [*([] if cpu else ["cpu"]), *([] if "memory" in there else ["memory"])]
            if missing:
                said = f"{group.name} has no limit of {' and '.join(missing)}"
                yield context.finding(RESOURCES_MISSING, ray.resource, (*group.ray.path, "resources"), said)


@check(NAMESPACE_FIXED)
def own_namespace(context: Context) -> Iterator[Finding]:
    """Services whose clusters would share a namespace in Redis."""
    for ray in context.services:
        if (ray.cluster.get("gcsFaultToleranceOptions") or {}).get("externalStorageNamespace"):
            path = (*ray.cluster_path, "gcsFaultToleranceOptions", "externalStorageNamespace")
            yield context.finding(NAMESPACE_FIXED, ray.resource, path, "externalStorageNamespace is fixed")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
