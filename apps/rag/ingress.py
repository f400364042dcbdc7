"""The HTTP interface: FastAPI routes over a Pipeline."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import ASGIApp

from apps.common import handlers
from apps.common.deadline import Clock, Deadline
from apps.common.errors import ErrorBody
from apps.common.guard import log_request
from apps.common.http import Front, Responses, event, while_connected
from apps.common.retrieval.source import Source
from apps.common.settings import LimitArgs
from apps.rag import api
from apps.rag.pipeline import Found, Pipeline


class Endpoints:
    """One method per operation."""

    def __init__(self, pipeline: Pipeline, front: Front):
        self._pipeline = pipeline
        self._front = front

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
        done[403] = {"model": ErrorBody, "description": "the store is read-only: documents come with the image"}
        routes.add_api_route(
            "/documents", self.documents, methods=["POST"], response_model=None, responses={**errors, **done}
        )
        return routes

    async def ask(self, body: api.AskRequest, request: Request) -> Response:
        """Answer a question from the documents; with `stream` as events: sources, token ..., done (or error)."""
        deadline, clock = self._front.deadline(request, body.timeout_s), Clock()
        found = await while_connected(request, self._pipeline.find(body.question, body.top_k, deadline, clock))
        if body.stream:
            events = self._events(found, deadline, clock, request)
            return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        answer = await while_connected(request, self._pipeline.answer(found, deadline, clock))
        return JSONResponse({"answer": answer, **self._facts(found, clock, request)})

    async def search(self, body: api.SearchRequest, request: Request) -> Response:
        """Find the passages that answer a question."""
        deadline, clock = self._front.deadline(request, body.timeout_s), Clock()
        found = await while_connected(request, self._pipeline.find(body.question, body.top_k, deadline, clock))
        return JSONResponse(self._facts(found, clock, request))

    async def documents(self, body: api.DocumentRequest, request: Request) -> Response:
        """Add a document, or replace the one of the same name; the same content again changes nothing."""
        started = time.monotonic()
        done = await self._pipeline.ingest(body.document, body.text, self._front.deadline(request, body.timeout_s))
        request_id: str = request.state.request_id
        answer = api.DocumentAnswer(
            document=done.document, change=done.change, chunks=done.chunks, index=done.index, request_id=request_id
        )
        log_request(request_id, "document", started, change=done.change, chunks=done.chunks, index=done.index.digest)
        return JSONResponse(answer.model_dump(), 201 if done.change == "created" else 200)

    def _facts(self, found: Found, clock: Clock, request: Request) -> dict[str, Any]:
        return api.SearchAnswer(
            sources=[Source.of(hit) for hit in found.hits],
            index=found.index,
            settings=api.Settings(**self._pipeline.settings.model_dump()),
            timings_ms=clock.taken,
            request_id=request.state.request_id,
        ).model_dump()

    async def _events(self, found: Found, deadline: Deadline, clock: Clock, request: Request) -> AsyncIterator[str]:
        yield event("sources", self._facts(found, clock, request))
        try:
            async with aclosing(self._pipeline.pieces(found, deadline)) as pieces:
                async for piece in pieces:
                    yield event("token", {"text": piece})
        except Exception as error:
            yield event("error", handlers.as_event(error, request.state.request_id))
        else:
            clock.lap("generate")
            yield event("done", {"timings_ms": clock.taken, "request_id": request.state.request_id})


def build_asgi(pipeline: Pipeline, limits: LimitArgs, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""
    about = "Answers from documents, with their sources."
    front = Front("RAG", about, limits, lambda: pipeline.settings, pipeline.ready)
    return front.asgi(Endpoints(pipeline, front).router(), echo_request_id=echo_request_id)
