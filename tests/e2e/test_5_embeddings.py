"""gRPC through Serve's HAProxy and the Service, and a classifier that is only there while somebody asks."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2

from apps.embeddings.protos import embeddings_pb2 as pb
from apps.embeddings.protos import embeddings_pb2_grpc as pb_grpc
from rayops.kube import Kube, Timeout, equals, eventually
from rayops.paths import ROOT
from tests.harness import Cluster, ServiceUnderTest

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
MODEL = "all-minilm-l6-v2"
TEXTS = ["A cat sits on the mat.", "The dog barks."]
CLASSIFY = {"texts": ["Stir the onions until they are golden."], "labels": ["sports", "cooking"], "timeout_s": 110}


@pytest.fixture(scope="module")
def service(
    cluster: Cluster, kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> Iterator[ServiceUnderTest]:
    with new_namespace("grpc") as namespace:
        yield ServiceUnderTest.deploy(cluster, kube, namespace, ROOT / "overlays/local/embeddings")


@pytest.fixture(scope="module")
def stub(service: ServiceUnderTest) -> Iterator[Any]:
    address = service.cluster.address(service.namespace, f"{service.name}-serve-svc", "serve-grpc")
    with grpc.insecure_channel(address.removeprefix("http://")) as channel:
        yield pb_grpc.EmbeddingServiceStub(channel)


def test_grpc_gives_the_vectors_of_http(service: ServiceUnderTest, stub: Any, record: Callable[..., None]) -> None:
    started = time.monotonic()
    answer, call = stub.Embed.with_call(
        pb.EmbedRequest(model=MODEL, texts=TEXTS), timeout=60, metadata=[("x-request-id", "e2e.1")]
    )
    record(first_call_ms=round((time.monotonic() - started) * 1000, 1))
    http = httpx.post(f"{service.url}/v1/embeddings", json={"model": MODEL, "input": TEXTS}, timeout=60).json()
    for made, wanted in zip(answer.embeddings, http["data"], strict=True):
        assert list(made.values) == pytest.approx(wanted["embedding"], abs=1e-5)
    assert dict(call.trailing_metadata())["x-request-id"] == "e2e.1"
    pieces = list(stub.EmbedStream(pb.EmbedRequest(model=MODEL, texts=TEXTS * 40), timeout=60))
    assert [len(piece.embeddings) for piece in pieces] == [64, 16]


def test_grpc_errors_keep_their_code_and_details_on_the_way(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as wrong:
        stub.Embed(pb.EmbedRequest(model=MODEL, texts=["a", ""]), timeout=60)
    assert wrong.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = status_pb2.Status.FromString(dict(wrong.value.trailing_metadata())["grpc-status-details-bin"])
    found = error_details_pb2.BadRequest()
    assert any(each.Unpack(found) for each in status.details if each.Is(found.DESCRIPTOR))
    assert found.field_violations[0].field == "texts"
    with pytest.raises(grpc.RpcError) as late:
        stub.Embed(
            pb.EmbedRequest(model=MODEL, texts=TEXTS * 500), timeout=60, metadata=[("x-request-timeout-ms", "1")]
        )
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_classifier_comes_with_the_first_request_and_goes(
    service: ServiceUnderTest, record: Callable[..., None]
) -> None:
    def replicas() -> int:
        (application,) = service.serve_status()()["applications"].values()
        return len(application["deployments"]["AutoscaledClassifier"]["replicas"])

    eventually(replicas, int, equals(0), Timeout.MEDIUM, "no classifier before anybody asked")
    assert httpx.get(f"{service.url}/readyz", timeout=10).status_code == 200
    assert replicas() == 0, "being asked whether it is ready must not wake it up"
    milliseconds = []
    for _ in range(2):
        started = time.monotonic()
        answer = httpx.post(f"{service.url}/classify", json=CLASSIFY, timeout=120)
        milliseconds.append(round((time.monotonic() - started) * 1000, 1))
        assert answer.status_code == 200, answer.text
        assert answer.json()["results"][0][0]["label"] == "cooking"
    assert replicas() == 1
    record(first_ms=milliseconds[0], second_ms=milliseconds[1])
    eventually(replicas, int, equals(0), Timeout.MEDIUM, "the classifier is gone a minute after the last request")
    assert httpx.get(f"{service.url}/readyz", timeout=10).status_code == 200
