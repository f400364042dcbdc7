"""What the own server asks of an engine, and what crosses the processes between the two."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Request:
    """One text to make. Either `messages` (a chat) or `prompt` (a text, or token ids) is given.

    Args:
        id: of the HTTP request, for logs; not unique when a client sends its own twice.
        model: id of the model or of one of its adapters, never an alias.
        messages: as OpenAI's protocol has them, without what is null.
        max_tokens: of the answer; without it what the context has room for, or what the engine makes of itself.
        stop: sequences that end the answer and are not part of it.
        fields: every other field of the body that asks for something else than the default, by name. An engine refuses
            what it does not do.
    """

    id: str
    model: str
    messages: tuple[dict[str, Any], ...] | None = None
    prompt: str | list[int] | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prompt_field(self) -> str:
        """What the body calls the prompt, for errors."""
        return "prompt" if self.messages is None else "messages"


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer; the last one, and only that, says why the answer ended.

    Args:
        text: may be empty, never half a character.
        tokens: of the answer, in this piece.
        prompt_tokens: of the whole prompt, in every piece.
        cached_tokens: of the prompt, that the engine had computed before.
        finish: `stop` (the end, or a stop sequence) or `length` (no more tokens allowed); None while it goes on.
    """

    text: str
    tokens: int
    prompt_tokens: int
    cached_tokens: int = 0
    finish: Finish | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """rows: one vector per input. tokens: that were read for all of them."""

    rows: list[list[float]]
    tokens: int


@dataclass(slots=True)
class Counts:
    """Requests of one model in one engine since it started.

    Every request that was taken is in one of: waiting, running, finished (answered to its end), aborted (its reader
    left or its time passed), failed. `refused` had no room and was not taken.
    """

    waiting: int = 0
    running: int = 0
    finished: int = 0
    aborted: int = 0
    failed: int = 0
    refused: int = 0


class Engine(Protocol):
    """An engine for one model. It is used from one event loop.

    Every method but `close` may raise PipelineError: 400 names a field that asks for what the engine does not do, or a
    prompt that does not fit; 503 `overloaded` is a full queue.
    """

    fingerprint: str
    """Of the engine and its configuration, for `system_fingerprint`; the same on every replica."""

    async def start(self) -> None:
        """Load the model; returns when requests can be taken. The constructor only keeps its arguments."""

    def generate(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Make the answer, piece by piece. Closing the generator, or cancelling its task, aborts the request.

        An error is raised before the first piece if it can be known by then.
        """

    async def embed(self, inputs: list[str] | list[list[int]], dimensions: int | None) -> Vectors:
        """Return a vector per input; `dimensions` is how many numbers of each, of length 1 again."""

    def counts(self) -> Counts:
        """Return a copy of the counts now."""

    async def check(self) -> None:
        """Raise when the engine cannot serve any more; Serve then replaces the replica."""

    def close(self) -> None:
        """Stop, without waiting for what runs: Serve calls it when that has ended, or when its time is over."""
