"""What changes do to running traffic: one RayService, changed in place and anew, broken and mended, hit by faults.

The tests run in the order of this file on one deployment; each starts from what was deployed first, healthy and alone.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rayops.kube import Health, Kube, Status, Timeout, equals, eventually
from rayops.kube.objects import CLUSTER_LABEL, NODE_TYPE_LABEL, RAY_CLUSTER, labels_of, name_of
from rayops.paths import ROOT
from tests.harness import Cluster, Load, ServiceUnderTest, faults, getters, selectors
from tests.harness import overlay as o
from tests.harness.helpers import IDENTITY, NEXT_IMAGE
from tests.harness.service import revision

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
OVERLAY = ROOT / "overlays" / "local" / "rag"
OLD_CLUSTER_STAYS_S = 15
IDLE_WORKER_STAYS_S = 10
GONE_IMAGE = "local/pipeline:does-not-exist"
# A worker that is lost at once takes every replica with it where there is one worker. First bound, to be replaced by
# 1.5 times what results.json says.
WORKER_LOSS_BOUND_S = 120.0


@pytest.fixture(scope="module")
def shared(
    cluster: Cluster, kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> Iterator[ServiceUnderTest]:
    with new_namespace("changes") as namespace:
        quick = (o.deletion_delay(OLD_CLUSTER_STAYS_S), o.idle_timeout(IDLE_WORKER_STAYS_S))
        yield ServiceUnderTest.deploy(cluster, kube, namespace, OVERLAY, *quick)


@pytest.fixture
def service(shared: ServiceUnderTest) -> ServiceUnderTest:
    """The shared service, as it was deployed first."""
    shared.restore()
    return shared


def assert_no_failure(load: Load) -> None:
    summary = load.summary()
    assert summary.sent > 20
    assert summary.failures == 0, (summary, load.failures[:5])


def test_a_serve_only_change_is_taken_in_place(
    service: ServiceUnderTest, folder: Path, record: Callable[..., None]
) -> None:
    before = service.cluster_uids()
    with service.load(folder / "load.jsonl", rate=10, observe=revision) as load:
        time.sleep(3)  # traffic before the change
        changed_s = load.now()
        service.change(o.user_config("Ingress", revision="e2e-in-place"))
        service.wait_healthy()
        time.sleep(3)  # traffic after it
    record(**load.summary().as_dict(), changed_s=changed_s, new_value_s=_first(load, "e2e-in-place"))
    assert_no_failure(load)
    assert service.cluster_uids() == before
    assert {value for at, value in load.seen if at < changed_s} == {"1"}
    assert [value for _, value in load.seen[-10:]] == ["e2e-in-place"] * 10


def test_more_load_brings_replicas_and_workers_and_less_takes_them(
    service: ServiceUnderTest, folder: Path, record: Callable[..., None]
) -> None:
    hungry = {"min_replicas": 1, "max_replicas": 3, "target_ongoing_requests": 0.1, "upscale_delay_s": 1,
              "downscale_delay_s": 5, "metrics_interval_s": 1, "look_back_period_s": 4}  # fmt: skip
    workers = service.group("cpu")
    before = service.cluster_uids()
    service.change(o.deployment("Retriever", autoscaling_config=hungry))
    service.wait_healthy()
    started = selectors.running_pods(workers())
    replicas = selectors.running_replicas("Retriever")
    with service.load(folder / "load.jsonl", rate=8) as load:
        eventually(service.serve_status(), replicas, equals(3), Timeout.MEDIUM, "three replicas of the Retriever")
        up_s = load.now()
        more = selectors.at_least(started + 1)
        eventually(workers, selectors.running_pods, more, Timeout.MEDIUM, f"more than {started} worker pods")
    eventually(service.serve_status(), replicas, equals(1), Timeout.MEDIUM, "one replica of the Retriever again")
    eventually(workers, selectors.running_pods, equals(started), Timeout.MEDIUM, f"{started} worker pods again")
    record(**load.summary().as_dict(), up_s=up_s, workers_at_rest=started)
    assert_no_failure(load)
    assert service.cluster_uids() == before


def test_an_image_change_makes_a_new_cluster_and_loses_no_request(
    service: ServiceUnderTest, kube: Kube, folder: Path, record: Callable[..., None]
) -> None:
    if not service.cluster.ours:
        pytest.skip("a second image cannot be loaded into a cluster that is not ours")
    old, uids = service.active(), service.cluster_uids()
    fresh = service.load(folder / "new-connections.jsonl", rate=10)
    kept = service.load(folder / "kept-alive.jsonl", rate=5, keep_alive=True)
    with fresh, kept:
        time.sleep(3)
        service.change(o.image(NEXT_IMAGE))
        service.wait_healthy()
        switched_s = fresh.now()
        kube.wait_gone(RAY_CLUSTER, old, service.namespace, timeout=Timeout.MEDIUM)
        eventually(
            getters.pods(kube, service.namespace, {"ray.io/cluster": old}),
            len,
            equals(0),
            Timeout.MEDIUM,
            f"no pod of {old}",
        )
    record(fresh=fresh.summary().as_dict(), kept_alive=kept.summary().as_dict(), switched_s=switched_s)
    assert_no_failure(fresh)
    assert_no_failure(kept)
    assert service.active() != old
    assert not service.cluster_uids() & uids
    pods = getters.pods(kube, service.namespace, {CLUSTER_LABEL: service.active()})()
    assert selectors.images(pods) == {NEXT_IMAGE}
    worker = next(pod for pod in pods if labels_of(pod)[NODE_TYPE_LABEL] == "worker")
    assert kube.exec(service.namespace, name_of(worker), ["printenv", IDENTITY]).stdout.strip() == "next"


def test_a_wrong_import_path_is_never_healthy_and_the_old_version_answers(
    service: ServiceUnderTest, folder: Path, record: Callable[..., None]
) -> None:
    with service.load(folder / "load.jsonl", rate=10) as load:
        service.change(o.import_path("apps.rag.nowhere:build_app"))
        watched = watch_until_degraded(service)
        time.sleep(5)  # the old version must go on answering
        service.restore()
    record(**load.summary().as_dict(), degraded_after_s=watched.degraded_s, message=watched.last.message)
    assert not watched.healthy
    assert "nowhere" in watched.last.message
    assert_no_failure(load)


def test_an_image_that_does_not_exist_is_never_healthy_and_the_old_version_answers(
    service: ServiceUnderTest, folder: Path, record: Callable[..., None]
) -> None:
    old = service.active()
    with service.load(folder / "load.jsonl", rate=10) as load:
        service.change(o.image(GONE_IMAGE))
        watched = watch_until_degraded(service)
        time.sleep(5)
        assert service.active() == old
        service.restore()
    record(**load.summary().as_dict(), degraded_after_s=watched.degraded_s, message=watched.last.message)
    assert not watched.healthy
    assert GONE_IMAGE in watched.last.message
    assert_no_failure(load)


def test_the_operator_restarts_and_nobody_notices(
    service: ServiceUnderTest, kube: Kube, folder: Path, record: Callable[..., None]
) -> None:
    before = service.cluster_uids()
    with service.load(folder / "load.jsonl", rate=10, observe=revision) as load:
        fault_s = load.now()
        faults.restart_operator(kube)
        ready_s = load.now()
        service.change(o.user_config("Ingress", revision="e2e-after-restart"))
        service.wait_healthy()
    record(**load.summary().as_dict(), operator_ready_s=ready_s - fault_s)
    assert_no_failure(load)
    assert service.cluster_uids() == before
    assert load.seen[-1][1] == "e2e-after-restart"


def test_a_killed_worker_is_replaced_within_the_bound(
    service: ServiceUnderTest, folder: Path, kube: Kube, record: Callable[..., None]
) -> None:
    before = service.cluster_uids()
    worker = getters.group_pods(kube, service.namespace, "cpu", service.active())()[0]
    with service.load(folder / "load.jsonl", rate=10) as load:
        time.sleep(3)
        fault_s = load.now()
        faults.kill_pod(kube, worker)
        eventually(service.group("cpu"), selectors.uids, lambda now: not now & selectors.uids([worker]), Timeout.SHORT,
                   "the killed worker is gone")  # fmt: skip
        service.wait_healthy()
        time.sleep(5)
    summary = load.summary()
    outage_s = (summary.last_failure_s or fault_s) - fault_s
    record(**summary.as_dict(), fault_s=fault_s, recovered_after_s=outage_s)
    assert outage_s < WORKER_LOSS_BOUND_S
    assert all(failure.at_s > fault_s - 5 for failure in load.failures)
    assert service.cluster_uids() == before


@dataclass
class Watched:
    """Every verdict while something bad was applied. degraded_s: seconds until Degraded."""

    verdicts: list[Health] = field(default_factory=list)
    degraded_s: float = 0.0

    @property
    def healthy(self) -> list[Health]:
        return [verdict for verdict in self.verdicts if verdict.healthy]

    @property
    def last(self) -> Health:
        return self.verdicts[-1]


def watch_until_degraded(service: ServiceUnderTest) -> Watched:
    """Look every half second until the verdict is Degraded, and keep every verdict on the way."""
    watched, started = Watched(), time.monotonic()

    def look() -> Health:
        watched.verdicts.append(service.health())
        return watched.verdicts[-1]

    eventually(
        look, selectors.status, equals(Status.DEGRADED), Timeout.MEDIUM, "the bad overlay is Degraded", every=0.5
    )
    watched.degraded_s = round(time.monotonic() - started, 1)
    return watched


def _first(load: Load, value: str) -> float | None:
    return next((at for at, seen in load.seen if seen == value), None)
