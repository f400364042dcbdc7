"""What it means that a backend did not answer: is somebody else asked, may it be dead, and what does the client get?"""

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from apps.common.errors import PipelineError, deadline_exceeded, overloaded
from apps.common.openai.errors import INVALID_REQUEST

Reason = Literal["connect", "broken", "timeout", "busy", "status", "refused"]
# One that is busy is alive, and so is one that refuses the gateway's key or does not know the model.
_DEADLY: frozenset[Reason] = frozenset({"connect", "broken", "timeout", "status"})
# The client's request was right: it is the gateway that asked the wrong backend, or with the wrong key.
_OUR_FAULT = frozenset({401, 403, 404, 405, 407, 408, 421})
_LONGEST_RETRY_S = 600.0


class BackendError(Exception):
    """A backend gave no answer that is the client's. error: what the client gets, when nobody else answers either."""

    def __init__(self, reason: Reason, error: PipelineError, what: str):
        super().__init__(what)
        self.reason = reason
        self.error = error

    @property
    def deadly(self) -> bool:
        """Whether the backend may be dead."""
        return self.reason in _DEADLY


def unavailable(reason: Reason, what: str) -> BackendError:
    """Return the failure of a backend that cannot be reached or breaks off."""
    message = "the model's server does not answer, try again"
    return BackendError(reason, PipelineError(503, "unavailable", message, retry_after_s=1.0), what)


def too_late(what: str) -> BackendError:
    """Return the failure of a backend that took more time than its route has for it."""
    return BackendError("timeout", deadline_exceeded(), what)


def refusal(status: int, headers: Mapping[str, str], content: bytes) -> BackendError | PipelineError:
    """Return what an answer with a status beyond 299 is: the backend's failure, or an error that is the client's."""
    what = f"status {status}"
    after = _retry_after_s(headers)
    if status == 429 or (status == 503 and after):
        return BackendError("busy", overloaded(after or 1.0), what)
    if status in _OUR_FAULT or status < 400:
        message = f"the model's server refused the gateway's request with status {status}"
        return BackendError("refused", PipelineError(502, "upstream_error", message), what)
    if status == 504:
        return too_late(what)
    if status == 503:
        return unavailable("status", what)
    if status >= 500:
        return BackendError("status", PipelineError(502, "upstream_error", "the model's server failed"), what)
    return _client_error(status, content)


def _client_error(status: int, content: bytes) -> PipelineError:
    """An error of the client's request, in the words of the backend, whatever shape it gave them."""
    given: dict[str, Any] = {}
    with contextlib.suppress(ValueError, AttributeError):
        body = json.loads(content)
        given = body.get("error", body)
    message = given.get("message") if isinstance(given, dict) else None
    code = _first_text(given, "code", "type") if isinstance(given, dict) else None
    field = _first_text(given, "param", "field") if isinstance(given, dict) else None
    return PipelineError(
        status, code or INVALID_REQUEST, str(message or "the model's server refused the request"), field
    )


def _first_text(given: Mapping[str, Any], *names: str) -> str | None:
    return next((given[name] for name in names if isinstance(given.get(name), str) and given[name]), None)


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds of Retry-After; 0 without one, or where it is a date."""
    given = headers.get("retry-after", "")
    return min(_LONGEST_RETRY_S, max(1.0, float(given))) if given.isdecimal() else 0.0
