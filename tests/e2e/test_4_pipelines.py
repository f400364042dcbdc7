"""Every pipeline on one node, one after the other: healthy, right, unmoved by bad input. RAG has test_2 and test_3."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from rayops.kube import Kube, dig
from rayops.kube.objects import POD, kind_of, name_of
from rayops.paths import ROOT
from rayops.pipeline import first_answer, sample_of
from rayops.render import name_of as title
from tests.apps.hostile import JSON, Operation, check, operations
from tests.e2e import own_embeddings
from tests.harness import Cluster, ServiceUnderTest, differences

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
LOCAL = ROOT / "overlays" / "local"
# What the answer to sample.json must say.
EXPECTED: dict[str, Callable[[Any], bool]] = {
    "hello": lambda body: body["language"]["code"] == "en",
    "text-analysis": lambda body: body["complete"] and body["sentiment"] and body["summary"],
    "support-assistant": lambda body: body["sources"][0]["document"].startswith("base/observability/runbooks/"),
    "document-intelligence": lambda body: body["fields"]["total"]["value"] == "267.60",
    "embeddings": lambda body: len(body["data"][0]["embedding"]) == 384,
}


PIPELINES = sorted({file.parent.name.replace("_", "-") for file in (ROOT / "apps").glob("*/serve.yaml")} - {"rag"})


@pytest.fixture(scope="module", params=PIPELINES)
def service(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    kube: Kube,
    new_namespace: Callable[[str], AbstractContextManager[str]],
) -> Iterator[ServiceUnderTest]:
    with new_namespace(request.param) as namespace:
        yield ServiceUnderTest.deploy(cluster, kube, namespace, LOCAL / request.param)


def test_it_is_healthy_ready_and_answers_right(
    service: ServiceUnderTest, kube: Kube, record: Callable[..., None]
) -> None:
    answer = first_answer(service.name, service.url)
    assert EXPECTED.get(service.name, bool)(answer.body), answer.body
    started = time.monotonic()
    ready = httpx.get(f"{service.url}/readyz", timeout=10)
    assert ready.status_code == 200, ready.text
    record(answer_ms=round(answer.milliseconds, 1), readyz_ms=round((time.monotonic() - started) * 1000, 1))
    record(memory_mb=memory_mb(service, kube))
    wrong = {}
    for wanted in service.objects:
        live = kube.get(kind_of(wanted), wanted["metadata"]["name"], wanted["metadata"].get("namespace"))
        if lines := differences(wanted, live):
            wrong[title(wanted)] = lines
    assert not wrong


def test_no_expectation_is_of_a_pipeline_that_is_gone() -> None:
    """A pipeline without one (`rayops new pipeline`) is asked its sample all the same."""
    assert set(EXPECTED) <= set(PIPELINES)


def test_what_it_has_of_its_own(service: ServiceUnderTest, record: Callable[..., None]) -> None:
    record(**OWN.get(service.name, nothing_more)(service))


def test_bad_input_is_refused_and_restarts_nothing(service: ServiceUnderTest, kube: Kube) -> None:
    described = operations(httpx.get(f"{service.url}/openapi.json").json())
    assert described
    before = replicas(service)
    with httpx.Client(base_url=service.url, timeout=60) as client:
        for operation in described:
            send(client, operation)
    after = replicas(service)
    assert before
    assert before.items() <= after.items(), "a replica went away"
    for pod in kube.list(POD, service.namespace):
        for status in dig(pod, "status", "containerStatuses") or []:
            assert status["restartCount"] == 0, name_of(pod)
    assert EXPECTED[service.name](first_answer(service.name, service.url).body)


def nothing_more(service: ServiceUnderTest) -> dict[str, Any]:
    """The test before has asked all that there is."""
    return {}


def streams_and_takes_feedback(service: ServiceUnderTest) -> dict[str, Any]:
    """A stream has its events in order; feedback finds the answer whatever ingress replica takes it."""
    sample = sample_of(service.name)
    assert isinstance(sample.body, dict)
    with httpx.stream("POST", service.url + sample.path, json={**sample.body, "stream": True}, timeout=60) as answer:
        events = [line.removeprefix("event: ") for line in answer.iter_lines() if line.startswith("event: ")]
    assert (events[0], events[-1]) == ("sources", "done"), events
    given = httpx.post(service.url + sample.path, json=sample.body, timeout=60).json()["answer_id"]
    codes = [
        httpx.post(f"{service.url}/feedback", json={"answer_id": given, "helpful": True}, timeout=60).status_code
        for _ in range(4)
    ]
    assert codes == [201, 200, 200, 200]
    return {"events": len(events)}


OWN: dict[str, Callable[[ServiceUnderTest], dict[str, Any]]] = {
    "support-assistant": streams_and_takes_feedback,
    "embeddings": own_embeddings.check,
}


def send(client: httpx.Client, operation: Operation) -> None:
    for media_type, body in operation.nasty():
        check(client.post(operation.path, content=body, headers={"content-type": media_type}))
    for value in ("", "-1", "nan", "1e400", "x"):
        media_type = operation.media_types[0]
        headers = {"content-type": media_type, "x-request-timeout-ms": value}
        check(client.post(operation.path, content=b"{}" if media_type == JSON else b"x", headers=headers))


def replicas(service: ServiceUnderTest) -> dict[str, int]:
    """Process by replica, as Serve sees them."""
    return {replica["replica_id"]: replica["pid"] for _, replica in running(service)}


def running(service: ServiceUnderTest) -> list[tuple[str, Any]]:
    """Deployment and replica, of every application."""
    return [
        (name, replica)
        for application in service.serve_status()()["applications"].values()
        for name, deployment in application["deployments"].items()
        for replica in deployment["replicas"]
    ]


def memory_mb(service: ServiceUnderTest, kube: Kube) -> dict[str, int]:
    """Resident memory of the largest replica of each deployment, in MB; what processes share counts in each."""
    resident: dict[tuple[str, int], int] = {}
    for pod in kube.list(POD, service.namespace):
        if dig(pod, "status", "podIP") and "worker" in name_of(pod):
            listed = kube.exec(service.namespace, name_of(pod), ["ps", "-eo", "pid=,rss="])
            for line in listed.stdout.splitlines():
                pid, kilobytes = line.split()
                resident[dig(pod, "status", "podIP"), int(pid)] = int(kilobytes)
    found: dict[str, int] = {}
    for name, replica in running(service):
        size = resident.get((replica["node_ip"], replica["pid"]), 0) * 1024 // 1_000_000
        found[name] = max(found.get(name, 0), size)
    return found
