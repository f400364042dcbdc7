"""Deadlines: how long a request may still take, wherever it was stated."""

import asyncio
import math
import time
from dataclasses import dataclass

from apps.common.errors import PipelineError

TIMEOUT_HEADER = "x-request-timeout-ms"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on this process's monotonic clock; other processes get the seconds that remain."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """Return the deadline that lies `seconds` ahead."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds that are left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def scope(self) -> asyncio.Timeout:
        """Return a context that raises TimeoutError at the deadline."""
        return asyncio.timeout(self.remaining())


def requested_timeout(header: str | None, body_seconds: float | None, default_s: float, longest_s: float) -> float:
    """Return the seconds a request may take: the smallest of header, body and the longest allowed.

    Raises:
        PipelineError: 422 naming the header when it is not a positive number of milliseconds.
    """
    stated = [] if body_seconds is None else [body_seconds]
    if header is not None:
        stated.append(_header_seconds(header))
    return min([longest_s, *(stated or [default_s])])


def _header_seconds(header: str) -> float:
    try:
        seconds = float(header) / 1000
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise PipelineError(422, "validation", "must be a positive number of milliseconds", TIMEOUT_HEADER)
    return seconds
