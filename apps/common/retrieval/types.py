"""What travels between the deployments: small, picklable, without behaviour."""

from dataclasses import dataclass, replace
from typing import Literal

Change = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: lines `first_line` to `last_line` (from 1, inclusive) of `document`, below the heading `section`."""

    document: str
    section: str
    first_line: int
    last_line: int
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage with its score for one question; `score` is a cosine until the reranker replaces it."""

    chunk: Chunk
    score: float

    def with_score(self, score: float) -> "Hit":
        """Return the same passage with another score."""
        return replace(self, score=score)


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """Which index answers: `digest` changes with every change of its documents or of the embedding model."""

    store: str
    digest: str
    documents: int
    chunks: int
    durable: bool


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The nearest passages, best first, and the index that they come from."""

    hits: list[Hit]
    index: IndexInfo


@dataclass(frozen=True, slots=True)
class Ingested:
    """What an ingest did to the index."""

    document: str
    change: Change
    chunks: int
    index: IndexInfo
