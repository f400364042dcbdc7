"""gRPC with the generated client on a real port; the server does with the context what Ray Serve's replica does."""

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2
from ray.serve.config import gRPCOptions
from ray.serve.grpc_util import RayServegRPCContext

from apps.common import calls
from apps.common.errors import PipelineError, overloaded
from apps.common.onnx_text import Embedder
from apps.common.settings import LimitArgs
from apps.embeddings.deployments import EmbeddingsIngress
from apps.embeddings.protos import embeddings_pb2 as pb
from apps.embeddings.protos import embeddings_pb2_grpc as pb_grpc
from apps.embeddings.settings import FP32, INT8, EmbeddingsArgs
from tests.apps.serving import Held, Served

ROOT = Path(__file__).resolve().parents[3]
PROTOS = ROOT / "apps/embeddings/protos"
TEXTS = ["A cat sits on the mat.", "The dog barks."]
Code = grpc.StatusCode


class Servicer(pb_grpc.EmbeddingServiceServicer):  # type: ignore[misc]
    """Hands calls to the ingress as ray/serve/_private/replica.py does: a copy of the context, set afterwards."""

    def __init__(self, ingress: Any, real_context: bool = False):
        self._ingress = ingress
        self._real = real_context

    async def _unary(self, method: Any, request: Any, context: Any) -> Any:
        if self._real:
            return await method(request, grpc_context=context)
        copy = RayServegRPCContext(context)
        copy.set_trailing_metadata([("request_id", copy.request_id() or "made-by-serve")])
        answer = await method(request, grpc_context=copy)
        copy._set_on_grpc_context(context)
        return answer

    async def Embed(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._unary(self._ingress.Embed, request, context)

    async def Classify(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._unary(self._ingress.Classify, request, context)

    async def EmbedStream(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        copy = RayServegRPCContext(context)
        async for piece in self._ingress.EmbedStream(request, grpc_context=copy):
            yield piece
        copy._set_on_grpc_context(context)


@pytest.fixture(scope="session")
def loop() -> Any:
    """One loop for all servers of the session: the ingress's handles belong to it."""
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever, daemon=True)
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join(5)


@pytest.fixture(scope="session")
def port_of(loop: asyncio.AbstractEventLoop) -> Any:
    """Serve an ingress on a free port; `run` gives coroutines to the servers' loop."""
    servers = []

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def start(ingress: Any, real_context: bool) -> int:
        server = grpc.aio.server()
        pb_grpc.add_EmbeddingServiceServicer_to_server(Servicer(ingress, real_context), server)
        servers.append(server)
        port: int = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        return port

    yield lambda ingress, real_context=False: run(start(ingress, real_context))
    for server in servers:
        run(server.stop(0))


def stub_of(port: int) -> Any:
    return pb_grpc.EmbeddingServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))


@pytest.fixture(scope="session")
def stub(served: Callable[..., Served], port_of: Any) -> Any:
    return stub_of(port_of(served("embeddings").ingress))


def failed(call: Callable[..., Any], *given: Any, **options: Any) -> tuple[Any, status_pb2.Status]:
    with pytest.raises(grpc.RpcError) as caught:
        call(*given, timeout=options.pop("timeout", 20), **options)
    metadata = dict(caught.value.trailing_metadata() or ())
    return caught.value, status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b""))


def detail(status: status_pb2.Status, kind: Any) -> Any:
    found = kind()
    assert any(each.Unpack(found) for each in status.details if each.Is(kind.DESCRIPTOR)), status
    return found


def test_vectors_are_those_of_the_model(stub: Any, embedder: Embedder) -> None:
    answer, call = stub.Embed.with_call(pb.EmbedRequest(model="all-MiniLM-L6-v2", texts=TEXTS))
    assert answer.model == FP32
    assert [each.index for each in answer.embeddings] == [0, 1]
    np.testing.assert_allclose([each.values for each in answer.embeddings], embedder.embed(TEXTS), atol=1e-5)
    ids = embedder.tokenize(TEXTS)
    assert answer.tokens == sum(map(len, ids))
    same = stub.Embed(pb.EmbedRequest(model=FP32, tokens=[pb.Tokens(ids=row[1:-1]) for row in ids]))
    np.testing.assert_allclose(same.embeddings[1].values, answer.embeddings[1].values, atol=1e-5)
    short = stub.Embed(pb.EmbedRequest(model=INT8, texts=TEXTS, dimensions=32))
    assert [len(each.values) for each in short.embeddings] == [32, 32]
    assert short.model == INT8
    assert dict(call.trailing_metadata())["x-request-id"] == "made-by-serve"


