"""Tokens that an answer says it cost, read from its bytes without reading the rest."""

import json
import re
from dataclasses import dataclass

# As a key it is never within a text: quotes in texts are escaped.
_USAGE = re.compile(rb'"usage"\s*:\s*(?=\{)')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_EVENT_END = re.compile(rb"\r?\n\r?\n")
_TAIL_BYTES = 8192
_HELD_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens. told: the server said so; else they are guessed."""

    read: int = 0
    written: int = 0
    told: bool = True


def usage_in(content: bytes) -> Usage | None:
    """Return the last usage in an answer or in the end of a stream; None without one."""
    ends = [found.end() for found in _USAGE.finditer(content)]
    if not ends:
        return None
    try:
        fields, _ = json.JSONDecoder().raw_decode(content[ends[-1] : ends[-1] + _TAIL_BYTES].decode("utf-8", "replace"))
        return Usage(_count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens")))
    except ValueError:
        return None


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


class StreamMeter:
    """Follows a stream of server-sent events for its usage.

    Args:
        hide: the client did not ask for the usage: the one event that carries nothing else is held back. Events then go
            on one by one, as a whole; otherwise every piece goes on as it came.
    """

    def __init__(self, hide: bool):
        self._hide = hide
        self._held = b""
        self._tail = b""
        self._events = 0

    def feed(self, piece: bytes) -> bytes:
        """Return what the client gets for these bytes of the server, maybe nothing yet."""
        self._tail = (self._tail + piece)[-_TAIL_BYTES:]
        self._events += piece.count(b"data:")
        if not self._hide:
            return piece
        held = self._held + piece
        ends = [found.end() for found in _EVENT_END.finditer(held)]
        cut = ends[-1] if ends else (len(held) if len(held) > _HELD_BYTES else 0)
        self._held = held[cut:]
        if not _NO_CHOICES.search(held, 0, cut):
            return held[:cut]
        starts = [0, *ends[:-1]]
        events = (held[start:end] for start, end in zip(starts, ends, strict=True))
        return b"".join(event for event in events if not _only_usage(event))

    def rest(self) -> bytes:
        """Return what was held back of an event that never ended."""
        return self._held

    def usage(self, prompt_bytes: int) -> Usage:
        """Return the usage; without word of the server an event is taken for a token, and 4 bytes of the prompt."""
        return usage_in(self._tail) or Usage(prompt_bytes // 4, self._events, told=False)


def _only_usage(event: bytes) -> bool:
    return bool(_NO_CHOICES.search(event) and _USAGE.search(event))
