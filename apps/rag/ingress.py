"""The HTTP interface: FastAPI routes over a Pipeline, behind the RequestGuard."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp

from apps.common import handlers
from apps.common.deadline import TIMEOUT_HEADER, Deadline, requested_timeout
from apps.common.guard import RequestGuard, log_request
from apps.rag import api
from apps.rag.pipeline import Clock, Found, Pipeline
from apps.rag.settings import LimitArgs

T = TypeVar("T")
Responses = dict[int | str, dict[str, Any]]
# The client left before the answer: nobody reads it, the log does (the number is nginx's).
_CLIENT_LEFT = 499


class Endpoints:
    """One method per operation."""

    def __init__(self, pipeline: Pipeline, limits: LimitArgs):
        self._pipeline = pipeline
        self._limits = limits

    def router(self) -> APIRouter:
        """Return the routes with what OpenAPI says about them."""
        routes = APIRouter()
        errors = handlers.ERROR_RESPONSES
        answered: Responses = {200: {"model": api.AskAnswer, "content": {"text/event-stream": {}}}}
        routes.add_api_route("/ask", self.ask, methods=["POST"], response_model=None, responses={**errors, **answered})
        found: Responses = {200: {"model": api.SearchAnswer}}
        routes.add_api_route(
            "/search", self.search, methods=["POST"], response_model=None, responses={**errors, **found}
        )
        done: Responses = {code: {"model": api.DocumentAnswer} for code in (200, 201)}
        routes.add_api_route(
            "/documents", self.documents, methods=["POST"], response_model=None, responses={**errors, **done}
        )
        routes.add_api_route("/healthz", self.healthz, methods=["GET"], response_model=api.Health)
        return routes

    async def ask(self, body: api.AskRequest, request: Request) -> Response:
        """Answer a question from the documents; with `stream` as events: sources, token ..., done (or error)."""
        deadline, clock = self._deadline(body.timeout_s, request), Clock()
        found = await _while_connected(request, self._pipeline.find(body.question, body.top_k, deadline, clock))
        if found is None:
            return Response(status_code=_CLIENT_LEFT)
        if body.stream:
            events = self._events(found, deadline, clock, request)
            return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        answer = await _while_connected(request, self._pipeline.answer(found, deadline, clock))
        if answer is None:
            return Response(status_code=_CLIENT_LEFT)
        return JSONResponse({"answer": answer, **self._facts(found, clock, request)})

    async def search(self, body: api.SearchRequest, request: Request) -> Response:
        """Find the passages that answer a question."""
        deadline, clock = self._deadline(body.timeout_s, request), Clock()
        found = await _while_connected(request, self._pipeline.find(body.question, body.top_k, deadline, clock))
        return Response(status_code=_CLIENT_LEFT) if found is None else JSONResponse(self._facts(found, clock, request))

    async def documents(self, body: api.DocumentRequest, request: Request) -> Response:
        """Add a document, or replace the one of the same name; the same content again changes nothing."""
        started = time.monotonic()
        done = await self._pipeline.ingest(body.document, body.text, self._deadline(body.timeout_s, request))
        request_id: str = request.state.request_id
        answer = api.DocumentAnswer(
            document=done.document, change=done.change, chunks=done.chunks, index=done.index, request_id=request_id
        )
        log_request(request_id, "document", started, change=done.change, chunks=done.chunks, index=done.index.digest)
        return JSONResponse(answer.model_dump(), 201 if done.change == "created" else 200)

    async def healthz(self) -> api.Health:
        """Say that this replica of the ingress is up."""
        return api.Health(settings=self._settings())

    def _deadline(self, body_seconds: float | None, request: Request) -> Deadline:
        limits = self._limits
        header = request.headers.get(TIMEOUT_HEADER)
        seconds = requested_timeout(header, body_seconds, limits.default_timeout_s, limits.longest_timeout_s)
        return Deadline.after(seconds)

    def _settings(self) -> api.Settings:
        return api.Settings(**self._pipeline.settings.model_dump())

    def _facts(self, found: Found, clock: Clock, request: Request) -> dict[str, Any]:
        return api.SearchAnswer(
            sources=[api.Source.of(hit) for hit in found.hits],
            index=found.index,
            settings=self._settings(),
            timings_ms=clock.taken,
            request_id=request.state.request_id,
        ).model_dump()

    async def _events(self, found: Found, deadline: Deadline, clock: Clock, request: Request) -> AsyncIterator[str]:
        facts = self._facts(found, clock, request)
        yield _event("sources", json.dumps(facts))
        try:
            async for piece in self._pipeline.pieces(found, deadline):
                yield _event("token", json.dumps({"text": piece}))
        except Exception as error:
            yield _event("error", handlers.as_event(error, request.state.request_id))
        else:
            clock.lap("generate")
            yield _event("done", json.dumps({"timings_ms": clock.taken, "request_id": request.state.request_id}))


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Return the result of `work`, or None, with the work cancelled, when the client leaves first."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    # The guard has given the body already: the next message can only be that the client left.
    while (await request.receive())["type"] != "http.disconnect":
        pass


def build_asgi(pipeline: Pipeline, limits: LimitArgs, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""
    app = FastAPI(title="RAG", version="1", description="Answers from documents, with their sources.")
    app.include_router(Endpoints(pipeline, limits).router())
    handlers.install(app)
    return RequestGuard(app, limits.guard(), echo_request_id)
