"""Streams through Serve handles, with handles of our own."""

import asyncio
from collections.abc import AsyncIterator

from apps.common.calls import stream


class Pieces:
    """A response whose pieces are all here."""

    def __init__(self, count: int) -> None:
        self.count, self.cancelled = count, False

    async def __aiter__(self) -> AsyncIterator[int]:
        for number in range(self.count):
            yield number

    def cancel(self) -> None:
        self.cancelled = True


def test_a_backlog_of_pieces_leaves_room_for_others() -> None:
    async def run() -> list[int]:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beside = asyncio.ensure_future(other())
        seen = [turns async for _ in stream(lambda: Pieces(50))]
        beside.cancel()
        return seen

    seen = asyncio.run(run())
    assert len(seen) == 50
    assert seen[-1] >= 40


def test_leaving_a_stream_cancels_its_work() -> None:
    pieces = Pieces(3)

    async def run() -> None:
        iteration = stream(lambda: pieces)
        await anext(iteration)
        await iteration.aclose()

    asyncio.run(run())
    assert pieces.cancelled