def test_a_stream_brings_all_vectors_in_order(stub: Any) -> None:
    texts = [f"{number} apples" for number in range(70)]
    pieces = list(stub.EmbedStream(pb.EmbedRequest(model=FP32, texts=texts)))
    assert [len(piece.embeddings) for piece in pieces] == [64, 6]
    assert [each.index for piece in pieces for each in piece.embeddings] == list(range(70))


def test_labels(stub: Any) -> None:
    labels = [pb.Label(name="sports"), pb.Label(name="cooking", description="recipes and food")]
    request = pb.ClassifyRequest(texts=["Stir the onions until golden."], labels=labels, temperature=0.02)
    answer = stub.Classify(request)
    (ranking,) = answer.results
    assert [score.label for score in ranking.scores] == ["cooking", "sports"]
    assert sum(score.probability for score in ranking.scores) == pytest.approx(1, abs=1e-5)
    assert answer.model == FP32


@pytest.mark.parametrize(
    ("request_", "field", "message"),
    [
        (pb.EmbedRequest(model=FP32), "texts", "not empty"),
        (pb.EmbedRequest(model=FP32, texts=["a", ""]), "texts", "item 1"),
        (pb.EmbedRequest(model=FP32, texts=["a"], tokens=[pb.Tokens(ids=[1])]), "tokens", "not both"),
        (pb.EmbedRequest(model=FP32, tokens=[pb.Tokens()]), "tokens", "item 0"),
        (pb.EmbedRequest(model=FP32, tokens=[pb.Tokens(ids=[30522])]), "tokens", "no token id of this model"),
        (pb.EmbedRequest(model=FP32, texts=["a"], dimensions=0), "dimensions", "greater than or equal to 1"),
        (pb.EmbedRequest(model=FP32, texts=["a"], dimensions=385), "dimensions", "384"),
        (pb.EmbedRequest(texts=["a"]), "model", "at least 1 character"),
        (pb.ClassifyRequest(texts=["a"], labels=[pb.Label(name="b")]), "labels", "at least 2"),
        (pb.ClassifyRequest(labels=[pb.Label(name="b"), pb.Label(name="c")]), "texts", "at least 1"),
        (pb.ClassifyRequest(texts=["a"], labels=[pb.Label(name="b")] * 2), "request", "names of their own"),
    ],
)
def test_a_wrong_request_is_invalid_argument_naming_the_field(
    stub: Any, request_: Any, field: str, message: str
) -> None:
    call = stub.Classify if isinstance(request_, pb.ClassifyRequest) else stub.Embed
    error, status = failed(call, request_, metadata=[("x-request-id", "mine.1")])
    assert error.code() is Code.INVALID_ARGUMENT
    (violation,) = detail(status, error_details_pb2.BadRequest).field_violations
    assert violation.field == field
    assert message in violation.description
    assert error.details().startswith(f"{field}: ")
    assert status.code == Code.INVALID_ARGUMENT.value[0]
    assert detail(status, error_details_pb2.RequestInfo).request_id == "mine.1"
    assert dict(error.trailing_metadata())["x-request-id"] == "mine.1"


def test_an_unknown_model_is_not_found_also_in_a_stream(stub: Any) -> None:
    request = pb.EmbedRequest(model="gpt", texts=["a"])
    assert failed(stub.Embed, request)[0].code() is Code.NOT_FOUND
    error, _ = failed(lambda *given, **options: list(stub.EmbedStream(*given, **options)), request)
    assert (error.code(), "no model 'gpt'" in error.details()) == (Code.NOT_FOUND, True)


@pytest.mark.parametrize("bad", ["soon", "0", "-1"])
def test_a_deadline_that_is_none_is_named(stub: Any, bad: str) -> None:
    metadata = [("x-request-timeout-ms", bad)]
    error, _ = failed(stub.Embed, pb.EmbedRequest(model=FP32, texts=["a"]), metadata=metadata)
    assert (error.code(), error.details()[:20]) == (Code.INVALID_ARGUMENT, "x-request-timeout-ms")


class Waiting(Held):
    """Handles whose calls are held."""

    def __getattr__(self, name: str) -> Any:
        return self

    def remote(self, *_: Any) -> Any:
        return asyncio.ensure_future(self._hold())


@pytest.fixture
def waiting(port_of: Any, request: pytest.FixtureRequest) -> tuple[Waiting, Any]:
    handle = Waiting()
    names = EmbeddingsArgs().names()
    ingress = EmbeddingsIngress(LimitArgs(in_flight=1, retry_after_s=2.5), names, FP32, handle, handle)
    return handle, stub_of(port_of(ingress, getattr(request, "param", False)))


