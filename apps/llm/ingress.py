"""The HTTP interface of the own server: FastAPI routes over the Service."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from apps.common.deadline import Deadline
from apps.common.errors import PipelineError
from apps.common.guard import log_request
from apps.common.handlers import ERROR_RESPONSES, translate
from apps.common.http import CLIENT_LEFT, Front, Responses, while_connected
from apps.common.openai import api, sse
from apps.common.openai.errors import OpenAIErrors, openai_error
from apps.common.settings import LimitArgs
from apps.llm import engine
from apps.llm.meters import Meter, Meters
from apps.llm.protocol import Answering, chat_request, completion_request, routing_key, vectors_json
from apps.llm.service import Pieces, Service
from apps.llm.stats import Stats

# What the house answers with 422 is 400 here, as OpenAI's clients expect it.
ERRORS: Responses = {
    **{status: shown for status, shown in ERROR_RESPONSES.items() if status != 422},
    400: {**ERROR_RESPONSES[400], "description": "`error.param` is not valid, or asks for what the engine does not do"},
    404: {**ERROR_RESPONSES[400], "description": "there is no such model"},
    # Said for FastAPI, which else promises a 422 of its own.
    "4XX": {**ERROR_RESPONSES[400], "description": "as above"},
}
_EVENTS: dict[str, Any] = {sse.MEDIA_TYPE: {}}


class Endpoints:
    """One method per operation."""

    def __init__(self, service: Service, front: Front, peers: Callable[[], Any]):
        self._service = service
        self._front = front
        self._peers = peers
        self._meters = Meters()

    def router(self) -> APIRouter:
        """Return the routes with what OpenAPI says about them."""
        routes = APIRouter()
        for path, operation, answer, content in (
            ("/v1/chat/completions", self.chat, api.ChatCompletion, _EVENTS),
            ("/v1/completions", self.completions, api.Completion, _EVENTS),
            ("/v1/embeddings", self.embeddings, api.EmbeddingsAnswer, {}),
        ):
            answered: Responses = {200: {"model": answer, "content": content}}
            routes.add_api_route(
                path, operation, methods=["POST"], response_model=None, responses={**ERRORS, **answered}
            )
        routes.add_api_route("/v1/models", self.models, methods=["GET"], response_model=api.ModelsAnswer)
        unknown: Responses = {404: ERRORS[404]}
        routes.add_api_route(
            "/v1/models/{name:path}", self.model, methods=["GET"], response_model=api.ModelOut, responses=unknown
        )
        busy: Responses = {504: ERRORS[504]}
        routes.add_api_route("/stats", self.stats, methods=["GET"], response_model=Stats, responses=busy)
        return routes

    async def chat(self, body: api.ChatRequest, request: Request) -> Response:
        """Answer a chat; with `stream` as events."""
        model = self._service.model_for(body.model, "chat")
        wanted = chat_request(body, model, request.state.request_id)
        return await self._answer(body, wanted, request)

    async def completions(self, body: api.CompletionRequest, request: Request) -> Response:
        """Continue a text; with `stream` as events."""
        model = self._service.model_for(body.model, "chat")
        wanted = completion_request(body, model, request.state.request_id)
        return await self._answer(body, wanted, request)

    async def _answer(
        self, body: api.ChatRequest | api.CompletionRequest, wanted: engine.Request, request: Request
    ) -> Response:
        deadline = self._front.deadline(request, body.timeout_s)
        key = routing_key(body, wanted.model, self._service.settings.prefix_characters)
        answering = Answering(wanted.model, chat=wanted.messages is not None, include_usage=body.include_usage)
        held = Held(self._service, Meter(self._meters, wanted.model, answering.operation), answering, request)
        try:
            if body.stream:
                return await self._stream(wanted, deadline, key, held)
            work = self._service.whole(wanted, deadline, key)
            answering.fingerprint, pieces = await while_connected(request, work)
            answer = answering.whole(pieces)
        except BaseException as error:
            held.over(outcome_of(error))
            raise
        held.over("answered")
        return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")

    async def _stream(self, wanted: engine.Request, deadline: Deadline, key: str, held: "Held") -> Response:
        # The status is sent with the first piece: what is known before it (no room, too long) is still a status.
        work = self._service.begin(wanted, deadline, key)
        held.answering.fingerprint, first, pieces = await while_connected(held.request, work)
        return EventStream(first, pieces, held)

    async def embeddings(self, body: api.EmbeddingsRequest, request: Request) -> Response:
        """Embed texts or token ids, with a model of kind embeddings."""
        model = self._service.model_for(body.model, "embeddings")
        deadline, inputs = self._front.deadline(request, body.timeout_s), api.as_items(body.input)
        answering = Answering(model, chat=False, operation="embeddings")
        held = Held(self._service, Meter(self._meters, model, "embeddings"), answering, request)
        try:
            work = self._service.embed(model, inputs, body.dimensions, deadline)
            found = await while_connected(request, work)
        except BaseException as error:
            held.over(outcome_of(error))
            raise
        answering.prompt_tokens = found.tokens
        held.over("answered")
        # Many numbers take a while to write: not on the loop that all requests share.
        content = await asyncio.to_thread(vectors_json, found, model, body.encoding_format)
        return Response(content, media_type="application/json")

    async def models(self) -> api.ModelsAnswer:
        """List the models and their adapters; aliases are not listed."""
        return api.ModelsAnswer(data=[api.ModelOut(id=name) for name in self._service.models])

    async def model(self, name: str) -> api.ModelOut:
        """Say which model a name or alias means."""
        return api.ModelOut(id=self._service.model(name))

    async def stats(self) -> Response:
        """Say what every replica holds and has done, and how much memory it has."""
        return JSONResponse((await self._service.stats(self._peers())).model_dump())


class Held:
    """A request from when it is accepted until the last byte of its answer, however it ends."""

    def __init__(self, service: Service, meter: Meter, answering: Answering, request: Request):
        self._service, self._meter = service, meter
        self.answering, self.request = answering, request
        self._started = time.monotonic()
        self._over = False
        service.requests += 1

    def first_piece(self) -> None:
        """Book the time to the first piece."""
        self._meter.first_piece()

    def over(self, outcome: str) -> None:
        """Book the request, once: `answered`, `refused`, `failed` or `left`."""
        if self._over:
            return
        self._over = True
        self._service.requests -= 1
        made = self.answering
        self._meter.over(outcome, made.prompt_tokens, made.cached_tokens, made.tokens)
        facts = {"model": made.model, "outcome": outcome, "tokens_in": made.prompt_tokens, "tokens_out": made.tokens}
        log_request(self.request.state.request_id, made.operation, self._started, **facts)


class EventStream(StreamingResponse):
    """A stream of events that closes its source whatever becomes of it, also if it never began."""

    def __init__(self, first: engine.Piece, pieces: Pieces, held: Held):
        super().__init__(self._events(first), media_type=sse.MEDIA_TYPE, headers={"cache-control": "no-store"})
        self._pieces, self._held = pieces, held
        self._outcome = "left"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Booked first: nothing is awaited before it.
            self._held.over(self._outcome)
            await self._pieces.aclose()

    async def _events(self, first: engine.Piece) -> AsyncGenerator[bytes, None]:
        answering = self._held.answering
        self._held.first_piece()
        try:
            yield answering.events(first, first=True)
            async for _, piece in self._pieces:
                yield answering.events(piece, first=False)
            self._outcome = "answered"
        except Exception as error:
            self._outcome = "failed"
            known = translate(error) or PipelineError(500, "internal", "the engine failed; the log has the cause")
            yield sse.data(openai_error(known, self._held.request.state.request_id))


def outcome_of(error: BaseException) -> str:
    """Return how a request ended that has no answer: `left` by its client, `refused`, or `failed` here."""
    known = translate(error) if isinstance(error, Exception) else None
    if not isinstance(error, Exception) or (known and known.status == CLIENT_LEFT):
        return "left"
    return "refused" if known and (known.status < 500 or known.kind == "overloaded") else "failed"


def build_asgi(
    service: Service, limits: LimitArgs, peers: Callable[[], Any] = lambda: None, echo_request_id: bool = True
) -> ASGIApp:
    """Return the application of one ingress replica; `peers` gives the handle of its own deployment, if there is."""
    about = "Chats, completions and embeddings as OpenAI's endpoint gives them."
    front = Front("Language models", about, limits, lambda: service.settings, service.ready)
    app = front.asgi(Endpoints(service, front, peers).router(), echo_request_id=echo_request_id)
    return OpenAIErrors(app, openai_types=True)
