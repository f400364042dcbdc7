"""The one health rule for ray.io objects, by the object alone.

It has two other renderings, in base/delivery/health: Lua for Argo CD and CEL for Flux. All three say the same on every
object (tests/health), so this file reads only what they can read: no pods, no clock, and not the Serve config, which is
a string that neither Lua nor CEL can take apart. `rayops.kube.closer` looks at those too.

KubeRay's Ready means "at least one endpoint": it stays true in a stuck upgrade, in an in-place update that ended in
DEPLOY_FAILED, and for some seconds after a head was lost. So Ready alone is never believed. Read from KubeRay 1.6.2:

- A failed validation returns before `observedGeneration` is written, and nothing takes the reason back from a service
  without endpoints; it is over when the status has seen a newer generation than the condition.
- While a pending cluster exists, the statuses of the active cluster's applications are left out.
- Applications are reported only while the head is ready.
- InitializingTimeout is final, and so is ValidationFailed of a RayJob: only a new object helps.
- The copy of the RayCluster's status in a RayService is written only when something else changes: its worker counts
  may be old for ever, so nothing is concluded from them.
- `observedGeneration` of a RayCluster is written only when something else changes, that of a RayJob never.
"""

from collections.abc import Callable
from typing import Final

from rayops.kube.objects import Obj, condition, dig, first_line, gist, is_true
from rayops.kube.verdict import Health, Layer, Status, Verdict

FAILED: Final = frozenset({"DEPLOY_FAILED", "UNHEALTHY"})


def judge(obj: Obj) -> Verdict:
    """The verdict on a RayService, RayCluster or RayJob. KeyError for another kind."""
    return _RULES[obj["kind"]](obj)


# RayService --------------------------------------------------------------------------------------------------------


def assess(service: Obj) -> Health:
    """Judge a RayService by its object alone."""
    if found := _special(service):
        return found
    cluster = serving_side(service)
    if found := _of_applications(cluster):
        return Health(found.status, found.layer, upgrade_prefix(service) + found.message)
    return _of_traffic(service, cluster)


def serving_side(service: Obj) -> Obj:
    """The status of the cluster that is to serve: the pending one where there is one, else the active one."""
    pending: Obj = dig(service, "status", "pendingServiceStatus", default={})
    active: Obj = dig(service, "status", "activeServiceStatus", default={})
    return pending if pending.get("rayClusterName") else active


def upgrade_prefix(service: Obj) -> str:
    """What a message about the serving side begins with: nothing, or the cluster that an upgrade makes."""
    name = serving_side(service).get("rayClusterName", "")
    return f"upgrade to cluster {name}: " if is_true(service, "UpgradeInProgress") else ""


def _special(service: Obj) -> Health | None:
    """The states in which the applications' statuses mean nothing."""
    if dig(service, "metadata", "deletionTimestamp"):
        return Health(Status.PROGRESSING, Layer.ACCEPTED, "being deleted")
    if dig(service, "spec", "rayClusterConfig", "suspend"):
        return Health(Status.SUSPENDED, Layer.ACCEPTED, "the RayService is suspended")
    ready = condition(service, "Ready") or {}
    reason, message = str(ready.get("reason", "")), first_line(ready.get("message"))
    observed = int(dig(service, "status", "observedGeneration", default=0))
    if reason == "ValidationFailed" and int(ready.get("observedGeneration") or 0) >= observed:
        return Health(Status.DEGRADED, Layer.ACCEPTED, f"the operator refuses the spec: {message}")
    if reason == "InitializingTimeout":
        return Health(Status.DEGRADED, Layer.ACCEPTED, f"final, must be deleted and made again: {message}")
    wanted = int(dig(service, "metadata", "generation", default=0))
    if observed != wanted:
        text = f"generation {wanted} is not yet seen by the operator (last seen: {observed})"
        return Health(Status.PROGRESSING, Layer.ACCEPTED, text)
    if is_true(service, "RollbackInProgress"):
        return Health(Status.PROGRESSING, Layer.ENDPOINTS, "rolling back to the cluster that served before")
    return None


def _of_applications(cluster: Obj) -> Health | None:
    """The first application that is not as it should be, failed ones first; None when all are."""
    apps: Obj = dig(cluster, "applicationStatuses", default={})
    if not apps:
        return _without_applications(cluster)
    bad = [found for name in sorted(apps) if (found := _of_application(name, apps[name]))]
    return next((found for found in bad if found.status is Status.DEGRADED), bad[0] if bad else None)


def _without_applications(cluster: Obj) -> Health:
    if not cluster.get("rayClusterName"):
        return Health(Status.PROGRESSING, Layer.ACCEPTED, "the operator has not yet made a RayCluster")
    # The copy of the cluster's status is from before, until there are applications to report.
    if not is_true(_as_object(cluster), "HeadPodReady"):
        text = f"no application is reported{_head_reason(cluster)}"
        return Health(Status.PROGRESSING, Layer.HEAD, text)
    return Health(Status.PROGRESSING, Layer.APPLICATIONS, "no application is deployed yet")


def _of_application(name: str, app: Obj) -> Health | None:
    deployments = dig(app, "serveDeploymentStatuses", default={})
    told = {d: (str(dig(s, "status", default="")), gist(dig(s, "message"))) for d, s in sorted(deployments.items())}
    status, message = str(app.get("status", "")), gist(app.get("message"))
    failed = [f"{d}: {text or state}" for d, (state, text) in told.items() if state in FAILED]
    updating = [f"{d}: {text or state}" for d, (state, text) in told.items() if state == "UPDATING"]
    text = "; ".join(part for part in (message, *failed, *updating) if part)
    message = f"application {name} {status}" + (f": {text}" if text else "")
    if status in FAILED or failed:
        return Health(Status.DEGRADED, Layer.APPLICATIONS, message)
    if status != "RUNNING" or updating:
        return Health(Status.PROGRESSING, Layer.APPLICATIONS, message)
    return None


