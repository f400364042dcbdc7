"""The steps that every pipeline which cites sources has, behind Serve handles."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, fields
from typing import Any

from apps.common.calls import call, readiness, stream
from apps.common.retrieval.types import Hit, Retrieved


@dataclass(frozen=True, slots=True)
class SearchHandles:
    """Deployments of one Serve application; each field, those of a subclass too, is a DeploymentHandle."""

    normalizer: Any
    retriever: Any
    reranker: Any
    generator: Any

    async def retrieve(self, question: str, limit: int) -> Retrieved:
        """Ask the retriever; `limit` counts what it ranks: passages, or runbooks."""
        found: Retrieved = await call(self.retriever.retrieve.remote, question, limit)
        return found

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Ask the reranker."""
        best: list[Hit] = await call(self.reranker.rerank.remote, question, hits, limit)
        return best

    def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        """Ask the generator for a stream; it is cancelled when the iteration is left early."""
        return stream(self.generator.options(stream=True).stream.remote, question, hits, timeout_s)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Ask every deployment."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return await readiness(parts, timeout_s)
