"""Deadlines: how long a request may still take, wherever it was stated."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TypeVar

from apps.common.errors import PipelineError

Piece = TypeVar("Piece")

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

    async def within(self, stream: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
        """Yield what `stream` yields; leaving the iteration closes it.

        Raises:
            TimeoutError: the deadline passed.
        """
        try:
            while True:
                async with self.scope():
                    try:
                        piece = await anext(stream)
                    except StopAsyncIteration:
                        return
                yield piece
        finally:
            await stream.aclose()


@dataclass(slots=True)
class Clock:
    """Milliseconds that each step took."""

    taken: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.perf_counter)

    def lap(self, step: str) -> None:
        """Book the time since the last lap on `step`."""
        now = time.perf_counter()
        self.taken[step] = round((now - self._last) * 1000, 2)
        self._last = now


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
