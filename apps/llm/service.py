"""What the own server does, whatever runs the engines: models, requests to them, and what they say of themselves."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Protocol

from apps.common.calls import PAUSES_S, call, readiness, stream
from apps.common.deadline import Deadline
from apps.common.handlers import translate
from apps.common.openai.errors import bad_request, model_not_found
from apps.llm.engine import Piece, Request, Vectors
from apps.llm.settings import IngressSettings, LlmArgs, ModelArgs
from apps.llm.stats import EngineStats, IngressStats, Stats, process, replica_name, summed

Pieces = AsyncGenerator[tuple[str, Piece], None]
_STATS_TIMEOUT_S = 5.0


class Engines(Protocol):
    """The engines, wherever they are."""

    def generate(self, request: Request, timeout_s: float, routing_key: str) -> Pieces:
        """Make an answer; leaving the iteration aborts it."""

    async def embed(self, model: str, inputs: list[str] | list[list[int]], dimensions: int | None) -> Vectors:
        """Return a vector per input."""

    async def stats(self, timeout_s: float) -> list[EngineStats]:
        """Ask every replica."""

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""


@dataclass(frozen=True, slots=True)
class HandleEngines:
    """Engines as a deployment of the Serve application."""

    handle: Any

    def generate(self, request: Request, timeout_s: float, routing_key: str) -> Pieces:
        """Ask a replica: the one of the routing key where the router of the deployment looks at it."""
        return stream(self.handle.options(stream=True, session_id=routing_key).generate.remote, request, timeout_s)

    async def embed(self, model: str, inputs: list[str] | list[list[int]], dimensions: int | None) -> Vectors:
        """Ask a replica."""
        found: Vectors = await call(self.handle.embed.remote, model, inputs, dimensions)
        return found

    async def stats(self, timeout_s: float) -> list[EngineStats]:
        """Ask every replica; one that does not answer is left out."""
        return await everyone(self.handle, "stats", EngineStats, timeout_s)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Ask a replica."""
        return await readiness({"engine": self.handle}, timeout_s)


async def everyone(handle: Any, method: str, kind: type[Any], timeout_s: float) -> list[Any]:
    """Call a method of every replica of a deployment; what is no answer of that kind is left out."""
    response = handle.broadcast(method)
    answers = await response.results_async(timeout_s=timeout_s, return_exceptions=True)
    return sorted((each for each in answers if isinstance(each, kind)), key=lambda each: str(each.replica))


class Service:
    """Requests to models by name, within deadlines.

    Args:
        args: models and bounds.
        engines: what does the work.
    """

    def __init__(self, args: LlmArgs, engines: Engines):
        self._engines = engines
        self._names = args.names()
        self._models: dict[str, ModelArgs] = {name: model for model in args.models for name in model.ids}
        self.models = sorted(self._models)
        self.settings = IngressSettings()
        self.requests = 0

    def model(self, name: str) -> str:
        """Return the id of the model or adapter that `name` means.

        Raises:
            PipelineError: 404, there is none.
        """
        if name not in self._names:
            raise model_not_found(name, self.models)
        return self._names[name]

    def model_for(self, name: str, kind: str) -> str:
        """Return the id of the model or adapter that `name` means.

        Raises:
            PipelineError: 404, there is none; 400, it is of another kind.
        """
        found = self.model(name)
        if self._models[found].kind != kind:
            raise bad_request(f"{name!r} is a model for {self._models[found].kind}", "model")
        return found

    async def begin(self, request: Request, deadline: Deadline, routing_key: str) -> tuple[str, Piece, Pieces]:
        """Return the fingerprint, the first piece and the iterator over the others, which the caller closes.

        A replica that goes away before there is a first piece costs nothing: another one is asked.

        Raises:
            PipelineError: as apps.llm.engine.Engine says; also when no replica can be had.
            TimeoutError: the deadline passed.
        """
        for pause in (*PAUSES_S, None):
            pieces = deadline.within(self._engines.generate(request, deadline.remaining(), routing_key))
            try:
                fingerprint, first = await anext(pieces)
            except StopAsyncIteration:
                raise RuntimeError(f"the engine of {request.model} gave no answer") from None
            except Exception as error:
                known = translate(error)
                if known is None or known.kind != "unavailable" or pause is None:
                    raise
                await asyncio.sleep(min(pause, deadline.remaining()))
            else:
                return fingerprint, first, pieces
        raise AssertionError("the last round returns or raises")

    async def whole(self, request: Request, deadline: Deadline, routing_key: str) -> tuple[str, list[Piece]]:
        """Return the fingerprint and all pieces of an answer.

        Raises:
            PipelineError: as `begin`, or the engine failed on its way.
            TimeoutError: the deadline passed.
        """
        fingerprint, first, pieces = await self.begin(request, deadline, routing_key)
        try:
            return fingerprint, [first, *[piece async for _, piece in pieces]]
        finally:
            await pieces.aclose()

    async def embed(
        self, model: str, inputs: list[str] | list[list[int]], dimensions: int | None, deadline: Deadline
    ) -> Vectors:
        """Return a vector per input.

        Raises:
            PipelineError: 400, the inputs or the dimensions do not fit the model.
            TimeoutError: the deadline passed.
        """
        async with deadline.scope():
            return await self._engines.embed(model, inputs, dimensions)

    def own_stats(self) -> IngressStats:
        """Return what this replica holds, and its memory."""
        return IngressStats(**process(replica_name()), requests=self.requests)

    async def stats(self, peers: Any) -> Stats:
        """Return what every replica of the application says; `peers` is the handle of the ingress' own deployment.

        Raises:
            TimeoutError: they did not all answer within seconds.
        """
        engines, ingresses = await asyncio.gather(
            self._engines.stats(_STATS_TIMEOUT_S),
            everyone(peers, "own_stats", IngressStats, _STATS_TIMEOUT_S) if peers else _just(self.own_stats()),
        )
        return summed(engines, ingresses)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""
        return await self._engines.ready(timeout_s)


async def _just(stats: IngressStats) -> list[IngressStats]:
    return [stats]
