"""The deployment of the own server that holds the engines."""

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from apps.common.deadline import Deadline
from apps.common.serving import Replica
from apps.llm.engine import Piece, Request, Vectors
from apps.llm.settings import EngineSettings, LlmArgs, ModelArgs, RayServeLlm, StandIn, stand_in_of

if TYPE_CHECKING:
    from apps.llm.engine import Engine
    from apps.llm.stats import EngineStats


class LlmEngineReplica(Replica):
    """One engine per model, started when the replica is."""

    live = EngineSettings

    async def __init__(self, args: LlmArgs) -> None:  # type: ignore[misc]  # Serve awaits it, in the loop of the calls
        self._settings = EngineSettings()
        self._engines: dict[str, Engine] = {}
        self._model_of = {name: model.id for model in args.models for name in model.ids}
        self._requests = 0
        for model in args.models:
            engine = make_engine(args, model)
            await engine.start()
            self._engines[model.id] = engine

    def configure(self, settings: EngineSettings) -> None:
        """Take live settings; streams that run take them as well."""
        self._settings = settings

    async def generate(self, request: Request, timeout_s: float) -> AsyncGenerator[tuple[str, Piece], None]:
        """Yield the engine's fingerprint and a joined piece, again and again; cancelling the call aborts the request.

        Raises:
            PipelineError: as Engine.generate.
            TimeoutError: `timeout_s` passed.
        """
        from apps.llm.join import joined

        engine = self._engines[self._model_of[request.model]]
        pieces = joined(engine.generate(request), lambda: self._settings.stream_interval_ms / 1000)
        # The ingress has this bound too. Here it holds even if the word of a client that left is lost on its way.
        bounded = Deadline.after(timeout_s).within(pieces)
        self._requests += 1
        try:
            async for piece in bounded:
                yield engine.fingerprint, piece
        finally:
            self._requests -= 1
            await bounded.aclose()
            await pieces.aclose()

    async def embed(self, model: str, inputs: list[str] | list[list[int]], dimensions: int | None) -> Vectors:
        """Return a vector per input.

        Raises:
            PipelineError: 400, the model makes no vectors of that kind.
        """
        self._requests += 1
        try:
            return await self._engines[self._model_of[model]].embed(inputs, dimensions)
        finally:
            self._requests -= 1

    async def stats(self) -> "EngineStats":
        """Return the counts of every engine, and the memory of this process."""
        from apps.llm.stats import EngineStats, of_counts, process, replica_name

        models = {name: of_counts(engine.counts()) for name, engine in self._engines.items()}
        return EngineStats(**process(replica_name()), requests=self._requests, models=models)

    async def ready(self) -> str:
        """Return "ok" when every engine serves."""
        await self.check_health()
        return "ok"

    async def check_health(self) -> None:
        """Serve asks this every ten seconds, and replaces a replica that raises."""
        for engine in self._engines.values():
            await engine.check()

    def __del__(self) -> None:
        """Stop the engines; Serve calls this when the last request has ended, or its time is over."""
        for engine in getattr(self, "_engines", {}).values():
            engine.close()


def make_engine(args: LlmArgs, model: ModelArgs) -> "Engine":
    """Return the engine that the arguments name, not yet started.

    Raises:
        ValueError: they name one that brings its own server.
    """
    if isinstance(args.engine, StandIn):
        from apps.llm.stand_in import StandInEngine

        return StandInEngine(model.id, stand_in_of(args.engine, model))
    if isinstance(args.engine, RayServeLlm):
        raise ValueError(f"engine.kind {args.engine.kind} has no engine for the own server")
    from apps.llm.vllm_engine import VllmEngine

    return VllmEngine(args.engine, model)
