"""The stand-in engine by itself: its bounds, its queue, what it has seen, where an answer ends; and joined pieces."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from apps.common.errors import PipelineError
from apps.llm.engine import Piece, Request
from apps.llm.join import joined, merged
from apps.llm.settings import LlmArgs, ModelArgs, StandIn, stand_in_of
from apps.llm.stand_in import Cut, PrefixCache, Room, StandInEngine


def engine(**settings: Any) -> StandInEngine:
    return StandInEngine("m", StandIn(**{"ttft_ms": 0, "tpot_ms": 0, **settings}))


def request(words: int = 10, **fields: Any) -> Request:
    return Request(id="1", model="m", prompt="word " * words, **fields)


async def answer(engine: StandInEngine, request: Request) -> list[Piece]:
    return [piece async for piece in engine.generate(request)]


def test_it_keeps_its_pace() -> None:
    """Never faster than asked; how much slower is the machine's."""
    started = time.monotonic()
    pieces = asyncio.run(answer(engine(ttft_ms=100, tpot_ms=10), request(max_tokens=21)))
    assert time.monotonic() - started >= 0.1 + 20 * 0.01 - 0.01
    assert sum(piece.tokens for piece in pieces) == 21


def test_tokens_that_are_late_come_together() -> None:
    """A busy loop must not make the answer longer: what is due is given at once."""

    async def run() -> list[Piece]:
        found = []
        async for piece in engine(tpot_ms=5, answer_tokens=20).generate(request()):
            found.append(piece)
            time.sleep(0.05)  # the loop is held up
        return found

    pieces = asyncio.run(run())
    assert sum(piece.tokens for piece in pieces) == 20
    assert len(pieces) < 8


def test_requests_run_in_the_order_of_arrival_within_number_and_tokens() -> None:
    async def run() -> tuple[list[int], list[tuple[int, int]]]:
        room, order, seen = Room(tokens=100, running=2, waiting=10), list[int](), list[tuple[int, int]]()

        async def one(number: int, tokens: int) -> None:
            async with room.taken(tokens):
                order.append(number)
                seen.append((room.running, room.waiting))
                await asyncio.sleep(0.01)

        async with asyncio.timeout(10):
            await asyncio.gather(one(1, 60), one(2, 60), one(3, 10), one(4, 10))
        assert (room.running, room.waiting, room.has_place(100)) == (0, 0, True)
        return order, seen

    order, seen = asyncio.run(run())
    assert order == [1, 2, 3, 4], "the third fits beside the first, and waits its turn all the same"
    assert max(running for running, _ in seen) == 2


def test_a_place_is_given_back_from_the_queue_and_from_the_middle() -> None:
    async def run() -> tuple[int, int, bool]:
        room = Room(tokens=10, running=1, waiting=2)

        async def hold() -> None:
            async with room.taken(10):
                await asyncio.sleep(10)

        tasks = [asyncio.create_task(hold()) for _ in range(3)]
        await asyncio.sleep(0)
        assert (room.running, room.waiting, room.has_place(1)) == (1, 2, False)
        tasks[1].cancel()
        tasks[0].cancel()
        await asyncio.gather(*tasks[:2], return_exceptions=True)
        await asyncio.sleep(0)
        assert (room.running, room.waiting) == (1, 0), "the last one has the place"
        tasks[2].cancel()
        await asyncio.gather(tasks[2], return_exceptions=True)
        return room.running, room.waiting, room.has_place(10)

    assert asyncio.run(run()) == (0, 0, True)


def test_a_request_beyond_the_queue_is_refused_and_counted() -> None:
    async def run() -> StandInEngine:
        small = engine(tpot_ms=50, max_running=1, max_waiting=0)
        running = small.generate(request())
        await anext(running)
        with pytest.raises(PipelineError) as caught:
            await anext(small.generate(request()))
        assert (caught.value.status, caught.value.retry_after_s) == (503, 1)
        await running.aclose()
        return small

    counts = asyncio.run(run()).counts()
    assert (counts.running, counts.aborted, counts.refused) == (0, 1, 1)


def test_what_was_seen_of_a_prompt_is_cached_in_whole_blocks_and_bounded() -> None:
    cache = PrefixCache(size=4)
    words = [str(number) for number in range(40)]
    assert cache.seen(words) == 0
    assert cache.seen(words) == 32
    assert cache.seen([*words[:20], *["other"] * 20]) == 16
    assert cache.seen(["new", *words]) == 0, "a prefix, not words that came somewhere"
    assert cache.seen([*"abcdefghijklmnop" * 4]) == 0
    assert cache.seen(words) == 0, "four blocks are the most"


def test_a_prompt_that_is_cached_has_its_first_token_sooner() -> None:
    async def run() -> tuple[float, float]:
        slow, taken = engine(ttft_ms=400), []
        for _ in range(2):
            started = time.monotonic()
            await anext(slow.generate(request(words=160)))
            taken.append(time.monotonic() - started)
        return taken[0], taken[1]

    first, second = asyncio.run(run())
    assert first >= 0.39
    assert second < first


