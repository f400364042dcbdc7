"""The steps of the pipeline behind Serve handles."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, fields
from typing import Any

from apps.common.calls import call, readiness, stream
from apps.common.retrieval.types import Hit, Retrieved
from apps.support_assistant.feedback import Section, Stored, Summary, Verdict
from apps.support_assistant.severity import Severity
from apps.support_assistant.ticket import Ticket


@dataclass(frozen=True, slots=True)
class HandleSteps:
    """Steps as deployments of one Serve application; each field is a DeploymentHandle."""

    normalizer: Any
    retriever: Any
    reranker: Any
    generator: Any
    feedback: Any

    async def understand(
        self, subject: str, description: str, component: str | None, severity: Severity | None
    ) -> Ticket:
        """Ask the TicketNormalizer."""
        ticket: Ticket = await call(self.normalizer.understand.remote, subject, description, component, severity)
        return ticket

    async def redact(self, text: str) -> str:
        """Ask the TicketNormalizer."""
        return str(await call(self.normalizer.redact.remote, text))

    async def retrieve(self, question: str, runbooks: int) -> Retrieved:
        """Ask a RunbookRetriever."""
        found: Retrieved = await call(self.retriever.retrieve.remote, question, runbooks)
        return found

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Ask the Reranker."""
        best: list[Hit] = await call(self.reranker.rerank.remote, question, hits, limit)
        return best

    def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        """Ask an AnswerGenerator for a stream; it is cancelled when the iteration is left early."""
        return stream(self.generator.options(stream=True).stream.remote, question, hits, timeout_s)

    async def answered(self, answer_id: str, sections: list[Section]) -> None:
        """Tell the FeedbackStore."""
        await call(self.feedback.answered.remote, answer_id, sections)

    async def judge(self, answer_id: str, verdict: Verdict) -> Stored:
        """Tell the FeedbackStore."""
        stored: Stored = await call(self.feedback.judge.remote, answer_id, verdict)
        return stored

    async def summary(self) -> Summary:
        """Ask the FeedbackStore."""
        counts: Summary = await call(self.feedback.summary.remote)
        return counts

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Ask every deployment."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return await readiness(parts, timeout_s)
