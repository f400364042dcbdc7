"""Turn every exception of a FastAPI application into the one error body."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from apps.common.errors import ErrorBody, PipelineError, deadline_exceeded, error_body, error_headers, overloaded

logger = logging.getLogger("ray.serve")

_KINDS = {400: "invalid_json", 404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type"}
# For OpenAPI: what every operation may answer besides its own.
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": description}
    for status, description in {
        400: "the body is not JSON",
        408: "the body did not arrive in time",
        413: "the body is too large",
        415: "the body is not of a media type that is taken",
        422: "a field is not valid; `error.field` names it",
        503: "no room now; see Retry-After",
        504: "the deadline of the request passed",
    }.items()
}


def translate(error: BaseException) -> PipelineError | None:
    """Return what a caller may know of `error`, or None when it is a defect of ours.

    An error of another replica arrives wrapped by Ray, with the original in `cause`.
    """
    original = getattr(error, "cause", None)
    if isinstance(original, BaseException):
        error = original
    if isinstance(error, PipelineError):
        return error
    if isinstance(error, TimeoutError):
        return deadline_exceeded()
    # By name: Ray's own exceptions, without importing Ray where it is not used.
    name = type(error).__name__
    if name == "BackPressureError":
        return overloaded(getattr(error, "retry_after_s", None) or 1.0)
    if name in {"DeploymentUnavailableError", "ActorUnavailableError", "ActorDiedError", "RequestCancelledError"}:
        return PipelineError(503, "unavailable", "a part of the pipeline is restarting, try again", retry_after_s=1.0)
    return None


def install(app: FastAPI) -> None:
    """Register the handlers on `app`."""
    handlers: Mapping[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        RequestValidationError: _invalid,
        HTTPException: _http,
        Exception: _failed,
        PipelineError: _failed,
        TimeoutError: _failed,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _answer(request: Request, error: PipelineError, headers: Mapping[str, str] | None = None) -> Response:
    body = error_body(error, getattr(request.state, "request_id", ""))
    return JSONResponse(body, error.status, {**(headers or {}), **error_headers(error)})


async def _invalid(request: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    where = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return _answer(request, PipelineError(400, "invalid_json", "the body is not valid JSON", "body"))
    field = ".".join(where) or "body"
    return _answer(request, PipelineError(422, "validation", first["msg"], field))


async def _http(request: Request, error: HTTPException) -> Response:
    kind = _KINDS.get(error.status_code, "http")
    field = "body" if error.status_code == 400 else None
    return _answer(request, PipelineError(error.status_code, kind, str(error.detail), field), error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    known = translate(error)
    if known is None:
        logger.error("unexpected failure, request_id=%s", getattr(request.state, "request_id", ""), exc_info=error)
        known = PipelineError(500, "internal", "the pipeline failed; the log has the cause under this request_id")
    return _answer(request, known)


def as_event(error: BaseException, request_id: str) -> dict[str, Any]:
    """Return the body of `error` for a stream whose status line is already sent."""
    known = translate(error) or PipelineError(500, "internal", "the pipeline failed")
    return error_body(known, request_id)
