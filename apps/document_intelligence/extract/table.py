"""Rows of a table by the columns of its head: for the items of an invoice."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from apps.document_intelligence.extract.labels import Labels
from apps.document_intelligence.pages import Box, Cell, Layout
from apps.document_intelligence.schema import Found, LineItem
from apps.document_intelligence.values import CODES, SYMBOLS, number

if TYPE_CHECKING:
    from decimal import Decimal

_HEADS = {
    "description": r"\b(?:description|item|product|service|article)s?\b",
    "quantity": r"\b(?:quantity|qty|hours|units|pcs)\b",
    "unit_price": r"\b(?:unit price|price|rate|unit cost)\b",
    "amount": r"\b(?:amount|line total|total|sum)\b",
}
_END = re.compile(r"(?:sub-?total|net amount|total|vat|tax|gst|amount due|payment|thank|page \d)\b", re.IGNORECASE)
# How far, in points, a number may stand beside the head of its column.
_BESIDE = 12.0
_WORD = re.compile(r"\S+")
_SURE, _UNSURE = 0.97, 0.85


@dataclass(frozen=True, slots=True)
class _Head:
    page: int
    columns: dict[str, Box]


def line_items(labels: Labels) -> list[Found[LineItem]]:
    """Return the rows below a head with a description and at least two columns of numbers; [] when there is none."""
    layout = labels.layout
    items: list[Found[LineItem]] = []
    head: _Head | None = None
    for line in layout.lines:
        found = _head(layout, line)
        if found:
            head = found
        elif head and head.page == line[0].page:
            if _END.match(layout.of(line[0])):
                head = None
                continue
            item = _row(labels, line, head)
            if item:
                items.append(item)
    return items


def _head(layout: Layout, line: list[Cell]) -> _Head | None:
    start, end = line[0].start, line[-1].end
    columns: dict[str, Box] = {}
    for name, pattern in _HEADS.items():
        found = re.search(pattern, layout.text[start:end], re.IGNORECASE)
        if found:
            columns[name] = layout.place(start + found.start(), start + found.end()).box
    return _Head(line[0].page, columns) if "description" in columns and len(columns) >= 3 else None


def _row(labels: Labels, line: list[Cell], head: _Head) -> Found[LineItem] | None:
    start, end = line[0].start, line[-1].end
    numbers: dict[str, Decimal] = {}
    description: list[tuple[int, int]] = []
    for first, last, text in _words(labels.layout, start, end):
        column = _column(head, labels.layout.place(first, last).box)
        bare = text.strip("".join(SYMBOLS))
        value = number(bare) if column and bare[:1] in "0123456789-" else None
        if column and value is not None and column not in numbers:
            numbers[column] = value
        elif text not in CODES and bare:
            description.append((first, last))
    if not description or "amount" not in numbers:
        return None
    text = labels.layout.text[description[0][0] : description[-1][1]].replace("\t", " ")
    item = LineItem(description=text, **numbers)
    agrees = item.quantity is None or item.unit_price is None or item.quantity * item.unit_price == item.amount
    return labels.found(item, start, end, _SURE if agrees else _UNSURE)


def _words(layout: Layout, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    for found in _WORD.finditer(layout.text, start, end):
        yield found.start(), found.end(), found[0]


def _column(head: _Head, box: Box) -> str | None:
    """Return the column of numbers above `box`: the nearest by the right edge of those that it stands below."""
    below = {
        name: abs(column[2] - box[2])
        for name, column in head.columns.items()
        if name != "description" and box[0] < column[2] + _BESIDE and column[0] - _BESIDE < box[2]
    }
    return min(below, key=lambda name: below[name], default=None)
