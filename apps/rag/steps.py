"""The steps of the pipeline behind Serve handles, and the same in one process."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.common.handlers import translate
from apps.rag.text import clean_document, clean_question
from apps.rag.types import Hit, Ingested, Retrieved

if TYPE_CHECKING:
    from apps.common.onnx_text import Embedder
    from apps.rag.generate import Generator
    from apps.rag.rerank import Reranker
    from apps.rag.search import SearchService

logger = logging.getLogger("ray.serve")

# A replica that dies takes its calls with it. Every step can be asked twice (ingest by its content hash), so the call
# goes to another replica, or to the next one when it is up: 3.2 seconds of pauses in all, within the deadline.
_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


@dataclass(frozen=True, slots=True)
class HandleSteps:
    """Steps as deployments of one Serve application; each field is a DeploymentHandle."""

    normalizer: Any
    retriever: Any
    reranker: Any
    generator: Any

    async def clean_question(self, text: str) -> str:
        """Ask the Normalizer."""
        return str(await _call(self.normalizer.question.remote, text))

    async def clean_document(self, text: str) -> str:
        """Ask the Normalizer."""
        return str(await _call(self.normalizer.document.remote, text))

    async def retrieve(self, question: str, limit: int) -> Retrieved:
        """Ask the Retriever."""
        found: Retrieved = await _call(self.retriever.retrieve.remote, question, limit)
        return found

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Ask the Reranker."""
        best: list[Hit] = await _call(self.reranker.rerank.remote, question, hits, limit)
        return best

    async def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        """Ask the Generator for a stream; it is cancelled when the iteration is left early."""
        stream = self.generator.options(stream=True).stream.remote(question, hits, timeout_s)
        try:
            async for piece in stream:
                yield piece
        except BaseException:
            stream.cancel()
            raise

    async def ingest(self, name: str, text: str) -> Ingested:
        """Ask the Retriever, which embeds and stores."""
        done: Ingested = await _call(self.retriever.ingest.remote, name, text)
        return done


async def _call(method: Callable[..., Any], *arguments: Any) -> Any:
    """Call a handle's method; the remote work is cancelled with the caller."""
    for pause in (*_PAUSES_S, None):
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


def _is_own_cancellation() -> bool:
    """Return whether this task was cancelled: Ray then may raise an error of its own in place of CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
        from apps.rag.corpus import Document
        from apps.rag.index import index_document

        return self.search.ingest(index_document(Document(name, text), self.embedder))
