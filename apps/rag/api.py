"""Bodies of requests and answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from apps.rag.types import Change, Hit, IndexInfo

QUESTION_CHARACTERS = 2000
DOCUMENT_CHARACTERS = 400_000
SNIPPET_CHARACTERS = 320

# Nothing but the bounds: the Normalizer cleans the rest.
Question = Annotated[str, StringConstraints(min_length=1, max_length=QUESTION_CHARACTERS)]
DocumentName = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    timeout_s: float | None = Field(default=None, gt=0, le=3600, description="seconds until the answer is worthless")


class SearchRequest(_Request):
    """A question to find passages for."""

    question: Question
    top_k: int | None = Field(default=None, ge=1, le=20, description="number of sources; the live setting when absent")


class AskRequest(SearchRequest):
    """A question to answer."""

    stream: bool = Field(default=False, description="answer with server-sent events")


class DocumentRequest(_Request):
    """A document to add, or to put in place of the one of the same name."""

    document: DocumentName
    text: Annotated[str, StringConstraints(min_length=1, max_length=DOCUMENT_CHARACTERS)]


class Source(BaseModel):
    """A passage that an answer rests on; `[1]` in the answer is the first of them."""

    document: str
    section: str
    lines: tuple[int, int] = Field(description="first and last line, from 1")
    score: float
    snippet: str

    @classmethod
    def of(cls, hit: Hit) -> "Source":
        """Return what a caller sees of a passage."""
        chunk = hit.chunk
        text = " ".join(chunk.text.split())
        snippet = text if len(text) <= SNIPPET_CHARACTERS else text[: SNIPPET_CHARACTERS - 1] + "…"
        return cls(
            document=chunk.document,
            section=chunk.section,
            lines=(chunk.first_line, chunk.last_line),
            score=round(hit.score, 4),
            snippet=snippet,
        )


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


class Health(BaseModel):
    """The ingress is up and knows its settings."""

    status: Literal["ok"] = "ok"
    settings: Settings
