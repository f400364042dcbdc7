"""Bodies of requests and answers."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from apps.common.http import StrictRequest
from apps.common.retrieval.source import Source
from apps.common.retrieval.types import Change, IndexInfo

QUESTION_CHARACTERS = 2000
DOCUMENT_CHARACTERS = 400_000

# Nothing but the bounds: the Normalizer cleans the rest.
Question = Annotated[str, StringConstraints(min_length=1, max_length=QUESTION_CHARACTERS)]
DocumentName = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]


class SearchRequest(StrictRequest):
    """A question to find passages for."""

    question: Question
    top_k: int | None = Field(default=None, ge=1, le=20, description="number of sources; the live setting when absent")


class AskRequest(SearchRequest):
    """A question to answer."""

    stream: bool = Field(default=False, description="answer with server-sent events")


class DocumentRequest(StrictRequest):
    """A document to add, or to put in place of the one of the same name."""

    document: DocumentName
    text: Annotated[str, StringConstraints(min_length=1, max_length=DOCUMENT_CHARACTERS)]


class Settings(BaseModel):
    """The live settings that the answer was made with."""

    revision: str
    top_k: int
    candidates: int


class SearchAnswer(BaseModel):
    """Sources for a question, best first."""

    sources: list[Source]
    index: IndexInfo
    settings: Settings
    timings_ms: dict[str, float]
    request_id: str


class AskAnswer(SearchAnswer):
    """An answer with its sources."""

    answer: str


class DocumentAnswer(BaseModel):
    """What happened to the index. `index.durable` false: the document is lost when the VectorStore restarts."""

    document: str
    change: Change
    chunks: int
    index: IndexInfo
    request_id: str
