"""Every pipeline on one node, one after the other: healthy, right, unmoved by bad input.

RAG has test_2 and test_3; llm and the gateway, which need each other, test_46.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from rayops.kube import Kube
from rayops.paths import ROOT
from rayops.pipeline import sample_of
from tests.e2e import checks, own_embeddings
from tests.harness import Cluster, ServiceUnderTest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
LOCAL = ROOT / "overlays" / "local"
# What the answer to sample.json must say.
EXPECTED: dict[str, checks.Right] = {
    "hello": lambda body: body["language"]["code"] == "en",
    "text-analysis": lambda body: body["complete"] and body["sentiment"] and body["summary"],
    "support-assistant": lambda body: body["sources"][0]["document"].startswith("base/observability/runbooks/"),
    "document-intelligence": lambda body: body["fields"]["total"]["value"] == "267.60",
    "embeddings": lambda body: len(body["data"][0]["embedding"]) == 384,
}
ELSEWHERE = {"rag", "llm", "gateway"}
PIPELINES = sorted({file.parent.name.replace("_", "-") for file in (ROOT / "apps").glob("*/serve.yaml")} - ELSEWHERE)


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
    record(**checks.right(service, kube, EXPECTED.get(service.name, bool)))


def test_no_expectation_is_of_a_pipeline_that_is_gone() -> None:
    """A pipeline without one (`rayops new pipeline`) is asked its sample all the same."""
    assert set(EXPECTED) <= set(PIPELINES)


def test_what_it_has_of_its_own(service: ServiceUnderTest, record: Callable[..., None]) -> None:
    record(**OWN.get(service.name, nothing_more)(service))


def test_bad_input_is_refused_and_restarts_nothing(service: ServiceUnderTest, kube: Kube) -> None:
    checks.unmoved_by_bad_input(service, kube, EXPECTED.get(service.name, bool))


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
