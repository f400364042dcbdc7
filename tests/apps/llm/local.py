"""The own server in one process and one event loop: Ingress and engines as in Serve, without handles between them.

Serve's local testing mode waits for each piece in a thread that looks every ten milliseconds, a handful of them at
once: a test with hundreds of streams would measure that.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx

from apps.common.settings import LimitArgs
from apps.llm.engine import Piece, Request, Vectors
from apps.llm.ingress import build_asgi
from apps.llm.replicas import LlmEngineReplica
from apps.llm.service import Service
from apps.llm.settings import EngineSettings, LlmArgs, ModelArgs, StandIn
from apps.llm.stats import EngineStats

PATIENCE_S = 20.0


class LocalEngines:
    """Engines of which every one is this process's. started: what the app's loop runs."""

    def __init__(self, args: LlmArgs, replicas: int = 1, stream_interval_ms: float = 5):
        self.replicas = [replica_of(args) for _ in range(replicas)]
        for replica in self.replicas:
            replica.configure(EngineSettings(stream_interval_ms=stream_interval_ms))
        self.keys: list[str] = []

    async def generate(
        self, request: Request, timeout_s: float, routing_key: str
    ) -> AsyncGenerator[tuple[str, Piece], None]:
        self.keys.append(routing_key)
        pieces = self.replicas[0].generate(request, timeout_s)
        try:
            async for piece in pieces:
                yield piece
        finally:
            await pieces.aclose()

    async def embed(self, model: str, inputs: list[str] | list[list[int]], dimensions: int | None) -> Vectors:
        return await self.replicas[0].embed(model, inputs, dimensions)

    async def stats(self, timeout_s: float) -> list[EngineStats]:  # noqa: ARG002
        return [await replica.stats() for replica in self.replicas]

    async def ready(self, timeout_s: float) -> dict[str, str]:  # noqa: ARG002
        return {"engine": await self.replicas[0].ready()}


def replica_of(args: LlmArgs) -> LlmEngineReplica:
    """A replica whose constructor has run, as Serve awaits it."""
    replica = object.__new__(LlmEngineReplica)
    asyncio.run(replica.__init__(args))  # type: ignore[misc]
    return replica


def arguments(limits: dict[str, Any] | None = None, **stand_in: Any) -> LlmArgs:
    """Arguments of a quick stand-in, with the two kinds of models."""
    engine = StandIn(**{"ttft_ms": 5, "tpot_ms": 1, **stand_in})
    models = (
        ModelArgs(id="stand-in", source="stand-in", aliases=("gpt-local",)),
        ModelArgs(id="vectors", source="stand-in", kind="embeddings"),
    )
    return LlmArgs(models=models, engine=engine, limits=LimitArgs(**{"in_flight": 512, **(limits or {})}))


def application(args: LlmArgs, engines: Any) -> Any:
    """The ASGI application over engines."""
    return build_asgi(Service(args, engines), args.limits)


def stats(url: str) -> dict[str, Any]:
    """What the server says of itself."""
    found: dict[str, Any] = httpx.get(f"{url}/stats", timeout=PATIENCE_S).json()
    return found


def at_rest(url: str) -> dict[str, int]:
    """The sums when nothing runs or waits any more."""

    def idle() -> dict[str, int] | None:
        found = stats(url)
        busy = [each["requests"] for each in (*found["engines"], *found["ingresses"])]
        total: dict[str, int] = found["total"]
        return total if not any(busy) and not total["running"] and not total["waiting"] else None

    found: dict[str, int] = until(idle, lambda: f"not at rest: {stats(url)}")
    return found


def until(get: Callable[[], Any], why: Callable[[], str]) -> Any:
    """The first answer that is something."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := get():
            return found
        time.sleep(0.02)
    raise AssertionError(why())
