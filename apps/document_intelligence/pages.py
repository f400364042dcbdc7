"""What reading gives: words with boxes, page by page; and the text over them, from which every span finds its box back.

Boxes are [x0, y0, x1, y1] in points (1/72 inch) of the page as it is shown, origin top-left.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Box = tuple[float, float, float, float]
Source = Literal["text-layer", "ocr"]
MediaType = Literal["application/pdf", "image/png", "text/plain"]
MEDIA_TYPES: tuple[MediaType, ...] = ("application/pdf", "image/png", "text/plain")

# What stands before a word: it goes on in its cell, it begins a cell (column) of the line, it begins a line.
GOES_ON, CELL, LINE = 0, 1, 2
_SEPARATORS = (" ", "\t", "\n")
# The part of a confidence that hangs on the reading of the words.
_READING = 0.4
_PAGE_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class Page:
    """One page in reading order, by columns so that it is small on its way between processes.

    words, boxes, confidences (0 to 1; 1 where there was a text layer) and breaks (GOES_ON, CELL, LINE) have one length.
    """

    number: int
    width: float
    height: float
    source: Source
    words: list[str]
    boxes: list[Box]
    confidences: list[float]
    breaks: list[int]

    @property
    def characters(self) -> int:
        """Characters of all words, without white space."""
        return sum(map(len, self.words))


@dataclass(frozen=True, slots=True)
class Opened:
    """A slice of a document: its pages in all, what was read, the pages that need OCR, where the next slice begins."""

    count: int
    pages: list[Page]
    scanned: list[int]
    next: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a span stands, and how sure its reading is."""

    page: int
    box: Box
    source: Source
    confidence: float

    def sure(self, confidence: float) -> float:
        """Return `confidence` in what the words say, less where they were badly read.

        Tesseract has little confidence in words that are in no dictionary (addresses, numbers), right as they are: so a
        bad reading takes two fifths at most.
        """
        return round(confidence * (1 - _READING + _READING * self.confidence), 3)


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of a line between two wide gaps: offsets in the text, page number and box."""

    start: int
    end: int
    page: int
    box: Box


class Layout:
    """The text of a document and the way back from its spans to the boxes.

    In `text` a blank parts the words of a cell, a tab the cells of a line, a line break lines, an empty line pages.
    """

    def __init__(self, pages: Sequence[Page]):
        self.pages = pages
        self._starts: list[int] = []
        self._words: list[tuple[Page, int]] = []
        self.lines: list[list[Cell]] = []
        pieces: list[str] = []
        offset = 0
        for page in pages:
            spans: list[tuple[int, int]] = []
            for index, word in enumerate(page.words):
                before = _PAGE_SEPARATOR if index == 0 else _SEPARATORS[page.breaks[index]]
                if offset:
                    pieces.append(before)
                    offset += len(before)
                pieces.append(word)
                self._starts.append(offset)
                self._words.append((page, index))
                spans.append((offset, offset + len(word)))
                offset += len(word)
            self.lines.extend(_lines(page, spans))
        self.text = "".join(pieces)

    def place(self, start: int, end: int) -> Place:
        """Return where text[start:end] stands: the words of the page on which it begins.

        Raises:
            ValueError: there is no word in the span.
        """
        first = max(0, bisect_right(self._starts, start) - 1)
        page = self._words[first][0] if self._words else None
        indices = []
        for number in range(first, len(self._words)):
            owner, index = self._words[number]
            if self._starts[number] >= end or owner is not page:
                break
            indices.append(index)
        if page is None or not indices:
            raise ValueError(f"no word at {start}-{end}")
        mean = sum(page.confidences[index] for index in indices) / len(indices)
        return Place(page.number, union([page.boxes[index] for index in indices]), page.source, mean)

    def of(self, cell: Cell) -> str:
        """Return the text of a cell."""
        return self.text[cell.start : cell.end]


def _lines(page: Page, spans: list[tuple[int, int]]) -> Iterator[list[Cell]]:
    line: list[Cell] = []
    first = 0
    for index in range(1, len(spans) + 1):
        ended = index == len(spans)
        if not ended and page.breaks[index] == GOES_ON:
            continue
        line.append(Cell(spans[first][0], spans[index - 1][1], page.number, union(page.boxes[first:index])))
        first = index
        if ended or page.breaks[index] == LINE:
            yield line
            line = []


def union(boxes: Sequence[Box]) -> Box:
    """Return the smallest box around `boxes`."""
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
