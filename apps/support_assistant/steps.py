"""The steps of the pipeline behind Serve handles."""

from dataclasses import dataclass
from typing import Any

from apps.common.calls import call
from apps.common.retrieval.handles import SearchHandles
from apps.support_assistant.feedback import Section, Stored, Summary, Verdict
from apps.support_assistant.severity import Severity
from apps.support_assistant.ticket import Ticket


@dataclass(frozen=True, slots=True)
class HandleSteps(SearchHandles):
    """Steps as deployments of one Serve application; each field is a DeploymentHandle."""

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
