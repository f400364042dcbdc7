"""The one health rule for a RayService (its other renderings are Lua for Argo CD and CEL for Flux).

KubeRay's Ready means "at least one endpoint": it stays true in a stuck upgrade, in an in-place update that ended in
DEPLOY_FAILED, and for some seconds after a head was lost. So Ready alone is never believed. Read from KubeRay 1.6.2:

- A failed validation returns before `observedGeneration` is written, and nothing takes the reason back from a service
  without endpoints; it is over when the status has seen a newer generation than the condition.
- The operator reads the applications' statuses before it submits a changed Serve config, and writes both the new
  observedGeneration and the old RUNNING. Only its next look, 2 s later, tells the truth: see SETTLE.
- While a pending cluster exists, the statuses of the active cluster's applications are left out.
- InitializingTimeout is final: only a new RayService helps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, IntEnum
from typing import Final

import yaml

from rayops.kube import causes
from rayops.kube.objects import (
    CLUSTER_LABEL,
    NODE_TYPE_LABEL,
    Obj,
    condition,
    dig,
    first_line,
    gist,
    is_true,
    labels_of,
    parse_time,
)

# Two looks of the operator (2 s each) and one second for the resolution of its time stamps.
SETTLE: Final = timedelta(seconds=5)


class Status(Enum):
    """The verdict, in the words of Argo CD."""

    HEALTHY = "Healthy"
    PROGRESSING = "Progressing"
    DEGRADED = "Degraded"
    SUSPENDED = "Suspended"


class Layer(IntEnum):
    """What must come true, in this order, until requests are answered."""

    ACCEPTED = 1
    SCHEDULED = 2
    HEAD = 3
    WORKERS = 4
    APPLICATIONS = 5
    ENDPOINTS = 6
    DATA_PATH = 7

    @property
    def label(self) -> str:
        """The layer in words, for a progress line."""
        return _LABELS[self]


_LABELS: Final = {
    Layer.ACCEPTED: "operator accepted",
    Layer.SCHEDULED: "cluster pods scheduled",
    Layer.HEAD: "head ready",
    Layer.WORKERS: "workers running",
    Layer.APPLICATIONS: "applications running",
    Layer.ENDPOINTS: "endpoints",
    Layer.DATA_PATH: "data path answers",
}


@dataclass(frozen=True)
class Health:
    """The verdict on a RayService. layer: the first one not reached; DATA_PATH is for the caller's probe to see."""

    status: Status
    layer: Layer
    message: str

    @property
    def healthy(self) -> bool:
        """Whether every status says that requests are served as the spec wants it. Not proof that they are: probe."""
        return self.status is Status.HEALTHY

    def __str__(self) -> str:
        return f"{self.status.value} at '{self.layer.label}': {self.message}"


def assess(service: Obj, pods: Sequence[Obj] = (), events: Sequence[Obj] = (), now: datetime | None = None) -> Health:
    """Judge a RayService by its object alone, and name causes from the pods and events of its namespace if given.

    now: the time of the look; with it a status younger than SETTLE after a changed spec is not yet Healthy.
    """
    if verdict := _special(service, events, now):
        return verdict
    target = str(
        dig(service, "status", "pendingServiceStatus", "rayClusterName", default="")
        or dig(service, "status", "activeServiceStatus", "rayClusterName", default="")
    )
    mine = [pod for pod in pods if labels_of(pod).get(CLUSTER_LABEL) == target]
    upgrade = f"upgrade to cluster {target}: " if is_true(service, "UpgradeInProgress") else ""
    verdict = _of_applications(service, mine) or _of_endpoints(service)
    if verdict is None and pods and not _head_ready(mine):
        verdict = Health(Status.PROGRESSING, Layer.HEAD, "the head pod is not ready, so the statuses may be old")
    if verdict:
        return _with_cause(verdict, upgrade, causes.pod_causes(mine, events, now))
    if upgrade:
        return Health(Status.PROGRESSING, Layer.ENDPOINTS, f"{upgrade}it is ready, traffic moves")
    if _unsettled(service, now):
        return Health(
            Status.PROGRESSING, Layer.APPLICATIONS, "the operator has not yet looked twice at the changed spec"
        )
    return Health(Status.HEALTHY, Layer.DATA_PATH, "every application is RUNNING and the serve Service has endpoints")


def _special(service: Obj, events: Sequence[Obj], now: datetime | None) -> Health | None:
    """The states in which the applications' statuses mean nothing."""
    if is_true(service, "Suspended") or dig(service, "spec", "rayClusterConfig", "suspend"):
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
        if refusal := causes.serve_config_cause(events, now):
            return Health(Status.DEGRADED, Layer.ACCEPTED, refusal.text)
        text = f"generation {wanted} is not yet seen by the operator (last seen: {observed})"
        return Health(Status.PROGRESSING, Layer.ACCEPTED, text)
    if is_true(service, "RollbackInProgress"):
        return Health(Status.PROGRESSING, Layer.ENDPOINTS, "rolling back to the cluster that served before")
    return None


