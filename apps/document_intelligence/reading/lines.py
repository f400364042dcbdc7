"""Words in any order into lines and cells, by geometry alone: the same for text layers, OCR and plain text."""

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from apps.document_intelligence.pages import CELL, GOES_ON, LINE, Box, Page, Source

# A gap wider than this share of the height of a line begins a new cell.
_CELL_GAP = 1.0
# Two words stand on one line when they share at least this part of the lower one's height.
_SHARED_HEIGHT = 0.5
# Lines are looked up by the rows (of this many points) that they touch.
_ROW = 4.0


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it was read; confidence 0 to 1."""

    text: str
    box: Box
    confidence: float = 1.0


def page_of(number: int, width: float, height: float, source: Source, words: list[Word]) -> Page:
    """Return the page with its words in reading order."""
    return page_of_lines(number, width, height, source, _lines([word for word in words if word.text.strip()]))


def page_of_lines(number: int, width: float, height: float, source: Source, lines: list[list[Word]]) -> Page:
    """Return the page of lines that are known, each from left to right."""
    ordered = [word for line in lines for word in line]
    breaks = [kind for line in lines for kind in _breaks(line)]
    boxes: list[Box] = [_rounded(word.box) for word in ordered]
    confidences = [round(word.confidence, 3) for word in ordered]
    texts = [word.text for word in ordered]
    return Page(number, round(width, 2), round(height, 2), source, texts, boxes, confidences, breaks)


def _lines(words: list[Word]) -> list[list[Word]]:
    """Chain words from left to right: each joins the line whose last word it overlaps most; so a slant does no harm."""
    lines: list[list[Word]] = []
    rows: dict[int, list[int]] = defaultdict(list)
    for word in sorted(words, key=lambda word: word.box[0]):
        near = {line for row in _rows(word.box) for line in rows[row]}
        best = max(near, key=lambda line: (_shared(lines[line][-1].box, word.box), -line), default=None)
        if best is None or _shared(lines[best][-1].box, word.box) < _SHARED_HEIGHT:
            best = len(lines)
            lines.append([])
        else:
            for row in _rows(lines[best][-1].box):
                rows[row].remove(best)
        lines[best].append(word)
        for row in _rows(word.box):
            rows[row].append(best)
    return sorted(lines, key=lambda line: (sum(word.box[1] + word.box[3] for word in line) / len(line), line[0].box[0]))


def _rows(box: Box) -> range:
    # A word is a few rows high; one that claims to be higher than any page is looked up by its first rows.
    first = int(box[1] // _ROW)
    return range(first, min(int(box[3] // _ROW), first + 100) + 1)


def _shared(one: Box, other: Box) -> float:
    height = min(one[3] - one[1], other[3] - other[1])
    return (min(one[3], other[3]) - max(one[1], other[1])) / max(height, 0.01)


def _breaks(line: list[Word]) -> list[int]:
    heights = sorted(word.box[3] - word.box[1] for word in line)
    wide = _CELL_GAP * heights[len(heights) * 3 // 4]
    gaps = [after.box[0] - before.box[2] for before, after in pairwise(line)]
    return [LINE, *(CELL if gap > wide else GOES_ON for gap in gaps)]


def _rounded(box: Box) -> Box:
    return (round(box[0], 2), round(box[1], 2), round(box[2], 2), round(box[3], 2))
