"""Make the house's error body one that OpenAI's clients read as well.

The house writes `{"error": {"type", "message", "field", "request_id"}}`; OpenAI `{"error": {"type", "message", "param",
"code"}}`. Both sets of names are in every error. `code` says what went wrong (`model_not_found`, `overloaded`, ...).
"""

import contextlib
import json
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from apps.common.errors import PipelineError, error_body

INVALID, UNPROCESSABLE = 400, 422
INVALID_REQUEST = "invalid_request_error"
# OpenAI's `type` is a class of errors; what is not here is the caller's mistake below 500 and the server's from there.
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

# What the house calls a field that is not valid.
_CODES = {"validation": INVALID_REQUEST}


def bad_request(message: str, field: str | None = None) -> PipelineError:
    """Return the answer (400) to a request that cannot be carried out as it is."""
    return PipelineError(INVALID, INVALID_REQUEST, message, field)


def model_not_found(name: str, known: list[str]) -> PipelineError:
    """Return the answer (404) to a request for a model that is not served here."""
    message = f"there is no model {name!r}; known: {', '.join(known) or 'none'}"
    return PipelineError(404, "model_not_found", message, "model")


def invalid_api_key() -> PipelineError:
    """Return the answer (401) to a request without a key that is known; it never repeats the key."""
    return PipelineError(401, "invalid_api_key", "no API key, or one that is not known: send Authorization: Bearer KEY")


def rate_limit_exceeded(message: str, retry_after_s: float) -> PipelineError:
    """Return the answer (429) to a caller that is over its limit; `retry_after_s` is when there is room again."""
    return PipelineError(429, "rate_limit_exceeded", message, retry_after_s=retry_after_s)


def error_type(status: int) -> str:
    """Return what OpenAI calls errors of this status."""
    return _TYPES.get(status, INVALID_REQUEST if status < 500 else "server_error")


def openai_error(error: PipelineError, request_id: str) -> dict[str, Any]:
    """Return the JSON body for `error`, for a stream whose status line is sent already."""
    body = error_body(error, request_id)
    _rename(body["error"], INVALID if error.status == UNPROCESSABLE else error.status)
    return body


class OpenAIErrors:
    """Add to every error body below `app` what OpenAI calls these fields; other answers pass untouched.

    Args:
        app: writes the house's errors, each in one piece; what is not such an error passes as it is.
        openai_types: also the status and `type` that OpenAI uses: 400 for bad input in place of 422, and a class of
            errors (`invalid_request_error`) as `type`. Without it `type` stays the house's own.
    """

    def __init__(self, app: ASGIApp, openai_types: bool = False):
        self.app = app
        self.openai_types = openai_types

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        held: list[Message] = []

        async def rewritten(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_json_error(message):
                held.append(message)
            elif held:
                start, body = self._translated(held.pop(), message)
                await send(start)
                await send(body)
            else:
                await send(message)

        await self.app(scope, receive, rewritten)

    def _translated(self, start: Message, body: Message) -> tuple[Message, Message]:
        if body.get("more_body", False):
            return start, body
        status = INVALID if self.openai_types and start["status"] == UNPROCESSABLE else start["status"]
        content = with_openai_names(body.get("body", b""), status if self.openai_types else None)
        start = {**start, "status": status}
        MutableHeaders(scope=start)["content-length"] = str(len(content))
        return start, {**body, "body": content}


def with_openai_names(body: bytes, status: int | None = None) -> bytes:
    """Return an error body with `code` (our type), `param` (our field) and, given a status, OpenAI's `type` for it.

    A body that is not the house's own (another server wrote it) comes back as it is.
    """
    with contextlib.suppress(ValueError, TypeError, KeyError):
        answer: dict[str, Any] = json.loads(body)
        _rename(answer["error"], status)
        return json.dumps(answer).encode()
    return body


def _rename(error: dict[str, Any], status: int | None) -> None:
    names = {"code": error["type"], "param": error["field"]}
    error |= names
    if status is not None:
        error |= {"type": error_type(status), "code": _CODES.get(error["type"], error["type"])}


def _is_json_error(message: Message) -> bool:
    return message["status"] >= INVALID and Headers(raw=message["headers"]).get("content-type", "").startswith(
        "application/json"
    )
