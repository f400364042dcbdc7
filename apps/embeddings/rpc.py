"""The gRPC interface: the methods of protos/embeddings.proto, as methods of the ingress replica.

Ray Serve calls them with a `grpc_context`. An error is answered by setting code, details and trailing metadata and
returning: Serve sends the trailing metadata (request id, google.rpc details) only of a call that returns.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from pydantic import ValidationError

from apps.common.deadline import TIMEOUT_HEADER, Deadline, requested_timeout
from apps.common.errors import PipelineError, overloaded, printable
from apps.common.guard import REQUEST_ID_HEADER, log_request, request_id_of
from apps.common.handlers import translate
from apps.common.settings import LimitArgs
from apps.embeddings import api
from apps.embeddings.protos import embeddings_pb2 as pb
from apps.embeddings.service import Service
from apps.embeddings.zero_shot import Label

if TYPE_CHECKING:
    from apps.embeddings.encoder import Embedded

logger = logging.getLogger("ray.serve")

STREAM_AT_ONCE = 64
DETAILS = "grpc-status-details-bin"
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Our 503 has two meanings, which gRPC tells apart: no room, or no replica.
_CODES_BY_KIND = {"overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED, "unavailable": grpc.StatusCode.UNAVAILABLE}


class Call:
    """One call: its id, its deadline, and how it ends.

    Args:
        context: Ray Serve's copy of the gRPC context, or a real one.
        limits: bounds of this replica.

    Raises:
        PipelineError: from `deadline`: 422, the metadata is no number of milliseconds.
    """

    def __init__(self, name: str, context: Any, limits: LimitArgs):
        self._name = name
        self._context = context
        self._limits = limits
        self._started = time.monotonic()
        # Serve's own id of a call stands in the trailing metadata.
        given = dict([*(context.trailing_metadata() or ()), *context.invocation_metadata()])
        self._timeout = given.get(TIMEOUT_HEADER)
        self.request_id = request_id_of(given.get(REQUEST_ID_HEADER) or given.get("request_id") or "")

    def deadline(self) -> Deadline:
        """Return when the answer must be there: by metadata or the default, never beyond the client's own deadline.

        Ray Serve keeps the client's from us, but then the call is cancelled when it passes, and its work with it.
        """
        limits = self._limits
        seconds = requested_timeout(self._timeout, None, limits.default_timeout_s, limits.longest_timeout_s)
        left = self._context.time_remaining() if hasattr(self._context, "time_remaining") else None
        return Deadline.after(seconds if left is None else min(seconds, left))

    def succeed(self, **facts: Any) -> None:
        """Give the id back and log the call."""
        self._context.set_trailing_metadata([(REQUEST_ID_HEADER, self.request_id)])
        log_request(self.request_id, self._name, self._started, code="OK", **facts)

    def fail(self, error: Exception) -> None:
        """Answer with the code and the details that `error` means to a caller."""
        known = invalid(error) if isinstance(error, ValidationError) else translate(error)
        if known is None:
            logger.error("unexpected failure, request_id=%s", self.request_id, exc_info=error)
            known = PipelineError(500, "internal", "the pipeline failed; the log has the cause under this request_id")
        code = _CODES_BY_KIND.get(known.kind) or _CODES.get(known.status, grpc.StatusCode.INTERNAL)
        message = printable(f"{known.field}: {known.message}" if known.field else known.message)
        self._context.set_code(code)
        self._context.set_details(message)
        details = status_details(code, message, known, self.request_id)
        self._context.set_trailing_metadata([(REQUEST_ID_HEADER, self.request_id), (DETAILS, details)])
        log_request(self.request_id, self._name, self._started, code=code.name, error=known.kind)


def status_details(code: grpc.StatusCode, message: str, error: PipelineError, request_id: str) -> bytes:
    """Return a google.rpc.Status with the field, the time to wait and the id, as far as there are any."""
    status = status_pb2.Status(code=code.value[0], message=message)
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id=request_id))
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=printable(error.field, 200), description=printable(error.message)
        )
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after_s:
        delay = Duration(nanos=round(error.retry_after_s % 1 * 1e9), seconds=int(error.retry_after_s))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    content: bytes = status.SerializeToString()
    return content


def invalid(error: ValidationError) -> PipelineError:
    """Return the first thing that is wrong with a request, with the field's name in the proto."""
    first = error.errors()[0]
    return PipelineError(422, "validation", first["msg"], ".".join(str(part) for part in first["loc"]) or "request")


