"""The HTTP interface: FastAPI routes over a Pipeline."""

import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
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
from apps.support_assistant import api
from apps.support_assistant.pipeline import Found, Pipeline


class Endpoints:
    """One method per operation."""

    def __init__(self, pipeline: Pipeline, front: Front):
        self._pipeline = pipeline
        self._front = front

    def router(self) -> APIRouter:
        """Return the routes with what OpenAPI says about them."""
        routes = APIRouter()
        errors = handlers.ERROR_RESPONSES
        answered: Responses = {200: {"model": api.TicketAnswer, "content": {"text/event-stream": {}}}}
        unknown: Responses = {404: {"model": ErrorBody, "description": "no recent answer has this `answer_id`"}}
        stored: Responses = {code: {"model": api.FeedbackAnswer} for code in (200, 201)}
        counted: Responses = {200: {"model": api.SummaryAnswer}, 503: errors[503], 504: errors[504]}
        for path, method, operation, responses in (
            ("/tickets", "POST", self.tickets, {**errors, **answered}),
            ("/feedback", "POST", self.feedback, {**errors, **unknown, **stored}),
            ("/feedback/summary", "GET", self.summary, counted),
        ):
            routes.add_api_route(path, operation, methods=[method], response_model=None, responses=responses)
        return routes

    async def tickets(self, body: api.TicketRequest, request: Request) -> Response:
        """Answer a ticket from the runbooks; with `stream` as events: sources, token ..., done (or error)."""
        started, clock = time.monotonic(), Clock()
        deadline = self._front.deadline(request, body.timeout_s)
        work = self._pipeline.find(
            body.subject, body.description, body.component, body.severity, body.top_k, deadline, clock
        )
        found = await while_connected(request, work)
        if body.stream:
            events = self._events(found, deadline, clock, request, started)
            return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})
        answer = await while_connected(request, self._pipeline.answer(found, deadline, clock))
        _log(request, started, found, "answered")
        return JSONResponse({"answer": answer, **self._facts(found, clock, request)})

    async def feedback(self, body: api.FeedbackRequest, request: Request) -> Response:
        """Say whether an answer helped; 201 the first time, 200 for a change or the same again."""
        started = time.monotonic()
        deadline = self._front.deadline(request, body.timeout_s)
        work = self._pipeline.judge(body.answer_id, body.helpful, body.comment, deadline)
        stored = await while_connected(request, work)
        request_id: str = request.state.request_id
        log_request(request_id, "feedback", started, change=stored.change, helpful=body.helpful)
        answer = api.FeedbackAnswer(answer_id=body.answer_id, **asdict(stored), request_id=request_id)
        return JSONResponse(answer.model_dump(), 201 if stored.change == "created" else 200)

    async def summary(self, request: Request) -> Response:
        """Count the feedback by runbook section, the least helpful first."""
        counts = await self._pipeline.summary(self._front.deadline(request))
        answer = api.SummaryAnswer(**asdict(counts), request_id=request.state.request_id)
        return JSONResponse(answer.model_dump())

    def _facts(self, found: Found, clock: Clock, request: Request) -> dict[str, Any]:
        ticket = found.ticket
        runbooks: dict[str, list[int]] = {}
        for number, hit in enumerate(found.hits, 1):
            runbooks.setdefault(hit.chunk.document, []).append(number)
        return api.TicketFacts(
            answer_id=found.answer_id,
            matched=bool(found.hits),
            similarity=round(found.nearest.score, 4),
            ticket=api.Understood(
                severity=ticket.severity,
                severity_reason=ticket.severity_reason,
                signals=ticket.signals,
                evidence=ticket.evidence,
                redacted=ticket.redacted,
            ),
            runbooks=[
                api.Runbook(document=name, score=round(found.hits[numbers[0] - 1].score, 4), sources=numbers)
                for name, numbers in runbooks.items()
            ],
            sources=[Source.of(hit) for hit in found.hits],
            index=found.index,
            settings=api.Settings(**found.settings.model_dump()),
            timings_ms=clock.taken,
            request_id=request.state.request_id,
        ).model_dump()

    async def _events(
        self, found: Found, deadline: Deadline, clock: Clock, request: Request, started: float
    ) -> AsyncIterator[str]:
        outcome = "left"
        try:
            yield event("sources", self._facts(found, clock, request))
            async with aclosing(self._pipeline.pieces(found, deadline)) as pieces:
                async for piece in pieces:
                    yield event("token", {"text": piece})
            clock.lap("generate")
            outcome = "answered"
            yield event("done", {"timings_ms": clock.taken, "request_id": request.state.request_id})
        except Exception as error:
            outcome = "failed"
            yield event("error", handlers.as_event(error, request.state.request_id))
        finally:
            _log(request, started, found, outcome)


def _log(request: Request, started: float, found: Found, outcome: str) -> None:
    # Nothing of the ticket's own words: what the redaction does not know must not be in a log either.
    log_request(
        request.state.request_id,
        "ticket",
        started,
        outcome=outcome,
        severity=found.ticket.severity.value,
        runbook=found.hits[0].chunk.document if found.hits else None,
        similarity=f"{found.nearest.score:.2f}",
        redacted=sum(found.ticket.redacted.values()),
        answer_id=found.answer_id,
    )


def build_asgi(pipeline: Pipeline, limits: LimitArgs, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""
    about = "Answers to support tickets from the runbooks, with their sections."
    front = Front("Support assistant", about, limits, lambda: pipeline.settings, pipeline.ready)
    return front.asgi(Endpoints(pipeline, front).router(), echo_request_id=echo_request_id)
