"""Pieces of an answer joined for a while, so that fewer of them cross from process to process."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable

from apps.llm.engine import Piece


def merged(pieces: list[Piece]) -> Piece:
    """Return one piece that says what they say."""
    last = pieces[-1]
    text = "".join(piece.text for piece in pieces)
    return Piece(text, sum(piece.tokens for piece in pieces), last.prompt_tokens, last.cached_tokens, last.finish)


async def joined(pieces: AsyncGenerator[Piece, None], interval_s: Callable[[], float]) -> AsyncGenerator[Piece, None]:
    """Yield the first piece at once, then what has come in each `interval_s()` seconds, and the last at once.

    Leaving the iteration, or cancelling its task, closes `pieces` before it returns.
    """
    come: list[Piece] = []
    some, ended = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        try:
            async for piece in pieces:
                come.append(piece)
                some.set()
        finally:
            ended.set()
            some.set()

    reader = asyncio.ensure_future(read())
    try:
        while come or not ended.is_set():
            await some.wait()
            some.clear()
            if come:
                piece = merged(come)
                come.clear()
                yield piece
            if not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(interval_s()):
                        await ended.wait()
        await reader
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)
        await pieces.aclose()
