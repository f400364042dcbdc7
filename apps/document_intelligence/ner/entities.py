"""What an entity is, on its way between deployments."""

from dataclasses import dataclass
from typing import Literal

from apps.document_intelligence.pages import Box, Source

EntityKind = Literal[
    "date", "money", "iban", "email", "phone", "vat_id", "percentage", "reference", "person", "organisation", "place"
]


@dataclass(frozen=True, slots=True)
class Span:
    """A kind of thing at text[start:end]; value is its normal form."""

    start: int
    end: int
    kind: EntityKind
    confidence: float
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Entity:
    """A span with its words and its place; start is its offset in the text of the layout."""

    kind: EntityKind
    text: str
    value: str | None
    confidence: float
    page: int
    box: Box
    source: Source
    start: int
