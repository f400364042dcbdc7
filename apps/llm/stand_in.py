"""An engine without a model: it keeps a pace and bounds as a real one does, and says in every answer what it is."""

import asyncio
import hashlib
import itertools
import re
import time
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from apps.common.errors import PipelineError, overloaded
from apps.common.openai.errors import bad_request
from apps.llm.engine import Counts, Finish, Piece, Request, Vectors
from apps.llm.settings import StandIn

# A word and the white space behind it is a token here.
_TOKEN = re.compile(r"\s*\S+\s*")
_BLOCK_TOKENS = 16
# What a message costs beside its words: a template writes its role and its end.
_MESSAGE_TOKENS = 4
# They choose among likely tokens: here is always one, so they are taken and change nothing.
_WITHOUT_EFFECT = frozenset({"temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"})
_RETRY_AFTER_S = 1.0


class StandInEngine:
    """Deterministic answers and vectors; see apps.llm.engine.Engine for the methods.

    A request waits until the tokens of its prompt and answer have room beside those that run (`kv_tokens`) and fewer
    than `max_running` run, in the order of arrival. It then has `ttft_ms` to its first token, less for a prompt whose
    beginning was seen before, and `tpot_ms` to each other one.
    """

    def __init__(self, model: str, settings: StandIn):
        self._model = model
        self._settings = settings
        described = f"{model} {settings.model_dump_json()}"
        self.fingerprint = f"stand-in-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
        self._counts = Counts()
        self._room = Room(settings.kv_tokens, settings.max_running, settings.max_waiting)
        self._cache = PrefixCache(settings.cached_blocks)
        self._closed = False

    async def start(self) -> None:
        """Nothing has to be loaded."""

    async def check(self) -> None:
        """Nothing can break."""

    def close(self) -> None:
        """Take no more requests; nothing else is to be stopped."""
        self._closed = True

    def counts(self) -> Counts:
        """Return a copy of the counts now."""
        return replace(self._counts, running=self._room.running, waiting=self._room.waiting)

    async def generate(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Make the answer at the set pace; it does not depend on how fast the loop is."""
        prompt = prompt_words(request)
        wanted = self._length(request, len(prompt))
        tokens = list(itertools.islice(answer_words(self._model, prompt), wanted))
        finish: Finish = "stop" if wanted == self._settings.answer_tokens else "length"
        if self._closed:
            raise PipelineError(503, "unavailable", "the engine is shutting down", retry_after_s=_RETRY_AFTER_S)
        if not self._room.has_place(len(prompt) + wanted):
            self._counts.refused += 1
            raise overloaded(_RETRY_AFTER_S)
        with self._booked() as booking:
            async with (
                self._room.taken(len(prompt) + wanted),
                aclosing(self._paced(request, prompt, tokens, finish)) as pieces,
            ):
                async for piece in pieces:
                    # Whoever leaves after the last piece has had it all.
                    booking.ended = piece.finish is not None
                    yield piece

    async def embed(self, inputs: list[str] | list[list[int]], dimensions: int | None) -> Vectors:
        """Return a vector per input that depends on its words only, so that equal texts have equal vectors."""
        if dimensions is not None and dimensions > self._settings.dimensions:
            raise bad_request(f"{self._model} has {self._settings.dimensions} dimensions", "dimensions")
        words = [_TOKEN.findall(each) if isinstance(each, str) else [str(token) for token in each] for each in inputs]
        size = dimensions or self._settings.dimensions
        with self._booked() as booking:
            await asyncio.sleep(self._settings.ttft_ms / 1000)
            booking.ended = True
        return Vectors([_vector(each, size) for each in words], sum(len(each) for each in words))

    @contextmanager
    def _booked(self) -> Iterator["Booking"]:
        booking = Booking()
        try:
            yield booking
        except Exception:
            self._counts.failed += 1
            raise
        except BaseException:
            # The reader left: after the last piece that is no loss to it.
            self._counts.finished += booking.ended
            self._counts.aborted += not booking.ended
            raise
        else:
            self._counts.finished += 1

    def _length(self, request: Request, prompt: int) -> int:
        """Return the tokens of the answer.

        Raises:
            PipelineError: 400, the request does not fit, or asks for what this engine does not do.
        """
        unsupported = sorted(set(request.fields) - _WITHOUT_EFFECT)
        if unsupported:
            raise bad_request(f"the stand-in engine does not do {unsupported[0]}", unsupported[0])
        settings = self._settings
        wanted = min(settings.answer_tokens, request.max_tokens or settings.answer_tokens)
        if prompt + (request.max_tokens or 1) > settings.context_tokens:
            message = f"{prompt} tokens and {request.max_tokens or 1} of the answer: the context has"
            raise bad_request(f"{message} {settings.context_tokens}", request.prompt_field)
        return min(wanted, settings.context_tokens - prompt)

    async def _paced(
        self, request: Request, prompt: list[str], tokens: list[str], finish: Finish
    ) -> AsyncGenerator[Piece, None]:
        cached = self._cache.seen(prompt)
        tpot = self._settings.tpot_ms / 1000
        await asyncio.sleep(self._settings.ttft_ms / 1000 * (1 - cached / max(1, len(prompt))))
        cut = Cut(request.stop)
        first, sent = time.monotonic(), 0
        while sent < len(tokens):
            due = len(tokens) if tpot == 0 else min(len(tokens), 1 + int((time.monotonic() - first) / tpot))
            if due <= sent:
                await asyncio.sleep(max(0.0, first + sent * tpot - time.monotonic()))
                continue
            text, stopped = cut.add("".join(tokens[sent:due]), last=due == len(tokens))
            ended: Finish | None = "stop" if stopped else finish if due == len(tokens) else None
            yield Piece(text, due - sent, len(prompt), cached, ended)
            if ended:
                return
            sent = due


@dataclass(slots=True)
class Booking:
    """Whether a request has come to its end."""

    ended: bool = False


class Room:
    """Places for those that run, bounded in number and in tokens, and a queue before them."""

    def __init__(self, tokens: int, running: int, waiting: int):
        self._tokens = tokens
        self._places = running
        self._most_waiting = waiting
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.running = 0

    @property
    def waiting(self) -> int:
        """How many stand in the queue."""
        return len(self._queue)

    def has_place(self, tokens: int) -> bool:
        """Return whether one more request, of so many tokens, can run now or wait."""
        now = not self._queue and self.running < self._places and tokens <= self._tokens
        return now or len(self._queue) < self._most_waiting

    @asynccontextmanager
    async def taken(self, tokens: int) -> AsyncGenerator[None, None]:
        """Wait for a place, hold it, and give it back."""
        turn = asyncio.get_running_loop().create_future()
        entry = (tokens, turn)
        self._queue.append(entry)
        self._let_in()
        try:
            await turn
            yield
        finally:
            if entry in self._queue:
                self._queue.remove(entry)
            else:
                self.running -= 1
                self._tokens += tokens
            self._let_in()

    def _let_in(self) -> None:
        while self._queue and self.running < self._places and self._queue[0][0] <= self._tokens:
            tokens, turn = self._queue.popleft()
            self.running += 1
            self._tokens -= tokens
            if not turn.done():
                turn.set_result(None)


class PrefixCache:
    """The blocks of prompts that were seen, the newest `size` of them."""

    def __init__(self, size: int):
        self._size = size
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def seen(self, words: list[str]) -> int:
        """Return how many tokens at the beginning of a prompt were seen before, in whole blocks; keep them all."""
        chain = hashlib.sha256()
        known, unbroken = 0, True
        for start in range(0, len(words) - len(words) % _BLOCK_TOKENS, _BLOCK_TOKENS):
            chain.update("\0".join(words[start : start + _BLOCK_TOKENS]).encode())
            block = chain.digest()
            unbroken = unbroken and block in self._blocks
            known += _BLOCK_TOKENS * unbroken
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._size:
            self._blocks.popitem(last=False)
        return known


class Cut:
    """A text that ends before the first of its stop sequences, however the pieces fall."""

    def __init__(self, stops: tuple[str, ...]):
        self._stops = stops
        self._held = ""
        self._hold = max((len(stop) for stop in stops), default=1) - 1

    def add(self, text: str, *, last: bool) -> tuple[str, bool]:
        """Return what of the text so far is sure to be part of the answer and was not returned, and whether it ends."""
        text = self._held + text
        # The one that is complete first, as a reader meets it; of those that end together the longest.
        ends = [(place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0]
        if ends:
            return text[: min(ends)[1]], True
        keep = 0 if last else min(self._hold, len(text))
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False


def prompt_words(request: Request) -> list[str]:
    """Return the tokens of a prompt; those that a template adds are empty."""
    if request.messages is None:
        prompt = request.prompt or ""
        return _TOKEN.findall(prompt) if isinstance(prompt, str) else [str(token) for token in prompt]
    words: list[str] = []
    for message in request.messages:
        words += [message["role"], *[""] * (_MESSAGE_TOKENS - 1), *_TOKEN.findall(text_of(message.get("content")))]
    return words


def text_of(content: Any) -> str:
    """Return the text of a message's content, which may come in parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def answer_words(model: str, prompt: list[str]) -> Iterator[str]:
    """Yield the tokens of the answer, without end."""
    digest = hashlib.sha256("\0".join(prompt).encode()).hexdigest()[:8]
    said = f"I am {model}, a stand-in engine without a language model. The digest of your prompt is {digest}; I count: "
    yield from _TOKEN.findall(said)
    yield from (f"{number} " for number in itertools.count(1))


def _vector(words: list[str], size: int) -> list[float]:
    sums = [0.0] * size
    for word in words:
        digest = hashlib.shake_128(word.strip().encode()).digest(size)
        sums = [total + byte - 127.5 for total, byte in zip(sums, digest, strict=True)]
    length = sum(value * value for value in sums) ** 0.5 or 1.0
    return [value / length for value in sums]