TEXTS, STOPS = st.text("abx", max_size=40), st.lists(st.text("abx", min_size=1, max_size=4), min_size=1, max_size=3)


@given(text=TEXTS, cuts=st.lists(st.integers(1, 7), max_size=20), stops=STOPS)
def test_an_answer_ends_before_its_first_stop_sequence_however_the_pieces_fall(
    text: str, cuts: list[int], stops: list[str]
) -> None:
    pieces, rest = [], text
    for size in cuts:
        pieces.append(rest[:size])
        rest = rest[size:]
    cut, got, ended = Cut(tuple(stops)), "", False
    for number, piece in enumerate([*pieces, rest]):
        if not ended:
            more, ended = cut.add(piece, last=number == len(pieces))
            got += more
    # Letter by letter: the stop that is complete first, the longest of those that end together.
    complete = [(end, end - len(stop)) for end in range(len(text) + 1) for stop in stops if text[:end].endswith(stop)]
    assert got == (text[: min(complete)[1]] if complete else text)
    assert ended == bool(complete)


def test_joined_pieces_say_what_the_pieces_say() -> None:
    pieces = [Piece("a", 1, 5), Piece("", 2, 5, 3), Piece("b", 1, 5, 3, "stop")]
    assert merged(pieces) == Piece("ab", 4, 5, 3, "stop")


async def source(pauses: list[float], closed: list[bool] | None = None) -> AsyncGenerator[Piece, None]:
    try:
        for number, pause in enumerate(pauses):
            await asyncio.sleep(pause)
            yield Piece(f"{number} ", 1, 1, 0, "stop" if number == len(pauses) - 1 else None)
    finally:
        if closed is not None:
            closed.append(True)


def test_the_first_and_the_last_piece_do_not_wait() -> None:
    async def run() -> list[str]:
        async with asyncio.timeout(5):
            return [piece.text async for piece in joined(source([0, 0, 0, 0]), lambda: 60.0)]

    assert asyncio.run(run()) == ["0 ", "1 2 3 "]


def test_no_interval_joins_nothing_that_comes_apart() -> None:
    async def run() -> list[str]:
        return [piece.text async for piece in joined(source([0.01] * 4), lambda: 0.0)]

    assert asyncio.run(run()) == ["0 ", "1 ", "2 ", "3 "]


def test_an_error_of_the_source_comes_after_what_it_gave() -> None:
    async def failing() -> AsyncGenerator[Piece, None]:
        yield Piece("a", 1, 1)
        raise ValueError("broken")

    async def run() -> list[str]:
        got = []
        with pytest.raises(ValueError, match="broken"):  # noqa: PT012
            async for piece in joined(failing(), lambda: 0.0):
                got.append(piece.text)  # noqa: PERF401
        return got

    assert asyncio.run(run()) == ["a"]


@pytest.mark.parametrize("cancelled", [False, True])
def test_leaving_joined_pieces_closes_their_source_at_once(cancelled: bool) -> None:
    closed: list[bool] = []

    async def run() -> None:
        pieces = joined(source([0, 60], closed), lambda: 60.0)
        await anext(pieces)
        if not cancelled:
            await pieces.aclose()
            return
        waiting = asyncio.ensure_future(anext(pieces))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    asyncio.run(run())
    assert closed == [True]


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        ({"models": []}, "at least 1"),
        (
            {"models": [{"id": "a", "source": "x"}, {"id": "b", "source": "x", "aliases": ["a"]}]},
            "a names more than one",
        ),
        ({"models": [{"id": "a", "source": "x", "adapters": [{"id": "a", "source": "x"}]}]}, "a names more than one"),
        ({"models": [{"id": "a", "source": "x", "engine_args": {"speed": 1}}]}, r"engine_args\.speed of a"),
        (
            {"models": [{"id": "a", "source": "x"}, {"id": "b", "source": "x"}], "engine": {"kind": "async-vllm"}},
            "one model",
        ),
        ({"engine": {"kind": "mlx"}}, "mlx"),
        ({"engine": {"kind": "stand-in", "context_tokens": 100, "kv_tokens": 50}}, "context_tokens 100"),
    ],
)
def test_wrong_arguments_are_refused_and_named(args: dict[str, Any], cause: str) -> None:
    with pytest.raises(ValidationError, match=cause):
        LlmArgs(**args)


def test_the_arguments_of_a_model_win() -> None:
    model = ModelArgs(id="a", source="x", engine_args={"tpot_ms": 3})
    settings = stand_in_of(StandIn(tpot_ms=20, ttft_ms=7), model)
    assert (settings.tpot_ms, settings.ttft_ms) == (3, 7)
