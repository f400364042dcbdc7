from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.kube.closer import Surroundings, assess_closely
from rayops.kube.objects import Obj
from rayops.kube.verdict import Health, Layer, Status

CASES: list[Obj] = yaml.safe_load((Path(__file__).parent / "data" / "health.yaml").read_text())
WRITTEN = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)


def assess(service: Obj, pods: Sequence[Obj] = (), events: Sequence[Obj] = (), now: datetime | None = None) -> Health:
    return assess_closely(service, Surroundings(pods, events, now))


def service(of: str, **metadata: Any) -> Obj:
    case = next(case for case in CASES if case["name"] == of)
    return filled({**case["service"], "metadata": {**case["service"].get("metadata", {}), **metadata}})


def filled(obj: Obj) -> Obj:
    return {
        "metadata": {"generation": 1, **obj.get("metadata", {})},
        "spec": {"serveConfigV2": "applications: [{name: rag, import_path: a:b}]", **obj.get("spec", {})},
        "status": obj.get("status", {}),
    }


def pod(node_type: str, *, cluster: str = "rag-aaaaa", ready: bool = True, **status: Any) -> Obj:
    group = "headgroup" if node_type == "head" else "cpu"
    labels = {"ray.io/cluster": cluster, "ray.io/node-type": node_type, "ray.io/group": group}
    conditions = [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}]
    state = {"name": "ray", "image": "local/pipeline:dev", "state": {"running": {}}}
    return {
        "metadata": {"name": f"{cluster}-{node_type}", "labels": labels},
        "status": {"conditions": conditions, "containerStatuses": [state], **status},
    }


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_verdict_on_a_status(case: Obj) -> None:
    health = assess(filled(case["service"]))
    status, layer, message = case["verdict"]
    assert (health.status.value, health.layer.name) == (status, layer), health
    assert message in health.message


def test_ready_alone_is_healthy_in_no_case_but_those_that_say_so() -> None:
    healthy = [case["name"] for case in CASES if assess(filled(case["service"])).healthy]
    assert healthy == [
        "healthy",
        "a deployment that autoscales is healthy",
        "an application without a name is called default",
    ]


def changed() -> Obj:
    obj = service("healthy", generation=2)
    obj["status"] = {**obj["status"], "observedGeneration": 2}
    return obj


def test_statuses_of_a_changed_spec_must_settle() -> None:
    early = assess(changed(), now=WRITTEN + timedelta(seconds=3))
    assert (early.status, early.layer) == (Status.PROGRESSING, Layer.APPLICATIONS)
    assert assess(changed(), now=WRITTEN + timedelta(seconds=6)).healthy


def test_a_first_spec_has_nothing_to_settle() -> None:
    assert assess(service("healthy"), now=WRITTEN + timedelta(seconds=1)).healthy


@pytest.mark.parametrize(("generation", "ready_for_s", "healthy"), [(2, 1, True), (2, 60, False), (3, 1, False)])
def test_the_operators_own_first_update_is_no_changed_spec(generation: int, ready_for_s: int, healthy: bool) -> None:
    obj = changed()
    obj["metadata"]["generation"] = obj["status"]["observedGeneration"] = generation
    now = WRITTEN + timedelta(seconds=1)
    ready = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": (now - timedelta(seconds=ready_for_s)).isoformat(),
    }
    obj["status"]["conditions"] = [ready]
    assert assess(obj, now=now).healthy is healthy


def test_a_lost_head_makes_running_statuses_old_news() -> None:
    assert assess(service("healthy"), [pod("head"), pod("worker")]).healthy
    for pods in ([pod("worker")], [pod("head", ready=False), pod("worker")], [pod("head", cluster="other")]):
        health = assess(service("healthy"), pods)
        assert (health.status, health.layer) == (Status.PROGRESSING, Layer.HEAD), pods


def test_a_broken_image_of_the_new_cluster_degrades_the_upgrade() -> None:
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "local/pipeline:gone"'}
    state = {"name": "ray-head", "image": "local/pipeline:gone", "state": {"waiting": waiting}}
    bad = pod("head", cluster="rag-bbbbb", ready=False, containerStatuses=[state])
    obj = service("an upgrade runs, the old cluster serves")
    obj["status"] = {**obj["status"], "pendingServiceStatus": {"rayClusterName": "rag-bbbbb"}}
    health = assess(obj, [pod("head"), bad])
    assert (health.status, health.layer) == (Status.DEGRADED, Layer.HEAD)
    assert "upgrade to cluster rag-bbbbb" in health.message
    assert "ImagePullBackOff" in health.message
    assert "local/pipeline:gone" in health.message


def test_pods_without_a_node_hold_the_scheduled_layer_and_say_why() -> None:
    condition = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available: 1 Insufficient cpu."}
    health = assess(service("first cluster is being made"), [pod("head", conditions=[condition])])
    assert (health.status, health.layer) == (Status.PROGRESSING, Layer.SCHEDULED)
    assert "Insufficient cpu" in health.message


def test_workers_that_do_not_run_hold_the_workers_layer() -> None:
    worker = pod(
        "worker", ready=False, containerStatuses=[{"name": "ray", "state": {"waiting": {"reason": "PodInitializing"}}}]
    )
    health = assess(service("the head is ready, nothing is deployed yet"), [pod("head"), worker])
    assert (health.layer, health.message) == (Layer.WORKERS, "1 of 1 worker pods do not yet run")
    running = pod("worker", ready=False)
    assert (
        assess(service("the head is ready, nothing is deployed yet"), [pod("head"), running]).layer
        is Layer.APPLICATIONS
    )


def test_a_serve_config_that_the_operator_cannot_submit_is_degraded() -> None:
    refused = {"reason": "FailedToUpdateServeApplications", "message": "bad", "lastTimestamp": "2026-11-21T10:00:00Z"}
    obj = service("a changed spec that the operator has not seen")
    assert assess(obj, events=[refused], now=WRITTEN).status is Status.DEGRADED
    assert assess(obj, events=[refused], now=WRITTEN + timedelta(hours=1)).status is Status.PROGRESSING
    accepted = {"reason": "UpdatedServeApplications", "lastTimestamp": "2026-11-21T10:00:05Z"}
    assert assess(obj, events=[refused, accepted], now=WRITTEN).status is Status.PROGRESSING


def test_layers_are_in_the_order_in_which_they_come_true_and_have_words() -> None:
    assert [layer.label for layer in sorted(Layer)] == [
        "operator accepted",
        "cluster pods scheduled",
        "head ready",
        "workers running",
        "applications running",
        "endpoints",
        "data path answers",
    ]
    assert str(Health(Status.DEGRADED, Layer.HEAD, "why")) == "Degraded at 'head ready': why"