def _of_traffic(service: Obj, cluster: Obj) -> Health:
    """The verdict once every application of the serving side is RUNNING."""
    head = condition(_as_object(cluster), "HeadPodReady")
    if head and head.get("status", "True") != "True":
        text = f"the statuses may be old{_head_reason(cluster)}"
        return Health(Status.PROGRESSING, Layer.HEAD, text)
    ready = condition(service, "Ready") or {}
    if ready.get("status") != "True":
        # The message of a validation that was mended since would mislead.
        text = first_line(ready.get("message")) if ready.get("reason") != "ValidationFailed" else ""
        return Health(Status.PROGRESSING, Layer.ENDPOINTS, text or "no endpoint is ready")
    if prefix := upgrade_prefix(service):
        return Health(Status.PROGRESSING, Layer.ENDPOINTS, f"{prefix}the new cluster is ready, traffic moves")
    return Health(Status.HEALTHY, Layer.DATA_PATH, "every application is RUNNING and the serve Service has endpoints")


def _as_object(cluster: Obj) -> Obj:
    return {"status": dig(cluster, "rayClusterStatus", default={})}


def _head_reason(cluster: Obj) -> str:
    why = _told(_as_object(cluster), "HeadPodReady")
    return f": the head is not ready ({why})" if why else ""


# RayCluster --------------------------------------------------------------------------------------------------------


def assess_cluster(cluster: Obj) -> Verdict:
    """Judge a RayCluster by its object alone."""
    spec, status = dig(cluster, "spec", default={}), dig(cluster, "status", default={})
    if dig(cluster, "metadata", "deletionTimestamp"):
        return Verdict(Status.PROGRESSING, "being deleted")
    if is_true(cluster, "RayClusterSuspended"):
        # Removing `suspend` from the spec does not resume it.
        return Verdict(Status.SUSPENDED, "the RayCluster is suspended until its spec says suspend: false")
    if spec.get("suspend"):
        return Verdict(Status.PROGRESSING, "suspending: the pods are being deleted")
    if is_true(cluster, "ReplicaFailure"):
        return Verdict(Status.DEGRADED, f"a pod cannot be made or deleted: {_told(cluster, 'ReplicaFailure')}")
    # Provisioned stays True for ever once all pods were ready; what follows tells what is lost since.
    if not is_true(cluster, "RayClusterProvisioned"):
        return Verdict(Status.PROGRESSING, f"not yet provisioned: {_told(cluster, 'HeadPodReady')}")
    if not is_true(cluster, "HeadPodReady"):
        return Verdict(Status.PROGRESSING, f"the head is not ready: {_told(cluster, 'HeadPodReady')}")
    # An autoscaler that waits for a node is at work, not broken: only the minimum is asked for.
    wanted = int(status.get("minWorkerReplicas" if spec.get("enableInTreeAutoscaling") else "desiredWorkerReplicas", 0))
    ready = int(status.get("readyWorkerReplicas", 0))
    if ready < wanted:
        return Verdict(Status.PROGRESSING, f"{ready} of {wanted} worker pods are ready")
    return Verdict(Status.HEALTHY, f"the head and {ready} worker pods are ready")


def _told(obj: Obj, type_: str) -> str:
    found = condition(obj, type_)
    return gist(dig(found, "message") or dig(found, "reason"))


# RayJob ------------------------------------------------------------------------------------------------------------


def assess_job(job: Obj) -> Verdict:
    """Judge a RayJob by its object alone."""
    status = dig(job, "status", default={})
    state, ended = str(status.get("jobDeploymentStatus", "")), str(status.get("jobStatus", ""))
    message = gist(status.get("message"))
    why = f"{status.get('reason', '')}: {message}"
    if dig(job, "metadata", "deletionTimestamp"):
        return Verdict(Status.PROGRESSING, "being deleted")
    if state == "Complete":
        if ended == "SUCCEEDED":
            return Verdict(Status.HEALTHY, "the job succeeded")
        return Verdict(Status.DEGRADED, f"the job ended {ended}: {message}")
    known = {
        "": Verdict(Status.PROGRESSING, "the operator has not yet begun"),
        "ValidationFailed": Verdict(Status.DEGRADED, f"final, must be deleted and made again: {message}"),
        "Failed": Verdict(Status.DEGRADED, f"the job failed: {why}"),
        "Retrying": Verdict(Status.PROGRESSING, f"it failed and is tried again: {why}"),
        "Suspended": Verdict(Status.SUSPENDED, "the RayJob is suspended"),
        "Waiting": Verdict(Status.SUSPENDED, "it waits until somebody submits the job"),
    }
    running = Verdict(Status.PROGRESSING, f"the job is {state}" + (f", {ended}" if ended else ""))
    return known.get(state, running)


def _service_verdict(service: Obj) -> Verdict:
    found = assess(service)
    return Verdict(found.status, found.message)


_RULES: Final[dict[str, Callable[[Obj], Verdict]]] = {
    "RayService": _service_verdict,
    "RayCluster": assess_cluster,
    "RayJob": assess_job,
}
