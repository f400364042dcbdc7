"""What every ingress has around its own routes: deadlines, health, readiness, the guard, and clients that leave.

An ingress is an `APIRouter` with the operations of the pipeline, each of which asks `Front.deadline` for its time and
runs its work in `while_connected`; then `Front.asgi(router)`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from apps.common import handlers
from apps.common.deadline import TIMEOUT_HEADER, Deadline, requested_timeout
from apps.common.errors import PipelineError
from apps.common.guard import RequestGuard
from apps.common.settings import LimitArgs

T = TypeVar("T")
Responses = dict[int | str, dict[str, Any]]

READY_TIMEOUT_S = 2.0
# The client left before the answer: nobody reads it, the log does (the number is nginx's).
CLIENT_LEFT = 499


class StrictRequest(BaseModel):
    """Base of the bodies of requests: unknown fields and values of another type are errors, never guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    timeout_s: float | None = Field(default=None, gt=0, le=3600, description="seconds until the answer is worthless")


class Health(BaseModel):
    """The ingress is up and knows its settings."""

    status: Literal["ok"] = "ok"
    settings: dict[str, Any]


class Readiness(BaseModel):
    """Every deployment of the pipeline takes calls."""

    status: Literal["ready"] = "ready"
    steps: dict[str, str]
    remarks: dict[str, str] | None = Field(default=None, description="what is amiss and keeps nobody out")


@dataclass(frozen=True, slots=True)
class Front:
    """The HTTP side of one pipeline.

    Args:
        title: name of the interface in OpenAPI.
        description: one sentence for OpenAPI.
        limits: bounds of this replica.
        settings: the live settings now; a new `user_config` is a new object.
        ready: asks every part, each within the seconds it is given; "ok" or what is wrong, by name.
        media_types: of the bodies that are taken.
        remarks: asks what is amiss but no reason to be not ready, as `ready` does.
    """

    title: str
    description: str
    limits: LimitArgs
    settings: Callable[[], BaseModel]
    ready: Callable[[float], Awaitable[dict[str, str]]]
    media_types: tuple[str, ...] = ("application/json",)
    remarks: Callable[[float], Awaitable[dict[str, str]]] | None = None

    def deadline(self, request: Request, body_seconds: float | None = None) -> Deadline:
        """Return when the answer must be there: by header, body or the default, never beyond the longest.

        Raises:
            PipelineError: 422 naming the header.
        """
        header = request.headers.get(TIMEOUT_HEADER)
        limits = self.limits
        return Deadline.after(
            requested_timeout(header, body_seconds, limits.default_timeout_s, limits.longest_timeout_s)
        )

    async def healthz(self) -> Health:
        """Say that this replica of the ingress is up."""
        return Health(settings=self.settings().model_dump())

    async def readyz(self) -> Readiness:
        """Say whether every deployment behind the ingress takes calls; 503 names those that do not."""
        steps = await self.ready(READY_TIMEOUT_S)
        failing = [f"{name}: {answer}" for name, answer in steps.items() if answer != "ok"]
        if failing:
            raise PipelineError(503, "not_ready", "; ".join(failing), retry_after_s=self.limits.retry_after_s)
        return Readiness(steps=steps, remarks=await self.remarks(READY_TIMEOUT_S) if self.remarks else None)

    def asgi(self, routes: APIRouter, *, echo_request_id: bool = True) -> ASGIApp:
        """Return the application of one ingress replica."""
        app = FastAPI(title=self.title, version="1", description=self.description)
        app.include_router(routes)
        app.add_api_route("/healthz", self.healthz, methods=["GET"], response_model=Health)
        not_ready: Responses = {503: handlers.ERROR_RESPONSES[503]}
        app.add_api_route(
            "/readyz",
            self.readyz,
            methods=["GET"],
            response_model=Readiness,
            response_model_exclude_none=True,
            responses=not_ready,
        )
        handlers.install(app)
        return RequestGuard(app, self.limits.guard(self.media_types), echo_request_id)


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`; when the client leaves first, the work is cancelled.

    Raises:
        PipelineError: 499, the client left.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise PipelineError(CLIENT_LEFT, "client_left", "the client left before the answer")
        return await task
    finally:
        for pending in (task, gone):
            pending.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    # The guard has given the body already: the next message can only be that the client left.
    while (await request.receive())["type"] != "http.disconnect":
        pass


def event(name: str, data: Any) -> str:
    """Return one server-sent event; `data` is its JSON."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
