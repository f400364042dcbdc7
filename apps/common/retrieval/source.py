"""What a caller sees of a passage."""

from pydantic import BaseModel, Field

from apps.common.retrieval.types import Hit

SNIPPET_CHARACTERS = 320


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
