"""What a look into the cluster adds to the health rule of a RayService: its Serve config, pods, events, and the clock.

Argo CD and Flux see the object alone (`rayops.kube.health`). From KubeRay 1.6.2: the operator reads the applications'
statuses before it submits a changed Serve config, and writes both the new observedGeneration and the old RUNNING. Only
its next look, 2 s later, tells the truth: see SETTLE.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import yaml

from rayops.kube import causes
from rayops.kube.health import assess, serving_side, upgrade_prefix
from rayops.kube.objects import (
    CLUSTER_LABEL,
    NODE_TYPE_LABEL,
    Obj,
    condition,
    dig,
    first_line,
    is_true,
    labels_of,
    parse_time,
)
from rayops.kube.verdict import Health, Layer, Status

# Two looks of the operator (2 s each) and one second for the resolution of its time stamps.
SETTLE: Final = timedelta(seconds=5)


@dataclass(frozen=True)
class Surroundings:
    """What else was seen in a RayService's namespace. now: the time of the look."""

    pods: Sequence[Obj] = ()
    events: Sequence[Obj] = ()
    now: datetime | None = None


def assess_closely(service: Obj, around: Surroundings) -> Health:
    """Judge a RayService by its object, and correct that by what the object cannot tell; name causes.

    With a time, a status younger than SETTLE after a changed spec is not yet Healthy.
    """
    by_object = assess(service)
    if _is_final(service, by_object):
        return by_object
    if refusal := _refused_serve_config(service, around):
        return refusal
    if not _seen(service):
        return by_object
    cluster = serving_side(service)
    pods = [pod for pod in around.pods if labels_of(pod).get(CLUSTER_LABEL) == cluster.get("rayClusterName", "")]
    found = by_object
    if by_object.status is not Status.DEGRADED:
        found = _prefixed(upgrade_prefix(service), _of_serve_config(service, cluster, pods)) or by_object
    if found.healthy and around.pods and not _head_ready(pods):
        found = Health(Status.PROGRESSING, Layer.HEAD, "the head pod is not ready, so the statuses may be old")
    if not found.healthy:
        return _with_cause(found, causes.pod_causes(pods, around.events, around.now))
    if _unsettled(service, around.now):
        text = "the operator has not yet looked twice at the changed spec"
        return Health(Status.PROGRESSING, Layer.APPLICATIONS, text)
    return found


def _prefixed(prefix: str, found: Health | None) -> Health | None:
    return found and Health(found.status, found.layer, prefix + found.message)


def _is_final(service: Obj, by_object: Health) -> bool:
    """Whether nothing around the object can say more: suspended, going away, refused, timed out, rolling back."""
    decided = by_object.layer is Layer.ACCEPTED and by_object.status is not Status.PROGRESSING
    leaving = dig(service, "metadata", "deletionTimestamp") is not None
    return decided or leaving or (_seen(service) and is_true(service, "RollbackInProgress"))


def _seen(service: Obj) -> bool:
    observed = dig(service, "status", "observedGeneration", default=0)
    return bool(observed == dig(service, "metadata", "generation", default=0))


def _refused_serve_config(service: Obj, around: Surroundings) -> Health | None:
    """A Serve config that the operator cannot hand over: it then never writes the generation."""
    try:
        _application_names(service)
    except yaml.YAMLError as error:
        return Health(Status.DEGRADED, Layer.ACCEPTED, f"serveConfigV2 is not YAML: {first_line(error)}")
    refusal = None if _seen(service) else causes.serve_config_cause(around.events, around.now)
    return Health(Status.DEGRADED, Layer.ACCEPTED, refusal.text) if refusal else None


def _application_names(service: Obj) -> list[str]:
    config = yaml.safe_load(dig(service, "spec", "serveConfigV2", default="") or "{}")
    listed = dig(config, "applications", default=[])
    return [str(dig(app, "name", default="default")) for app in listed if isinstance(app, dict)]


def _of_serve_config(service: Obj, cluster: Obj, pods: Sequence[Obj]) -> Health | None:
    """The first difference between the applications of the spec and those reported, or how far their pods are."""
    names = _application_names(service)
    reported = dig(cluster, "applicationStatuses", default={})
    missing = [name for name in names if name not in reported]
    if pods and len(missing) == len(names) and (found := _of_pods(pods)):
        return found
    gone = [name for name in sorted(reported) if name not in names]
    if not reported or not (missing or gone):
        return None
    text = f"{missing[0]} is not yet deployed" if missing else f"{gone[0]} is not in the spec and not yet gone"
    return Health(Status.PROGRESSING, Layer.APPLICATIONS, f"application {text}")


def _of_pods(pods: Sequence[Obj]) -> Health | None:
    """How far the pods of a cluster without applications are; None when they are all there."""
    workers = [pod for pod in pods if labels_of(pod).get(NODE_TYPE_LABEL) == "worker"]
    if not all(causes.scheduled(pod) for pod in pods):
        return Health(Status.PROGRESSING, Layer.SCHEDULED, "not every pod has a node")
    if not _head_ready(pods):
        return Health(Status.PROGRESSING, Layer.HEAD, "the head is not ready")
    if waiting := [pod for pod in workers if not causes.running(pod)]:
        return Health(Status.PROGRESSING, Layer.WORKERS, f"{len(waiting)} of {len(workers)} worker pods do not yet run")
    return Health(Status.PROGRESSING, Layer.APPLICATIONS, "no application is deployed yet")


def _head_ready(pods: Sequence[Obj]) -> bool:
    return any(labels_of(pod).get(NODE_TYPE_LABEL) == "head" and causes.ready(pod) for pod in pods)


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


def _with_cause(verdict: Health, found: Sequence[causes.Cause]) -> Health:
    status = Status.DEGRADED if found and found[0].fatal else verdict.status
    text = "; ".join([verdict.message, *(cause.text for cause in found[:1])])
    return Health(status, verdict.layer, text)
