"""The order of the steps, whatever runs them: deployments behind handles or objects of one process."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from apps.common.deadline import Clock, Deadline
from apps.common.errors import PipelineError
from apps.common.retrieval.types import Hit, IndexInfo, Ingested, Retrieved
from apps.rag.settings import IngressSettings


class Steps(Protocol):
    """What the pipeline is made of. Every step may raise PipelineError."""

    async def clean_question(self, text: str) -> str:
        """Return the question normalised; empty when nothing of it is left."""

    async def clean_document(self, text: str) -> str:
        """Return the document normalised, line by line."""

    async def retrieve(self, question: str, limit: int) -> Retrieved:
        """Return the nearest passages."""

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Return the best passages in order."""

    def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        """Yield the answer in pieces."""

    async def ingest(self, name: str, text: str) -> Ingested:
        """Cut, embed and store one document."""

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""


@dataclass(frozen=True, slots=True)
class Found:
    """The sources of an answer, before there is one."""

    question: str
    hits: list[Hit]
    index: IndexInfo


class Pipeline:
    """Search, answers and ingest over `steps`, each within a deadline."""

    def __init__(self, steps: Steps, settings: IngressSettings | None = None):
        self._steps = steps
        self.settings = settings or IngressSettings()

    async def find(self, question: str, top_k: int | None, deadline: Deadline, clock: Clock) -> Found:
        """Return the sources for a question.

        Raises:
            PipelineError: 422 when nothing is left of the question.
            TimeoutError: the deadline passed.
        """
        limit = top_k or self.settings.top_k
        async with deadline.scope():
            cleaned = await self._steps.clean_question(question)
            if not cleaned:
                raise PipelineError(422, "validation", "must contain something to search for", "question")
            clock.lap("normalise")
            retrieved = await self._steps.retrieve(cleaned, max(limit, self.settings.candidates))
            clock.lap("retrieve")
            hits = await self._steps.rerank(cleaned, retrieved.hits, limit)
            clock.lap("rerank")
        return Found(cleaned, hits, retrieved.index)

    async def answer(self, found: Found, deadline: Deadline, clock: Clock) -> str:
        """Return the whole answer.

        Raises:
            TimeoutError: the deadline passed.
        """
        pieces = [piece async for piece in self.pieces(found, deadline)]
        clock.lap("generate")
        return "".join(pieces)

    def pieces(self, found: Found, deadline: Deadline) -> AsyncGenerator[str, None]:
        """Iterate over the answer as it is made; leaving the iteration stops the work.

        Raises:
            TimeoutError: the deadline passed.
        """
        return deadline.within(self._steps.generate(found.question, found.hits, deadline.remaining()))

    async def ingest(self, name: str, text: str, deadline: Deadline) -> Ingested:
        """Store a document.

        Raises:
            PipelineError: 422 when there is no text in it.
            TimeoutError: the deadline passed; the document may be stored or not, asking again is safe.
        """
        async with deadline.scope():
            cleaned = await self._steps.clean_document(text)
            if not cleaned.strip():
                raise PipelineError(422, "validation", "must contain text", "text")
            return await self._steps.ingest(name, cleaned)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""
        return await self._steps.ready(timeout_s)
