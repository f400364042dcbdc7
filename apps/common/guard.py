"""ASGI middleware in front of a pipeline: request id, size and type of the body, and room for the request."""

import asyncio
import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.common.errors import PipelineError, error_body, error_headers, overloaded

logger = logging.getLogger("ray.serve")

REQUEST_ID_HEADER = "x-request-id"
_VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
# How much of a body that is too large is read and thrown away, so that a client that sends first and reads later still
# gets the answer in place of a broken connection.
_DRAIN_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """Bounds of one ingress replica."""

    body_bytes: int = 1_000_000
    body_timeout_s: float = 10.0
    in_flight: int = 128
    retry_after_s: float = 1.0
    media_types: tuple[str, ...] = ("application/json",)


class RequestGuard:
    """Let a request through to `app` when it has a place, a sane body and an id.

    Requests with a body (POST, PUT, PATCH) count against `limits.in_flight`; the others (health, docs) always
    pass. The body is counted while it streams in and never kept beyond `limits.body_bytes`. `echo_request_id` is off
    below Ray Serve, which gives a request without an id one, passes it on in the header and echoes it itself.
    """

    def __init__(self, app: ASGIApp, limits: GuardLimits, echo_request_id: bool = True):
        self.app = app
        self.limits = limits
        self.echo_request_id = echo_request_id
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope).get(REQUEST_ID_HEADER, ""))
        scope.setdefault("state", {})["request_id"] = request_id
        tagged = _with_request_id(send, request_id) if self.echo_request_id else send
        if scope["method"] not in {"POST", "PUT", "PATCH"}:
            await self.app(scope, receive, tagged)
            return
        try:
            await self._admit(scope, receive, tagged)
        except PipelineError as error:
            response = JSONResponse(error_body(error, request_id), error.status, error_headers(error))
            await response(scope, receive, tagged)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.in_flight >= self.limits.in_flight:
            raise overloaded(self.limits.retry_after_s)
        self.in_flight += 1
        try:
            body = await self._read(scope, receive)
            if body is not None:
                await self.app(scope, _replay(body, receive), send)
        finally:
            self.in_flight -= 1

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Return the whole body, or None when the client left."""
        try:
            async with asyncio.timeout(self.limits.body_timeout_s):
                return await self._read_bounded(Headers(scope=scope), receive)
        except TimeoutError as error:
            message = f"the body did not arrive within {self.limits.body_timeout_s:g} s"
            raise PipelineError(408, "body_timeout", message, "body") from error

    async def _read_bounded(self, headers: Headers, receive: Receive) -> bytes | None:
        chunks: list[bytes] = []
        size = 0
        while size <= _DRAIN_BYTES:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size <= self.limits.body_bytes:
                chunks.append(chunk)
            if not message.get("more_body", False):
                break
        if size > self.limits.body_bytes:
            too_large = f"the body is larger than {self.limits.body_bytes} bytes"
            raise PipelineError(413, "body_too_large", too_large, "body")
        _check_content_type(headers, self.limits.media_types)
        return b"".join(chunks)


def _check_content_type(headers: Headers, accepted: tuple[str, ...]) -> None:
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    if kind.strip().lower() not in accepted or (charset and charset[1].lower() not in {"utf-8", "utf8"}):
        message = f"send {' or '.join(accepted)}{' in UTF-8' if 'application/json' in accepted else ''}"
        raise PipelineError(415, "unsupported_media_type", message, "content-type")


def request_id_of(given: str) -> str:
    """Return the id that a caller gave, or a new one when it is none."""
    return given if _VALID_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _with_request_id(send: Send, request_id: str) -> Send:
    async def tagged(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
        await send(message)

    return tagged


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the body once and then what the server says next (that the client left)."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


def log_request(request_id: str, what: str, started: float, **facts: Any) -> None:
    """Write one line for a finished request; `started` is a time.monotonic() reading."""
    details = " ".join(f"{name}={value}" for name, value in facts.items())
    logger.info("%s request_id=%s ms=%.1f %s", what, request_id, (time.monotonic() - started) * 1000, details)
