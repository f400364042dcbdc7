"""The steps of the pipeline behind Serve handles, and the same in one process."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.common.calls import call
from apps.common.retrieval.handles import SearchHandles
from apps.common.retrieval.types import Hit, Ingested, Retrieved
from apps.common.text import clean_document, clean_question

if TYPE_CHECKING:
    from apps.common.onnx_text import Embedder
    from apps.common.retrieval.generate import Generator
    from apps.common.retrieval.rerank import Reranker
    from apps.common.retrieval.search import SearchService


@dataclass(frozen=True, slots=True)
class HandleSteps(SearchHandles):
    """Steps as deployments of one Serve application; each field is a DeploymentHandle."""

    async def clean_question(self, text: str) -> str:
        """Ask the Normalizer."""
        return str(await call(self.normalizer.question.remote, text))

    async def clean_document(self, text: str) -> str:
        """Ask the Normalizer."""
        return str(await call(self.normalizer.document.remote, text))

    async def ingest(self, name: str, text: str) -> Ingested:
        """Ask the Retriever, which embeds and stores."""
        done: Ingested = await call(self.retriever.ingest.remote, name, text)
        return done


@dataclass(frozen=True, slots=True)
class LocalSteps:
    """The same steps as plain objects of one process: for benchmarks and for embedding elsewhere."""

    embedder: "Embedder"
    search: "SearchService"
    reranker: "Reranker"
    generator: "Generator"

    async def clean_question(self, text: str) -> str:
        """Normalise here."""
        return clean_question(text)

    async def clean_document(self, text: str) -> str:
        """Normalise here."""
        return clean_document(text)

    async def retrieve(self, question: str, limit: int) -> Retrieved:
        """Embed and search here."""
        return self.search.search(self.embedder.embed([question])[0], limit)

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Rerank here."""
        return self.reranker.rerank(question, hits, limit)

    async def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        """Generate here."""
        async for piece in self.generator.stream(question, hits, timeout_s):
            yield piece

    async def ingest(self, name: str, text: str) -> Ingested:
        """Cut, embed and store here."""
        from apps.common.retrieval.corpus import Document
        from apps.common.retrieval.index import index_document

        return self.search.ingest(index_document(Document(name, text), self.embedder))

    async def ready(self, timeout_s: float) -> dict[str, str]:  # noqa: ARG002
        """Everything is here."""
        return {}
