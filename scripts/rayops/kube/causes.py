"""Why pods do not run: what the kubelet, the scheduler and admission say, most telling first. Pure functions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from rayops.kube.objects import Obj, dig, first_line, is_true, labels_of, name_of, parse_time

# Waiting reasons of a container that no time will mend.
BROKEN: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
# Events of the operator that say that a pod was refused (admission, quota), or the Serve config was.
REFUSED: Final = frozenset({"FailedToCreateHeadPod", "FailedToCreateWorkerPod"})
SERVE_REFUSED: Final = "FailedToUpdateServeApplications"
SERVE_ACCEPTED: Final = "UpdatedServeApplications"
# The operator repeats a failing step every 2 s; its event recorder lets a repeated event through every 5 min at worst.
EVENT_IS_NEWS: Final = timedelta(minutes=6)


@dataclass(frozen=True)
class Cause:
    """One reason. fatal: waiting does not help, somebody must change something."""

    text: str
    fatal: bool


def pod_causes(pods: Iterable[Obj], events: Sequence[Obj] = (), now: datetime | None = None) -> list[Cause]:
    """Every reason why one of these pods does not run, and why others could not be made; fatal ones first.

    events: of the namespace; only young ones (by `now`) about refused pods count.
    """
    found = [cause for pod in pods for cause in _of_pod(pod)]
    found += [Cause(first_line(event.get("message")), fatal=True) for event in news(events, REFUSED, now)[-1:]]
    return sorted(found, key=lambda cause: not cause.fatal)


def serve_config_cause(events: Sequence[Obj], now: datetime | None = None) -> Cause | None:
    """The operator's last word about the Serve config, if it was a refusal."""
    said = news(events, {SERVE_REFUSED, SERVE_ACCEPTED}, now)
    if not said or said[-1].get("reason") == SERVE_ACCEPTED:
        return None
    return Cause(f"Serve config refused: {first_line(said[-1].get('message'))}", fatal=True)


def news(events: Sequence[Obj], reasons: Iterable[str], now: datetime | None) -> list[Obj]:
    """The events of these reasons, oldest first; only young ones when `now` is given."""
    wanted = set(reasons)
    dated = [(when(event), event) for event in events if event.get("reason") in wanted]
    young = [(at, event) for at, event in dated if not (now and at and now - at > EVENT_IS_NEWS)]
    return [event for _, event in sorted(young, key=lambda pair: pair[0].isoformat() if pair[0] else "")]


def when(event: Obj) -> datetime | None:
    """The last time at which an event happened."""
    for field in ("lastTimestamp", "eventTime", "firstTimestamp"):
        if found := parse_time(event.get(field)):
            return found
    return None


def ready(pod: Obj) -> bool:
    """Whether the pod's Ready condition is true and it is not going away."""
    return is_true(pod, "Ready") and not dig(pod, "metadata", "deletionTimestamp")


def scheduled(pod: Obj) -> bool:
    """Whether a node was found for the pod."""
    return bool(dig(pod, "spec", "nodeName")) or is_true(pod, "PodScheduled")


def running(pod: Obj) -> bool:
    """Whether every container of the pod runs, ready or not."""
    states = dig(pod, "status", "containerStatuses", default=[])
    return bool(states) and all(dig(state, "state", "running") is not None for state in states)


def _of_pod(pod: Obj) -> list[Cause]:
    if dig(pod, "metadata", "deletionTimestamp"):
        return []
    who = _who(pod)
    found = [Cause(f"{who} cannot be scheduled: {text}", fatal=False) for text in _unschedulable(pod)]
    for field in ("initContainerStatuses", "containerStatuses"):
        for state in dig(pod, "status", field, default=[]):
            found += _of_container(who, state)
    return found


def _of_container(who: str, state: Obj) -> list[Cause]:
    waiting = dig(state, "state", "waiting", "reason", default="")
    if waiting in BROKEN:
        text = first_line(dig(state, "state", "waiting", "message"), 200)
        died = _death(dig(state, "lastState", "terminated"))
        details = ", ".join(
            part for part in (f"image {state.get('image')}" if "mage" in waiting else died, text) if part
        )
        return [Cause(f"{who} {waiting} ({details})" if details else f"{who} {waiting}", fatal=True)]
    ended = dig(state, "state", "terminated")
    if ended and ended.get("exitCode"):
        return [Cause(f"{who} container {state.get('name')} ended: {_death(ended)}", fatal=False)]
    return []


def _death(ended: Obj | None) -> str:
    if not ended:
        return ""
    said = first_line(ended.get("message"), 160)
    return f"{ended.get('reason') or 'Error'}, exit code {ended.get('exitCode')}" + (f", {said}" if said else "")


def _unschedulable(pod: Obj) -> list[str]:
    conditions = dig(pod, "status", "conditions", default=[])
    return [
        first_line(c.get("message"), 200)
        for c in conditions
        if c.get("type") == "PodScheduled" and c.get("status") == "False"
    ]


def _who(pod: Obj) -> str:
    group = labels_of(pod).get("ray.io/group", "")
    kind = {"headgroup": "head pod", "": "pod"}.get(group, f"{group} worker pod")
    return f"{kind} {name_of(pod)}"
