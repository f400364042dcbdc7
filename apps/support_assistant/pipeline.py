"""The order of the steps, whatever runs them: deployments behind handles or objects of one process."""

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from apps.common.deadline import Clock, Deadline
from apps.common.errors import PipelineError
from apps.common.retrieval.types import Hit, IndexInfo, Retrieved
from apps.support_assistant.answer import part_of
from apps.support_assistant.feedback import Section, Stored, Summary, Verdict
from apps.support_assistant.settings import IngressSettings
from apps.support_assistant.severity import Severity
from apps.support_assistant.ticket import Ticket

logger = logging.getLogger("ray.serve")

# Noting an answer must not hold it up: without an id it can be read all the same.
NOTE_TIMEOUT_S = 1.0


class Steps(Protocol):
    """What the pipeline is made of. Every step may raise PipelineError."""

    async def understand(
        self, subject: str, description: str, component: str | None, severity: Severity | None
    ) -> Ticket:
        """Return what the ticket says, without secrets."""

    async def redact(self, text: str) -> str:
        """Return `text` without secrets."""

    async def retrieve(self, question: str, runbooks: int) -> Retrieved:
        """Return every passage of the nearest runbooks, nearest first."""

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Return the best passages in order."""

    def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        """Yield the answer in pieces."""

    async def answered(self, answer_id: str, sections: list[Section]) -> None:
        """Remember what an answer cites."""

    async def judge(self, answer_id: str, verdict: Verdict) -> Stored:
        """Store a verdict on an answer."""

    async def summary(self) -> Summary:
        """Return the counts of verdicts."""

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""


@dataclass(frozen=True, slots=True)
class Found:
    """The sources of an answer, before there is one.

    hits: empty when no runbook fits; the first one's runbook is the one that is quoted.
    nearest: what comes nearest, whether it fits or not; its score is a cosine.
    """

    answer_id: str | None
    ticket: Ticket
    hits: list[Hit]
    nearest: Hit
    index: IndexInfo
    settings: IngressSettings


class Pipeline:
    """Tickets and feedback over `steps`, each within a deadline."""

    def __init__(self, steps: Steps, settings: IngressSettings | None = None):
        self._steps = steps
        self.settings = settings or IngressSettings()

    async def find(
        self,
        subject: str,
        description: str,
        component: str | None,
        severity: Severity | None,
        top_k: int | None,
        deadline: Deadline,
        clock: Clock,
    ) -> Found:
        """Return the sections that answer a ticket.

        Raises:
            PipelineError: 422 when nothing is left of the ticket.
            TimeoutError: the deadline passed.
        """
        settings = self.settings
        async with deadline.scope():
            ticket = await self._steps.understand(subject, description, component, severity)
            if not ticket.question:
                raise PipelineError(422, "validation", "must contain something to search for", "description")
            clock.lap("normalise")
            retrieved = await self._steps.retrieve(ticket.question, settings.runbooks)
            clock.lap("retrieve")
            nearest, hits = retrieved.hits[0], list[Hit]()
            # The cosine decides whether anything fits: a reranker's score says only which passage fits best.
            if nearest.score >= settings.least_similarity:
                ranked = await self._steps.rerank(ticket.question, retrieved.hits, len(retrieved.hits))
                hits = select(ranked, top_k or settings.top_k)
                clock.lap("rerank")
            answer_id = await self._noted(hits)
            clock.lap("note")
        return Found(answer_id, ticket, hits, nearest, retrieved.index, settings)

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
        if not found.hits:
            return deadline.within(_nothing_fits(found))
        return deadline.within(self._steps.generate(found.ticket.question, found.hits, deadline.remaining()))

    async def judge(self, answer_id: str, helpful: bool, comment: str | None, deadline: Deadline) -> Stored:
        """Store feedback, its comment without secrets.

        Raises:
            PipelineError: 404 for an id that nobody remembers.
            TimeoutError: the deadline passed; it may be stored or not, sending it again is safe.
        """
        async with deadline.scope():
            kept = None if comment is None else await self._steps.redact(comment)
            return await self._steps.judge(answer_id, Verdict(helpful, kept))

    async def summary(self, deadline: Deadline) -> Summary:
        """Return the counts of feedback.

        Raises:
            TimeoutError: the deadline passed.
        """
        async with deadline.scope():
            return await self._steps.summary()

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""
        return await self._steps.ready(timeout_s)

    async def _noted(self, hits: list[Hit]) -> str | None:
        answer_id = uuid.uuid4().hex
        sections = list(dict.fromkeys((hit.chunk.document, hit.chunk.section) for hit in hits))
        try:
            async with asyncio.timeout(NOTE_TIMEOUT_S):
                await self._steps.answered(answer_id, sections)
        except Exception as error:
            logger.warning("an answer gets no id, feedback on it is not possible: %s", type(error).__name__)
            return None
        return answer_id


def select(ranked: list[Hit], top_k: int) -> list[Hit]:
    """Return the best `top_k` passages, and with them what the first one's runbook says to check, cause and repair."""
    best = ranked[:top_k]
    rest = [hit for hit in ranked[top_k:] if hit.chunk.document == best[0].chunk.document and part_of(hit)]
    return best + rest


async def _nothing_fits(found: Found) -> AsyncGenerator[str, None]:
    folder = found.nearest.chunk.document.rpartition("/")[0]
    yield (
        f"No runbook fits this ticket: of {found.index.documents} runbooks the nearest passage has a similarity of"
        f" {found.nearest.score:.2f}, below {found.settings.least_similarity:.2f}. Open the list of runbooks"
        f"{f' ({folder}/)' if folder else ''} and look for the symptom by hand, or ask the owner of the component."
    )
