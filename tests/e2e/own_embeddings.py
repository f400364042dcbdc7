"""gRPC through Serve's HAProxy and the Service, and a classifier that is only there while somebody asks."""

import time
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2, status_pb2

from apps.embeddings.protos import embeddings_pb2 as pb
from apps.embeddings.protos import embeddings_pb2_grpc as pb_grpc
from rayops.kube import Timeout, equals, eventually
from tests.harness import ServiceUnderTest

MODEL = "all-minilm-l6-v2"
TEXTS = ["A cat sits on the mat.", "The dog barks."]
CLASSIFY = {"texts": ["Stir the onions until they are golden."], "labels": ["sports", "cooking"], "timeout_s": 110}


def check(service: ServiceUnderTest) -> dict[str, Any]:
    """All of it, on a pipeline that nobody has asked for classes yet; the figures seen."""
    address = service.cluster.address(service.namespace, f"{service.name}-serve-svc", "serve-grpc")
    with grpc.insecure_channel(address.removeprefix("http://")) as channel:
        stub = pb_grpc.EmbeddingServiceStub(channel)
        return {**same_vectors(service, stub), **errors(stub), **from_zero_and_back(service)}


def same_vectors(service: ServiceUnderTest, stub: Any) -> dict[str, Any]:
    """gRPC gives the vectors of HTTP."""
    started = time.monotonic()
    answer, call = stub.Embed.with_call(
        pb.EmbedRequest(model=MODEL, texts=TEXTS), timeout=60, metadata=[("x-request-id", "e2e.1")]
    )
    first_call_ms = round((time.monotonic() - started) * 1000, 1)
    http = httpx.post(f"{service.url}/v1/embeddings", json={"model": MODEL, "input": TEXTS}, timeout=60).json()
    for made, wanted in zip(answer.embeddings, http["data"], strict=True):
        assert list(made.values) == pytest.approx(wanted["embedding"], abs=1e-5)
    assert dict(call.trailing_metadata())["x-request-id"] == "e2e.1"
    pieces = list(stub.EmbedStream(pb.EmbedRequest(model=MODEL, texts=TEXTS * 40), timeout=60))
    assert [len(piece.embeddings) for piece in pieces] == [64, 16]
    return {"first_call_ms": first_call_ms}


def errors(stub: Any) -> dict[str, Any]:
    """Errors keep their code and details on the way."""
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
    return {}


def from_zero_and_back(service: ServiceUnderTest) -> dict[str, Any]:
    """The classifier comes with the first request and goes when nobody asks any more."""

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
    started = time.monotonic()
    eventually(replicas, int, equals(0), Timeout.MEDIUM, "the classifier is gone some time after the last request")
    gone_s = round(time.monotonic() - started, 1)
    assert httpx.get(f"{service.url}/readyz", timeout=10).status_code == 200
    return {"classify_ms": milliseconds, "gone_s": gone_s}