EMBED = pb.EmbedRequest(model=FP32, texts=["a"])
CLASSIFY = pb.ClassifyRequest(texts=["a"], labels=[pb.Label(name="b"), pb.Label(name="c")])


@pytest.mark.parametrize("method", ["Embed", "EmbedStream", "Classify"])
def test_the_work_stops_at_the_server_s_deadline(waiting: tuple[Waiting, Any], method: str) -> None:
    handle, stub = waiting
    request = CLASSIFY if method == "Classify" else EMBED

    def call(*given: Any, **options: Any) -> Any:
        answer = getattr(stub, method)(*given, **options)
        return list(answer) if method == "EmbedStream" else answer

    error, status = failed(call, request, metadata=[("x-request-timeout-ms", "200")])
    assert error.code() is Code.DEADLINE_EXCEEDED
    assert detail(status, error_details_pb2.RequestInfo).request_id, "the server's answer, not the client's clock"
    assert handle.cancelled.wait(5)


@pytest.mark.parametrize("waiting", [False, True], indirect=True, ids=["serve-context", "grpc-context"])
def test_the_work_stops_at_the_client_s_deadline_and_when_it_leaves(waiting: tuple[Waiting, Any]) -> None:
    handle, stub = waiting
    assert failed(stub.Embed, EMBED, timeout=0.3)[0].code() is Code.DEADLINE_EXCEEDED
    assert handle.cancelled.wait(5)
    handle.started.clear()
    handle.cancelled.clear()
    future = stub.Embed.future(EMBED)
    assert handle.started.wait(5)
    future.cancel()
    assert handle.cancelled.wait(5)


def test_full_is_resource_exhausted_and_says_when_to_come_again(
    waiting: tuple[Waiting, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "PAUSES_S", (0.001,))
    handle, stub = waiting
    first = stub.Embed.future(EMBED)
    assert handle.started.wait(5)
    error, status = failed(stub.Embed, EMBED)
    assert error.code() is Code.RESOURCE_EXHAUSTED
    delay = detail(status, error_details_pb2.RetryInfo).retry_delay
    assert (delay.seconds, delay.nanos) == (2, 500_000_000)
    first.cancel()
    assert handle.cancelled.wait(5)
    handle.failure = PipelineError(503, "unavailable", "restarting", retry_after_s=1)
    assert failed(stub.Embed, EMBED)[0].code() is Code.UNAVAILABLE, "the place is free again"


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (overloaded(1), Code.RESOURCE_EXHAUSTED),
        (TimeoutError(), Code.DEADLINE_EXCEEDED),
        (PipelineError(422, "validation", "m", "input"), Code.INVALID_ARGUMENT),
        (PipelineError(502, "other", "m"), Code.INTERNAL),
        (ZeroDivisionError("secret"), Code.INTERNAL),
    ],
)
def test_failures_of_the_steps(
    waiting: tuple[Waiting, Any], failure: Exception, code: Any, caplog: pytest.LogCaptureFixture
) -> None:
    handle, stub = waiting
    handle.failure = failure
    with caplog.at_level(logging.INFO, "ray.serve"):
        error, _ = failed(stub.Embed, EMBED, metadata=[("x-request-id", "logged.1")])
    assert error.code() is code
    assert "secret" not in error.details()
    assert any("request_id=logged.1" in line for line in caplog.messages), caplog.messages


def test_serve_finds_the_service_by_the_name_in_serve_yaml() -> None:
    import yaml

    options = gRPCOptions(**yaml.safe_load((ROOT / "apps/embeddings/serve.yaml").read_text())["grpc_options"])
    assert options.grpc_servicer_func_callable == [pb_grpc.add_EmbeddingServiceServicer_to_server]
    assert options.request_timeout_s is not None
    assert options.request_timeout_s > EmbeddingsArgs().limits.longest_timeout_s
    methods = {method.name for method in pb.DESCRIPTOR.services_by_name["EmbeddingService"].methods}
    assert all(callable(getattr(EmbeddingsIngress, name)) for name in methods)


def test_the_generated_code_is_what_the_proto_says(tmp_path: Path) -> None:
    """The command that mends it stands in apps/embeddings/README.md."""
    where = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *where, "apps/embeddings/protos/embeddings.proto"]
    subprocess.run(command, cwd=ROOT, check=True)
    for made in (tmp_path / "apps/embeddings/protos").iterdir():
        assert (PROTOS / made.name).read_text() == made.read_text(), f"{made.name} is older than embeddings.proto"
