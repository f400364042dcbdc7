"""The replicas of the search. Each imports what it needs when it starts, so that every process stays small."""

import asyncio
from collections.abc import AsyncIterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.common.retrieval.settings import (
    GeneratorArgs,
    GeneratorSettings,
    RerankerArgs,
    RerankerSettings,
    RetrieverSettings,
    StoreArgs,
)
from apps.common.retrieval.types import Hit, IndexInfo, Ingested, Retrieved
from apps.common.serving import Replica, batched
from apps.common.settings import EmbedderArgs

if TYPE_CHECKING:
    from apps.common.onnx_text import Embedder, Vectors
    from apps.common.retrieval.index import IndexedDocument

# The unit of batching: padded tokens, in blocks, so that many short questions are one batch and many passages are not.
TOKENS_PER_BLOCK = 128
# Passages of one document that wait for embedding at the same time; questions find their place between them.
_INGEST_AT_ONCE = 8


def blocks(batch: list[list[int]]) -> int:
    """Return the size of a batch of token ids once padded: ceil(longest * count / 128)."""
    return -(-max(map(len, batch)) * len(batch) // TOKENS_PER_BLOCK)


class VectorStoreReplica(Replica):
    """The only place that searches and writes passages.

    One replica with LanceDB; any number with PostgreSQL, and with a LanceDB that is read-only.
    """

    def __init__(self, args: StoreArgs, model: Path, prepared: Path):
        import json

        from apps.common.gate import ProxyGate

        ProxyGate.of_environment().wait_for_answer()
        from apps.common.retrieval.search import SearchService, open_store

        digest = json.loads((model / "model.json").read_text())["digest"]
        self._service = SearchService(open_store(args), digest, prepared, read_only=args.read_only)

    async def search(self, vector: "Vectors", limit: int) -> Retrieved:
        """Return the passages nearest to `vector` ((width,) float32, length 1)."""
        return await asyncio.to_thread(self._service.search, vector, limit)

    async def has(self, name: str, digest: str) -> Ingested | None:
        """Return the answer to an ingest that would change nothing, else None; PipelineError (403): read-only."""
        return await asyncio.to_thread(self._service.has, name, digest)

    async def ingest(self, document: "IndexedDocument") -> Ingested:
        """Put one document in place of the one of the same name."""
        return await asyncio.to_thread(self._service.ingest, document)

    async def info(self) -> IndexInfo:
        """Return the facts of the index."""
        return await asyncio.to_thread(self._service.info)

    def __del__(self) -> None:
        """Close the store; Serve calls this when the replica stops."""
        if hasattr(self, "_service"):
            self._service.close()


class EmbeddingReplica(Replica):
    """Embeds texts in batches over all requests of the replica; a subclass sets `_embedder`."""

    live = RetrieverSettings
    _embedder: "Embedder"

    def configure(self, settings: RetrieverSettings) -> None:
        """Take live settings."""
        self.embed.set_max_batch_size(settings.batch_blocks)
        self.embed.set_batch_wait_timeout_s(settings.batch_wait_ms / 1000)

    @cached_property
    def embed(self) -> Any:
        """Embed token ids: awaitable; the caller passes one list of ids and gets one vector, (width,) float32.

        Made for each object: Serve keeps one queue, bound to one event loop, for each function that it decorates (Ray
        2.60), so a decorated method would be shared by all objects of the class in a process, as in local testing mode.
        """
        return batched(size=blocks, max_size=32, wait_s=0.001)(self._embed)  # type: ignore[arg-type]

    async def _embed(self, batch: list[list[int]]) -> "list[Vectors]":
        return list(await asyncio.to_thread(self._embedder.run, batch))


class RetrieverReplica(EmbeddingReplica):
    """Embeds questions and documents, in batches over all requests of the replica, and asks the VectorStore."""

    def __init__(self, args: EmbedderArgs, model: Path, store: Any):
        from apps.common.gate import ProxyGate

        with ProxyGate.around_loading():
            from apps.common.onnx_text import Embedder

            self._embedder = Embedder(model, args.threads, args.max_tokens, args.device)
            self._store = store

    async def ready(self) -> str:
        """Ask the VectorStore: nothing is found without it."""
        return str(await self._store.ready.remote())

    async def retrieve(self, question: str, limit: int) -> Retrieved:
        """Return the passages nearest to the question."""
        vector = await self.embed(self._embedder.tokenize([question])[0])
        found: Retrieved = await self._store.search.remote(vector, limit)
        return found

    async def ingest(self, name: str, text: str) -> Ingested:
        """Cut, embed and store a document; nothing is done for one that is already there."""
        import numpy as np

        from apps.common.retrieval.chunking import chunk_document, embedding_text
        from apps.common.retrieval.corpus import Document
        from apps.common.retrieval.index import IndexedDocument

        digest = Document(name, text).digest
        unchanged: Ingested | None = await self._store.has.remote(name, digest)
        if unchanged is not None:
            return unchanged
        chunks = chunk_document(name, text)
        ids = await asyncio.to_thread(self._embedder.tokenize, [embedding_text(chunk) for chunk in chunks])
        vectors = []
        for start in range(0, len(ids), _INGEST_AT_ONCE):
            vectors += await asyncio.gather(*(self.embed(part) for part in ids[start : start + _INGEST_AT_ONCE]))
        stored: Ingested = await self._store.ingest.remote(IndexedDocument(name, digest, chunks, np.stack(vectors)))
        return stored


class RerankerReplica(Replica):
    """Orders the passages by what the question asks."""

    live = RerankerSettings

    def __init__(self, args: RerankerArgs, models: Path):
        from apps.common.retrieval.rerank import make_reranker

        self._reranker = make_reranker(args, models)

    def configure(self, settings: RerankerSettings) -> None:
        """Take live settings."""
        self._reranker.configure(settings)

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Return the best `limit` passages with their new scores."""
        return await asyncio.to_thread(self._reranker.rerank, question, hits, limit)


class GeneratorReplica(Replica):
    """Makes the answer from the sources."""

    live = GeneratorSettings

    def __init__(self, args: GeneratorArgs):
        from apps.common.retrieval.generate import make_generator

        self._generator = make_generator(args)

    def configure(self, settings: GeneratorSettings) -> None:
        """Take live settings."""
        self._generator.configure(settings)

    async def stream(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncIterator[str]:
        """Yield the answer in pieces."""
        async for piece in self._generator.stream(question, hits, timeout_s):
            yield piece
