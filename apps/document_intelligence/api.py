"""What a request may say beside its body, and the body of the answer."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from apps.document_intelligence.classify import DocumentKind
from apps.document_intelligence.ner.entities import EntityKind
from apps.document_intelligence.pages import Box, Source
from apps.document_intelligence.schema import Fields

DocumentName = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]


class DocumentQuery(BaseModel):
    """The query of `POST /documents`: unknown names are errors, never ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    name: DocumentName | None = Field(default=None, description="only comes back in the answer")
    language: Literal["eng"] = Field(default="eng", description="of the text in pictures")
    timeout_s: float | None = Field(default=None, gt=0, le=3600, description="seconds until the answer is worthless")


class KindAnswer(BaseModel):
    """The kind of the document; scores: the probability of each."""

    kind: DocumentKind
    confidence: float
    scores: dict[DocumentKind, float]


class EntityAnswer(BaseModel):
    """A name, date, amount or number. value: its normal form; box: [x0, y0, x1, y1] in points, origin top-left."""

    kind: EntityKind
    text: str
    value: str | None
    confidence: float
    page: int
    box: Box
    source: Source


class PageAnswer(BaseModel):
    """A page as it was read: width and height in points, mean confidence of the OCR (0 to 1) where there was one."""

    page: int
    width: float
    height: float
    source: Source
    characters: int
    ocr_confidence: float | None


class Settings(BaseModel):
    """The live settings that the answer was made with."""

    revision: str
    pages_in_flight: int
    bytes_in_flight: int


class DocumentAnswer(BaseModel):
    """What is in a document."""

    name: str | None
    document: KindAnswer
    fields: Fields
    entities: list[EntityAnswer]
    pages: list[PageAnswer]
    settings: Settings
    timings_ms: dict[str, float]
    request_id: str