class EmbeddingRpc:
    """The service of the proto over `service` and `limits`, which the ingress replica sets."""

    limits: LimitArgs
    service: Service
    _calls_in_flight = 0

    @contextmanager
    def _place(self) -> Iterator[None]:
        """Take one of the places of this replica; HTTP has as many of its own."""
        if self._calls_in_flight >= self.limits.in_flight:
            raise overloaded(self.limits.retry_after_s)
        self._calls_in_flight += 1
        try:
            yield
        finally:
            self._calls_in_flight -= 1

    async def _answer(
        self, name: str, context: Any, empty: Any, work: Callable[[Call, Deadline], Awaitable[Any]]
    ) -> Any:
        call = Call(name, context, self.limits)
        try:
            with self._place():
                return await work(call, call.deadline())
        except Exception as error:
            call.fail(error)
            return empty

    async def Embed(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """Embed texts or token ids."""

        async def work(call: Call, deadline: Deadline) -> Any:
            body = embeddings_request(request)
            name, inputs = self.service.model(body.model), body.input
            found = await self._embed(body, inputs, deadline)
            answer = await asyncio.to_thread(embed_response, name, found, 0)
            call.succeed(model=name, inputs=len(inputs), tokens=found.tokens)
            return answer

        return await self._answer("grpc.Embed", grpc_context, pb.EmbedResponse(), work)

    async def EmbedStream(self, request: Any, grpc_context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Embed texts or token ids, 64 at a time; leaving the iteration stops the work."""
        call = Call("grpc.EmbedStream", grpc_context, self.limits)
        try:
            with self._place():
                deadline = call.deadline()
                body = embeddings_request(request)
                name, inputs, tokens = self.service.model(body.model), body.input, 0
                for start in range(0, len(inputs), STREAM_AT_ONCE):
                    found = await self._embed(body, inputs[start : start + STREAM_AT_ONCE], deadline)
                    tokens += found.tokens
                    yield embed_response(name, found, start)
                call.succeed(model=name, inputs=len(inputs), tokens=tokens)
        except Exception as error:
            call.fail(error)

    async def Classify(self, request: Any, grpc_context: Any) -> Any:  # noqa: N802
        """Choose labels for texts."""

        async def work(call: Call, deadline: Deadline) -> Any:
            body = classify_request(request)
            labels = [Label(label.name, label.description) for label in body.labels if isinstance(label, api.LabelIn)]
            rows = await self.service.classify(body.texts, labels, body.multi_label, body.temperature, deadline)
            call.succeed(texts=len(rows), labels=len(labels))
            results = [pb.Ranking(scores=[score.model_dump() for score in api.ranked(labels, row)]) for row in rows]
            return pb.ClassifyResponse(results=results, model=self.service.classifier_model)

        return await self._answer("grpc.Classify", grpc_context, pb.ClassifyResponse(), work)

    async def _embed(self, body: api.EmbeddingsRequest, inputs: Any, deadline: Deadline) -> "Embedded":
        try:
            return await self.service.embed(body.model, inputs, body.dimensions, deadline)
        except Exception as error:
            known = translate(error)
            if known is None or known.field != "input":
                raise
            field = "texts" if isinstance(inputs[0], str) else "tokens"
            raise PipelineError(known.status, known.kind, known.message, field) from error


def embeddings_request(request: Any) -> api.EmbeddingsRequest:
    """Return an EmbedRequest as the body that HTTP takes, with the same bounds.

    Raises:
        PipelineError: 422 naming the field of the proto.
    """
    if request.texts and request.tokens:
        raise PipelineError(422, "validation", "give texts or tokens, not both", "tokens")
    field = "tokens" if request.tokens else "texts"
    inputs = [list(each.ids) for each in request.tokens] if request.tokens else list(request.texts)
    try:
        return api.EmbeddingsRequest(
            model=request.model,
            input=inputs,
            dimensions=request.dimensions if request.HasField("dimensions") else None,
        )
    except ValidationError as error:
        known = invalid(error)
        raise PipelineError(422, known.kind, known.message, field if known.field == "input" else known.field) from error


def classify_request(request: Any) -> api.ClassifyRequest:
    """Return a ClassifyRequest of the proto as the body that HTTP takes.

    Raises:
        pydantic.ValidationError: a bound of HTTP's body does not hold.
    """
    labels = [
        {"name": label.name, **({"description": label.description} if label.HasField("description") else {})}
        for label in request.labels
    ]
    return api.ClassifyRequest.model_validate(
        {
            "texts": list(request.texts),
            "labels": labels,
            "multi_label": request.multi_label,
            "temperature": request.temperature if request.HasField("temperature") else None,
        }
    )


def embed_response(model: str, found: "Embedded", first: int) -> Any:
    """Return vectors as the proto has them; `first` is the place of the first text in the request."""
    embeddings = [pb.Embedding(index=first + number, values=row) for number, row in enumerate(found.vectors.tolist())]
    return pb.EmbedResponse(model=model, embeddings=embeddings, tokens=found.tokens)