def _of_applications(service: Obj, pods: Sequence[Obj]) -> Health | None:
    """The first application that is not as it should be, or None. pods: those of the cluster that will serve."""
    try:
        names = _application_names(service)
    except yaml.YAMLError as error:
        return Health(Status.DEGRADED, Layer.ACCEPTED, f"serveConfigV2 is not YAML: {first_line(error)}")
    side = (
        "pendingServiceStatus"
        if dig(service, "status", "pendingServiceStatus", "rayClusterName")
        else "activeServiceStatus"
    )
    seen = dig(service, "status", side, "applicationStatuses", default={})
    verdicts = [_of_application(name, seen.get(name)) for name in names]
    verdicts += [_leftover(name) for name in seen if name not in names]
    bad = sorted((v for v in verdicts if v), key=lambda v: v.status is not Status.DEGRADED)
    if not bad:
        return None
    if bad[0].status is Status.DEGRADED or any(seen.get(name) for name in names):
        return bad[0]
    return _of_pods(service, side, pods) or bad[0]


def _application_names(service: Obj) -> list[str]:
    config = yaml.safe_load(dig(service, "spec", "serveConfigV2", default="") or "{}")
    listed = dig(config, "applications", default=[])
    return [str(dig(app, "name", default="default")) for app in listed if isinstance(app, dict)]


def _of_application(name: str, app: Obj | None) -> Health | None:
    if not app:
        return Health(Status.PROGRESSING, Layer.APPLICATIONS, f"application {name} is not yet deployed")
    deployments = dig(app, "serveDeploymentStatuses", default={})
    told = {d: (str(dig(s, "status", default="")), gist(dig(s, "message"))) for d, s in deployments.items()}
    status, message = str(app.get("status", "")), gist(app.get("message"))
    failed = [f"{d}: {text or state}" for d, (state, text) in told.items() if state in {"DEPLOY_FAILED", "UNHEALTHY"}]
    if status in {"DEPLOY_FAILED", "UNHEALTHY"} or failed:
        text = "; ".join(part for part in (message, *failed) if part)
        return Health(Status.DEGRADED, Layer.APPLICATIONS, f"application {name} {status}: {text}")
    updating = [f"{d}: {text or state}" for d, (state, text) in told.items() if state == "UPDATING"]
    if status != "RUNNING" or updating:
        text = "; ".join(part for part in (message, *updating) if part)
        return Health(
            Status.PROGRESSING, Layer.APPLICATIONS, f"application {name} {status}" + (f": {text}" if text else "")
        )
    return None


def _leftover(name: str) -> Health:
    return Health(Status.PROGRESSING, Layer.APPLICATIONS, f"application {name} is not in the spec and not yet gone")


def _of_pods(service: Obj, side: str, pods: Sequence[Obj]) -> Health | None:
    """How far the pods of a cluster without applications are; None when they are all there, or unknown."""
    cluster = dig(service, "status", side, "rayClusterStatus", default={})
    if not pods and not dig(service, "status", side, "rayClusterName"):
        return Health(Status.PROGRESSING, Layer.ACCEPTED, "the operator has not yet made a RayCluster")
    workers = [pod for pod in pods if labels_of(pod).get(NODE_TYPE_LABEL) == "worker"]
    if pods and not all(causes.scheduled(pod) for pod in pods):
        return Health(Status.PROGRESSING, Layer.SCHEDULED, "not every pod has a node")
    if not (_head_ready(pods) if pods else is_true({"status": cluster}, "HeadPodReady")):
        why = first_line(dig(condition({"status": cluster}, "HeadPodReady"), "message"))
        return Health(Status.PROGRESSING, Layer.HEAD, f"the head is not ready{': ' + why if why else ''}")
    if waiting := [pod for pod in workers if not causes.running(pod)]:
        return Health(Status.PROGRESSING, Layer.WORKERS, f"{len(waiting)} of {len(workers)} worker pods do not yet run")
    return None


def _head_ready(pods: Sequence[Obj]) -> bool:
    return any(labels_of(pod).get(NODE_TYPE_LABEL) == "head" and causes.ready(pod) for pod in pods)


def _of_endpoints(service: Obj) -> Health | None:
    ready = condition(service, "Ready") or {}
    if ready.get("status") == "True":
        return None
    # The message of a validation that was mended since would mislead.
    text = first_line(ready.get("message")) if ready.get("reason") != "ValidationFailed" else ""
    return Health(Status.PROGRESSING, Layer.ENDPOINTS, text or "no endpoint is ready")


def _unsettled(service: Obj, now: datetime | None) -> bool:
    """Whether the statuses may still be those of the spec before; a first spec has none before it.

    The operator's own first update (its finalizer, written with the defaults) makes generation 2 of a first spec: then
    Ready has only just become true.
    """
    written = parse_time(dig(service, "status", "lastUpdateTime"))
    ready = parse_time((condition(service, "Ready") or {}).get("lastTransitionTime"))
    generation = int(dig(service, "metadata", "generation", default=1))
    first = generation == 1 or (generation == 2 and now and ready and now - ready < SETTLE)
    return bool(now and written and not first and now - written < SETTLE)


def _with_cause(verdict: Health, prefix: str, found: Sequence[causes.Cause]) -> Health:
    status = Status.DEGRADED if found and found[0].fatal else verdict.status
    return Health(status, verdict.layer, prefix + "; ".join([verdict.message, *(cause.text for cause in found[:1])]))
