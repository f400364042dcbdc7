from datetime import UTC, datetime

import pytest

from rayops.kube.causes import pod_causes
from rayops.kube.objects import Obj

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def pod(name: str, *states: Obj, group: str = "cpu", init: bool = False) -> Obj:
    field = "initContainerStatuses" if init else "containerStatuses"
    return {"metadata": {"name": name, "labels": {"ray.io/group": group}}, "status": {field: list(states)}}


def waiting(reason: str, message: str = "", **state: object) -> Obj:
    return {"name": "ray", "image": "img:1", "state": {"waiting": {"reason": reason, "message": message}}, **state}


@pytest.mark.parametrize(
    ("of", "text", "fatal"),
    [
        (pod("w", waiting("ErrImageNeverPull")), "cpu worker pod w ErrImageNeverPull (image img:1)", True),
        (
            pod("h", waiting("ImagePullBackOff", 'Back-off pulling "img:1"\nmore'), group="headgroup"),
            'head pod h ImagePullBackOff (image img:1, Back-off pulling "img:1")',
            True,
        ),
        (
            pod(
                "w",
                waiting(
                    "CrashLoopBackOff",
                    "back-off 10s",
                    lastState={"terminated": {"reason": "OOMKilled", "exitCode": 137}},
                ),
            ),
            "cpu worker pod w CrashLoopBackOff (OOMKilled, exit code 137, back-off 10s)",
            True,
        ),
        (
            pod("w", {"name": "wait-gcs", "state": {"terminated": {"exitCode": 1, "message": "no head"}}}, init=True),
            "cpu worker pod w container wait-gcs ended: Error, exit code 1, no head",
            False,
        ),
    ],
)
def test_the_cause_is_named(of: Obj, text: str, *, fatal: bool) -> None:
    (cause,) = pod_causes([of])
    assert (cause.text, cause.fatal) == (text, fatal)


def test_nothing_is_wrong_with_pods_that_run_start_end_well_or_leave() -> None:
    leaving = pod("x", waiting("CrashLoopBackOff"))
    leaving["metadata"]["deletionTimestamp"] = "2026-11-21T10:00:00Z"
    fine = [
        pod("a", {"name": "ray", "state": {"running": {}}}),
        pod("b", waiting("ContainerCreating")),
        pod("c", {"name": "ray", "state": {"terminated": {"exitCode": 0}}}),
        leaving,
    ]
    assert pod_causes(fine) == []


def test_fatal_causes_come_first() -> None:
    unschedulable: Obj = {
        "metadata": {"name": "u"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": "Insufficient cpu"}]},
    }
    found = pod_causes([unschedulable, pod("w", waiting("RunContainerError"))])
    assert [cause.fatal for cause in found] == [True, False]
    assert found[1].text == "pod u cannot be scheduled: Insufficient cpu"


def test_the_last_refused_pod_is_a_cause_while_it_is_news() -> None:
    events = [
        {"reason": "FailedToCreateHeadPod", "message": "second", "lastTimestamp": "2026-11-21T09:59:00Z"},
        {"reason": "FailedToCreateHeadPod", "message": "first", "lastTimestamp": "2026-11-21T09:58:00Z"},
        {"reason": "FailedToCreateHeadPod", "message": "ancient", "lastTimestamp": "2026-11-21T08:00:00Z"},
        {"reason": "CreatedHeadPod", "message": "other", "lastTimestamp": "2026-11-21T09:59:30Z"},
    ]
    assert [(c.text, c.fatal) for c in pod_causes([], events, NOW)] == [("second", True)]
    assert pod_causes([], events[2:3], NOW) == []
