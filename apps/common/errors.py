"""The one shape of every error answer: `{"error": {"type", "message", "field", "request_id"}}`."""

from typing import Any

from pydantic import BaseModel


class ApiError(BaseModel):
    """What went wrong, for a program (`type`, `field`) and for a person (`message`)."""

    type: str
    message: str
    field: str | None = None
    request_id: str


class ErrorBody(BaseModel):
    """Body of every answer with a status of 400 or more."""

    error: ApiError


class PipelineError(Exception):
    """A failure that a caller may see; it keeps its meaning when it crosses process borders."""

    def __init__(self, status: int, kind: str, message: str, field: str | None = None, retry_after_s: float = 0):
        # All of them go to the base class, so that pickling rebuilds the error with its attributes.
        super().__init__(status, kind, message, field, retry_after_s)
        self.status = status
        self.kind = kind
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return self.message


def overloaded(retry_after_s: float) -> PipelineError:
    """Return the answer to a request for which there is no room now."""
    return PipelineError(503, "overloaded", "the queue is full, try again later", retry_after_s=retry_after_s)


def deadline_exceeded() -> PipelineError:
    """Return the answer to a request whose time has passed."""
    return PipelineError(504, "deadline_exceeded", "the deadline of the request passed before the answer was ready")


def printable(text: str, limit: int = 500) -> str:
    """Return `text` cut to `limit` characters and encodable as UTF-8 (a lone surrogate is not)."""
    return text[:limit].encode("utf-8", "replace").decode("utf-8")


def error_body(error: PipelineError, request_id: str) -> dict[str, Any]:
    """Return the JSON body for `error`."""
    field = printable(error.field, 200) if error.field else None
    detail = ApiError(type=error.kind, message=printable(error.message), field=field, request_id=request_id)
    return ErrorBody(error=detail).model_dump()


def error_headers(error: PipelineError) -> dict[str, str]:
    """Return the headers that belong to `error`: `Retry-After` in whole seconds where there is one."""
    return {"retry-after": str(max(1, round(error.retry_after_s)))} if error.retry_after_s else {}
