"""Bodies of requests and answers."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from apps.common.http import StrictRequest
from apps.common.retrieval.source import Source
from apps.common.retrieval.types import IndexInfo
from apps.support_assistant.feedback import Change, SectionCount
from apps.support_assistant.severity import Severity

SUBJECT_CHARACTERS = 300
DESCRIPTION_CHARACTERS = 20_000

Subject = Annotated[str, StringConstraints(min_length=1, max_length=SUBJECT_CHARACTERS)]
Description = Annotated[str, StringConstraints(min_length=1, max_length=DESCRIPTION_CHARACTERS)]
Component = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class TicketRequest(StrictRequest):
    """A ticket to answer."""

    subject: Subject
    description: Description
    component: Component | None = Field(default=None, description="the part that is affected, as the reporter names it")
    # Strict bodies take no string for an enum, and JSON has nothing else.
    severity: Severity | None = Field(default=None, strict=False, description="guessed by rules when absent")
    top_k: int | None = Field(default=None, ge=1, le=20, description="number of sections; the live setting when absent")
    stream: bool = Field(default=False, description="answer with server-sent events")


class Understood(BaseModel):
    """What the TicketNormalizer made of the ticket."""

    severity: Severity
    severity_reason: str = Field(description="`given`, or the rule that guessed it")
    signals: list[str] = Field(description="reasons, exceptions and status codes that weigh in the search")
    evidence: list[str] = Field(description="lines of logs and events that weigh in the search")
    redacted: dict[str, int] = Field(description="how many secrets and addresses were taken out, by kind")


class Runbook(BaseModel):
    """A runbook among the sources."""

    document: str
    score: float = Field(description="of its best section")
    sources: list[int] = Field(description="the numbers of its sections in `sources`, from 1")


class Settings(BaseModel):
    """The live settings that the answer was made with."""

    revision: str
    top_k: int
    runbooks: int
    least_similarity: float


class TicketFacts(BaseModel):
    """Everything about an answer but its words. `answer_id` null: feedback is not taken at the moment."""

    answer_id: str | None
    matched: bool = Field(description="false: no runbook fits, and the answer says so")
    similarity: float = Field(description="cosine of the nearest passage")
    ticket: Understood
    runbooks: list[Runbook]
    sources: list[Source]
    index: IndexInfo
    settings: Settings
    timings_ms: dict[str, float]
    request_id: str


class TicketAnswer(TicketFacts):
    """An answer with its sources."""

    answer: str


class FeedbackRequest(StrictRequest):
    """Whether an answer helped."""

    answer_id: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    helpful: bool
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None


class FeedbackAnswer(BaseModel):
    """What became of the feedback. `durable` false: it is lost when the FeedbackStore restarts."""

    answer_id: str
    change: Change
    durable: bool
    request_id: str


class SummaryAnswer(BaseModel):
    """Feedback so far, the least helpful sections first."""

    helpful: int
    not_helpful: int
    unanswered: int = Field(description="of these, on answers that no runbook fits")
    answers: int = Field(description="recent answers that can still be judged")
    sections: list[SectionCount]
    durable: bool
    request_id: str
