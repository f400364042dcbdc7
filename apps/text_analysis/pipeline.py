"""The order of the steps and what becomes of their failures, whatever runs them: deployments or plain objects."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from apps.common.deadline import Deadline
from apps.common.errors import PipelineError
from apps.common.handlers import translate
from apps.text_analysis.settings import IngressSettings
from apps.text_analysis.types import Prepared, TextSentiment, TextSummary

logger = logging.getLogger("ray.serve")

T = TypeVar("T")
Branch = Literal["preprocess", "sentiment", "summary"]


class Steps(Protocol):
    """What the pipeline is made of. Every step may raise PipelineError."""

    async def prepare(self, text: str, language: str | None) -> Prepared:
        """Return the text's sentences, counts and language."""

    async def sentiment(self, sentences: list[str], language: str) -> TextSentiment:
        """Return the sentiment."""

    async def summary(self, sentences: list[str], wanted: int) -> TextSummary:
        """Return the central sentences."""

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""


@dataclass(frozen=True, slots=True)
class Job:
    """A text to analyse. sentences: of the summary, None for the live setting; language: what the caller knows."""

    text: str
    sentences: int | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a branch has no result."""

    branch: Branch
    error: PipelineError


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """The end of a branch: a value or a failure, after some milliseconds."""

    value: T | None
    failure: Failure | None
    taken_ms: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """What could be made of a text, and why the rest could not."""

    prepared: Prepared | None
    sentiment: TextSentiment | None
    summary: TextSummary | None
    failures: list[Failure]
    timings_ms: dict[str, float]

    @property
    def empty(self) -> bool:
        """Whether no branch has a result."""
        return self.sentiment is None and self.summary is None


class Pipeline:
    """Analyses over `steps`; the branches run side by side, and none waits for another or falls with it."""

    def __init__(self, steps: Steps, settings: IngressSettings | None = None):
        self._steps = steps
        self.settings = settings or IngressSettings()

    async def analyze(self, job: Job, deadline: Deadline, request_id: str) -> Analysis:
        """Analyse one text; what fails or passes its deadline is in `failures`, never raised."""
        started, settings = time.perf_counter(), self.settings
        steps = self._steps
        first = await _run("preprocess", steps.prepare(job.text, job.language), deadline.remaining(), request_id)
        timings = {"preprocess": first.taken_ms}
        prepared = first.value
        if prepared is None:
            return Analysis(None, None, None, _failures(first), timings | {"total": _since(started)})
        sentences, language = prepared.sentences, prepared.language.code
        seconds = min(deadline.remaining(), settings.branch_timeout_ms / 1000)
        sentiment, summary = await asyncio.gather(
            _run("sentiment", steps.sentiment(sentences, language), seconds, request_id),
            _run("summary", steps.summary(sentences, job.sentences or settings.sentences), seconds, request_id),
        )
        timings |= {"sentiment": sentiment.taken_ms, "summary": summary.taken_ms, "total": _since(started)}
        return Analysis(prepared, sentiment.value, summary.value, _failures(sentiment, summary), timings)

    async def analyze_all(self, jobs: Sequence[Job], deadline: Deadline, request_id: str) -> list[Analysis]:
        """Analyse texts, a few at once, and return the results in their order."""
        places = asyncio.Semaphore(self.settings.batch_concurrency)

        async def analyze(job: Job) -> Analysis:
            async with places:
                return await self.analyze(job, deadline, request_id)

        return await asyncio.gather(*map(analyze, jobs))

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""
        return await self._steps.ready(timeout_s)


async def _run(branch: Branch, work: Awaitable[T], seconds: float, request_id: str) -> Outcome[T]:
    """Wait for `work`, `seconds` at most; only being cancelled ends it with an exception."""
    started = time.perf_counter()
    try:
        async with asyncio.timeout(seconds):
            return Outcome(await work, None, _since(started))
    except TimeoutError:
        error = PipelineError(504, "deadline_exceeded", f"no answer within {seconds * 1000:.0f} ms")
    except Exception as cause:
        error = translate(cause) or _defect(branch, request_id, cause)
    return Outcome(None, Failure(branch, error), _since(started))


def _defect(branch: Branch, request_id: str, cause: Exception) -> PipelineError:
    logger.error("unexpected failure of %s, request_id=%s", branch, request_id, exc_info=cause)
    return PipelineError(500, "internal", "the branch failed; the log has the cause under this request_id")


def _failures(*outcomes: "Outcome[Prepared] | Outcome[TextSentiment] | Outcome[TextSummary]") -> list[Failure]:
    return [outcome.failure for outcome in outcomes if outcome.failure]


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 2)


def refusal(failures: Sequence[Failure], field: str) -> PipelineError:
    """Return the error of a request of which nothing could be answered.

    422 naming `field`, the texts of the request, when they are all that is wrong. Else what the pipeline lacks counts:
    503 when all of it may be there again soon, 504 when a deadline passed as well, 500 for anything else.
    """
    ours = [failure for failure in failures if failure.error.status >= 500]
    message = "; ".join(dict.fromkeys(f"{failure.branch}: {failure.error.message}" for failure in ours))
    errors = [failure.error for failure in ours]
    statuses = {error.status for error in errors}
    if not ours:
        return PipelineError(422, failures[0].error.kind, failures[0].error.message, field)
    if statuses == {503}:
        return PipelineError(503, errors[0].kind, message, retry_after_s=max(error.retry_after_s for error in errors))
    if statuses <= {503, 504}:
        return PipelineError(504, "deadline_exceeded", message)
    return PipelineError(500, "internal", message)
