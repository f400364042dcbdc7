"""Values beside their labels: right of them on the line, or below them in the column."""

import datetime
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TypeVar

from apps.document_intelligence.pages import Cell, Layout
from apps.document_intelligence.schema import Found
from apps.document_intelligence.values import SlashDates, amounts, dates

T = TypeVar("T")
# Reads a piece of text: the value and its offsets in the piece, or None when there is none.
Parser = Callable[[str], tuple[T, int, int] | None]

# How sure a value is that stands right of its label, below it, or where such a value usually stands.
BESIDE, BELOW, USUAL = 0.97, 0.92, 0.7
# Below means: at most so many heights of the label further down.
_HEIGHTS = 3.5
# No form has more cells in a line; a text made to have thousands must not be compared cell by cell.
_CELLS = 16
# What is itself a label is no value.
_LABEL = re.compile(
    r".*:$|(?:(?:invoice|receipt|order|due|issue|payment|customer) )?(?:number|no|date|due|id)\.?$"
    r"|(?:bill|ship|sold) to$",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"(?=[A-Z0-9/.-]*\d)[A-Z0-9][A-Z0-9/.-]*[A-Z0-9]", re.IGNORECASE)


def as_reference(text: str) -> tuple[str, int, int] | None:
    """Read a number of letters and digits."""
    found = _REFERENCE.match(text)
    return (found[0], *found.span()) if found else None


def as_text(text: str) -> tuple[str, int, int] | None:
    """Read the text as it is, without a mark at its end."""
    kept = text.rstrip(" ,;:")
    return (kept, 0, len(kept)) if len(kept) > 1 else None


def as_amount(text: str) -> tuple[Decimal, int, int] | None:
    """Read the last amount."""
    found = sorted(amounts(text), key=lambda amount: amount.start)
    return (found[-1].value, found[-1].start, found[-1].end) if found else None


def as_date(slash_dates: SlashDates) -> Parser[datetime.date]:
    """Return a reader of the first date."""

    def read(text: str) -> tuple[datetime.date, int, int] | None:
        found = next(dates(text, slash_dates), None)
        return (found.value, found.start, found.end) if found else None

    return read


class Labels:
    """Looks for labels in a layout."""

    def __init__(self, layout: Layout):
        self.layout = layout
        self._lines = [line[:_CELLS] for line in layout.lines]

    def found(self, value: T, start: int, end: int, confidence: float) -> Found[T]:
        """Return a value with the place of text[start:end]."""
        place = self.layout.place(start, end)
        return Found(value=value, confidence=place.sure(confidence), page=place.page, box=place.box)

    def value(self, labels: tuple[str, ...], parse: Parser[T], *, last: bool = False) -> Found[T] | None:
        """Return the value beside the first (or last) label that has one; `labels` are patterns, the best first."""
        for label in labels:
            values = self._values(re.compile(rf"(?:{label})(?!\w)[ ]?[:.#]{{0,2}}[ ]*", re.IGNORECASE), parse)
            chosen = list(values)[-1:] if last else [each for each in [next(values, None)] if each]
            if chosen:
                return chosen[0]
        return None

    def _values(self, label: "re.Pattern[str]", parse: Parser[T]) -> Iterator[Found[T]]:
        for number, line in enumerate(self._lines):
            for place, cell in enumerate(line):
                match = label.match(self.layout.of(cell))
                if not match:
                    continue
                for start, end, confidence in self._places(number, place, match.end()):
                    read = parse(self.layout.text[start:end])
                    if read:
                        value, first, last = read
                        yield self.found(value, start + first, start + last, confidence)
                        break

    def _places(self, number: int, place: int, length: int) -> Iterator[tuple[int, int, float]]:
        """Yield where the value of a label may stand: behind it, right of it up to the next label, below it."""
        label, *right = self._lines[number][place:]
        if label.start + length < label.end:
            yield label.start + length, label.end, BESIDE
        for cell in right:
            if _LABEL.match(self.layout.of(cell)):
                break
            yield cell.start, cell.end, BESIDE
        for cell in self._below(number, label):
            if not _LABEL.match(self.layout.of(cell)):
                yield cell.start, cell.end, BELOW

    def _below(self, number: int, label: Cell) -> Iterator[Cell]:
        height = label.box[3] - label.box[1]
        for line in self._lines[number + 1 : number + 4]:
            for cell in line:
                near = cell.page == label.page and 0 < cell.box[3] - label.box[3] <= _HEIGHTS * height
                if near and cell.box[0] < label.box[2] and label.box[0] < cell.box[2]:
                    yield cell
                    return
