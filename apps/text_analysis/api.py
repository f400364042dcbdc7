"""Bodies of requests and answers."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, StringConstraints
from pydantic_core import PydanticCustomError

from apps.common.http import StrictRequest
from apps.common.language import Language
from apps.common.text import Counts
from apps.text_analysis.pipeline import Analysis, Branch
from apps.text_analysis.types import TextSentiment, TextSummary

TEXT_CHARACTERS = 50_000
BATCH_TEXTS = 64
BATCH_CHARACTERS = 200_000


def _together(texts: list[str]) -> list[str]:
    if sum(map(len, texts)) > BATCH_CHARACTERS:
        message = f"the texts should have at most {BATCH_CHARACTERS} characters together"
        raise PydanticCustomError("texts_too_long", "{message}", {"message": message})
    return texts


# Nothing but the bounds: the Preprocessor cleans the rest.
Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=BATCH_TEXTS), AfterValidator(_together)]
LanguageCode = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]


class AnalysisRequest(StrictRequest):
    """What may be said of any analysis."""

    sentences: int | None = Field(default=None, ge=1, le=10, description="of the summary; the live setting when absent")
    language: LanguageCode | None = Field(default=None, description="ISO 639 code; told from the text when absent")


class AnalyzeRequest(AnalysisRequest):
    """A text to analyse."""

    text: Text


class BatchRequest(AnalysisRequest):
    """Texts to analyse, each for itself."""

    texts: Texts


class BranchError(BaseModel):
    """Why a part of the answer is missing."""

    branch: Branch
    type: str
    message: str


class Result(BaseModel):
    """What could be made of one text; what is null has its reason in `errors`."""

    complete: bool
    language: Language | None
    counts: Counts | None
    sentiment: TextSentiment | None
    summary: TextSummary | None
    errors: list[BranchError]
    timings_ms: dict[str, float]

    @classmethod
    def of(cls, analysis: Analysis) -> "Result":
        """Return what a caller sees of an analysis."""
        prepared = analysis.prepared
        return cls(
            complete=not analysis.failures,
            language=prepared.language if prepared else None,
            counts=prepared.counts if prepared else None,
            sentiment=analysis.sentiment,
            summary=analysis.summary,
            errors=[
                BranchError(branch=failure.branch, type=failure.error.kind, message=failure.error.message)
                for failure in analysis.failures
            ],
            timings_ms=analysis.timings_ms,
        )


class AnalyzeAnswer(Result):
    """The analysis of the one text of a request."""

    request_id: str


class BatchAnswer(BaseModel):
    """The analyses in the order of the texts; complete when each of them is."""

    complete: bool
    results: list[Result]
    timings_ms: dict[str, float]
    request_id: str
