"""Cut Markdown (or plain text) into passages along its headings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from apps.common.retrieval.types import Chunk

# About 220 word pieces of English: below the 256 that the embedding model reads.
CHUNK_CHARACTERS = 900
_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*\s*")
_FENCE = re.compile(r"\s*(```|~~~)")


@dataclass(frozen=True, slots=True)
class _Section:
    heading: str
    first_line: int
    lines: list[str]


def chunk_document(document: str, text: str, limit: int = CHUNK_CHARACTERS) -> list[Chunk]:
    """Return the passages of `text` in order.

    A passage never crosses a heading, has at most about `limit` characters (one longer line is cut), and keeps the line
    numbers of the original. The text before the first heading gets the document's name as section.
    """
    chunks = []
    for section in _sections(document, text.splitlines()):
        for first, lines in _pieces(section, limit):
            filled = [number for number, line in enumerate(lines) if line.strip()]
            if filled:
                start, end = filled[0], filled[-1]
                text_of = "\n".join(lines[start : end + 1]).strip()
                chunks.append(Chunk(document, section.heading, first + start, first + end, text_of))
    return chunks


def embedding_text(chunk: Chunk) -> str:
    """Return what is embedded: document and heading carry words that the passage itself may lack."""
    name = re.sub(r"[-_/.]+", " ", chunk.document.removesuffix(".md"))
    return f"{name}: {chunk.section}\n{chunk.text}"


def _sections(document: str, lines: list[str]) -> Iterator[_Section]:
    current = _Section(document, 1, [])
    fenced = False
    for number, line in enumerate(lines, 1):
        fenced ^= bool(_FENCE.match(line))
        heading = None if fenced else _HEADING.fullmatch(line)
        if heading:
            yield current
            current = _Section(heading[2], number + 1, [])
        else:
            current.lines.append(line)
    yield current


def _pieces(section: _Section, limit: int) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, lines) of about `limit` characters, cut at blank lines where there are some."""
    first, held, size = section.first_line, list[str](), 0
    for number, line in enumerate(section.lines, section.first_line):
        for part in _wrapped(line, limit):
            full = size + len(part) > limit
            if held and (full or (not part.strip() and size > limit / 2)):
                yield first, held
                held, size = [], 0
            if not held:
                first = number
            held.append(part)
            size += len(part) + 1
    if held:
        yield first, held


def _wrapped(line: str, limit: int) -> list[str]:
    return [line[start : start + limit] for start in range(0, len(line), limit)] or [line]
