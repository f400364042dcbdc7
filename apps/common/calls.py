"""Calls through Serve handles: asked again when a replica goes away, cancelled with the caller."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from apps.common.errors import PipelineError
from apps.common.handlers import translate

logger = logging.getLogger("ray.serve")

# A replica that dies takes its calls with it. Every step can be asked twice, so the call goes to another replica, or to
# the next one when it is up: 3.2 seconds of pauses in all, within the deadline.
PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


async def call(method: Callable[..., Any], *arguments: Any) -> Any:
    """Call a handle's method; the remote work is cancelled with the caller.

    The method must be one that may run twice: it is called again when its replica is gone.
    """
    for pause in (*PAUSES_S, None):
        response = method(*arguments)
        try:
            return await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except Exception as error:
            if _is_own_cancellation():
                response.cancel()
                raise asyncio.CancelledError from error
            known = translate(error)
            if known is None or known.kind != "unavailable" or pause is None:
                raise
            logger.warning("a replica went away, asking again in %s s: %s", pause, type(error).__name__)
        await asyncio.sleep(pause)
    raise AssertionError("the last round returns or raises")


async def stream(method: Any, *arguments: Any) -> AsyncGenerator[Any, None]:
    """Iterate over `handle.options(stream=True).name.remote`; leaving the iteration early cancels the work."""
    pieces = method(*arguments)
    try:
        async for piece in pieces:
            yield piece
            # Pieces that are here already come without a pause: all else on this loop would wait for the last of them.
            await asyncio.sleep(0)
    except BaseException as error:
        pieces.cancel()
        if isinstance(error, Exception) and _is_own_cancellation():
            raise asyncio.CancelledError from error
        raise


async def readiness(handles: Mapping[str, Any], timeout_s: float) -> dict[str, str]:
    """Ask `ready` (serving.Replica) of every handle at once; return its answer, or why there is none, by name."""
    answers = await asyncio.gather(*(_ready(handle, timeout_s) for handle in handles.values()))
    return dict(zip(handles, answers, strict=True))


async def _ready(handle: Any, timeout_s: float) -> str:
    try:
        async with asyncio.timeout(timeout_s):
            return str(await call(handle.ready.remote))
    except TimeoutError:
        return f"no answer within {timeout_s:g} s"
    except Exception as error:
        known = translate(error)
        return known.message if isinstance(known, PipelineError) else type(error).__name__


def _is_own_cancellation() -> bool:
    """Return whether this task was cancelled: Ray then may raise an error of its own in place of CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
