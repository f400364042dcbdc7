"""The steps of the pipeline as plain objects of one process: for the check of the image and for measurements."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from apps.common.onnx_text import Embedder
from apps.common.retrieval.generate import Generator
from apps.common.retrieval.rerank import Reranker
from apps.common.retrieval.types import Hit, Retrieved
from apps.support_assistant.feedback import FeedbackLog, Section, Stored, Summary, Verdict
from apps.support_assistant.redaction import redact
from apps.support_assistant.runbooks import RunbookIndex
from apps.support_assistant.severity import Severity
from apps.support_assistant.ticket import Ticket, understand


@dataclass(frozen=True, slots=True)
class LocalSteps:
    """What the deployments hold, called directly."""

    embedder: Embedder
    index: RunbookIndex
    reranker: Reranker
    generator: Generator
    feedback: FeedbackLog

    async def understand(
        self, subject: str, description: str, component: str | None, severity: Severity | None
    ) -> Ticket:
        """Read the ticket here."""
        return understand(subject, description, component, severity)

    async def redact(self, text: str) -> str:
        """Redact here."""
        (clean,), _ = redact(text)
        return clean

    async def retrieve(self, question: str, runbooks: int) -> Retrieved:
        """Embed and search here."""
        return self.index.search(self.embedder.embed([question])[0], runbooks)

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Rerank here."""
        return self.reranker.rerank(question, hits, limit)

    async def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        """Answer here."""
        async for piece in self.generator.stream(question, hits, timeout_s):
            yield piece

    async def answered(self, answer_id: str, sections: list[Section]) -> None:
        """Note the answer here."""
        self.feedback.answered(answer_id, sections)

    async def judge(self, answer_id: str, verdict: Verdict) -> Stored:
        """Store the verdict here."""
        return self.feedback.judge(answer_id, verdict)

    async def summary(self) -> Summary:
        """Count here."""
        return self.feedback.summary()

    async def ready(self, timeout_s: float) -> dict[str, str]:  # noqa: ARG002
        """Everything is here."""
        return {}
