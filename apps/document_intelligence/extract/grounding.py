"""What a language model says about a document, held against the document: what does not stand there is dropped.

The model answers with plain values in the shape of `values_model(Invoice)`, made from the fields of the answer; each is
looked up in the text, and only what is found there becomes a field, with the place where it was found.
"""

import datetime
import re
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, create_model

from apps.document_intelligence.pages import Layout
from apps.document_intelligence.schema import AnyFields, Found, LineItem
from apps.document_intelligence.values import CODES, SYMBOLS, SlashDates, amounts, dates

if TYPE_CHECKING:
    from collections.abc import Callable

# A model states no probabilities worth the name: so sure is a value that stands in the document, and a row of a table.
_STANDS_THERE, _ROW = 0.85, 0.8
_SPACE = re.compile(r"\s+")


@cache
def values_model(fields: type[BaseModel]) -> type[BaseModel]:
    """Return the model of the plain values of `fields`: `Found[X] | None` is `X | None`, `list[Found[X]]` `list[X]`."""
    plain: dict[str, Any] = {}
    for name, field in fields.model_fields.items():
        inner = _inner(field.annotation)
        if inner is None:
            continue
        plain[name] = (list[inner], []) if get_origin(field.annotation) is list else (inner | None, None)  # type: ignore[valid-type]
    return create_model(f"{fields.__name__}Values", __config__=ConfigDict(extra="ignore"), **plain)


def _inner(annotation: Any) -> Any:
    """Return X of `Found[X] | None` or `list[Found[X]]`; None for the discriminator."""
    for part in get_args(annotation):
        if isinstance(part, type) and issubclass(part, Found):
            return part.model_fields["value"].annotation
    return None


class Grounding:
    """Looks values up in one document."""

    def __init__(self, layout: Layout, slash_dates: SlashDates):
        self._layout = layout
        self._folded, self._offsets = _fold(layout.text)
        self._dates = list(dates(layout.text, slash_dates))
        self._amounts = list(amounts(layout.text))

    def fields(self, model: type[AnyFields], values: BaseModel) -> AnyFields:
        """Return the fields that stand in the document."""
        found: dict[str, Any] = {}
        for name, value in values:
            if isinstance(value, list):
                found[name] = [each for each in map(self.found, value) if each]
            elif value is not None:
                found[name] = self.found(value)
        return model(**found)

    def found(self, value: Any) -> Found[Any] | None:
        """Return the value with its place, or None."""
        lookups: dict[type, Callable[[Any], tuple[int, int] | None]] = {
            datetime.date: self._date,
            Decimal: self._amount,
            str: self._text,
            LineItem: lambda item: self._text(item.description),
        }
        span = lookups[type(value)](value)
        if span is None:
            return None
        is_row = isinstance(value, LineItem)
        place = self._layout.place(*span)
        confidence = place.sure(_ROW if is_row else _STANDS_THERE)
        kept = self._item(value) if is_row else value
        return Found(value=kept, confidence=confidence, page=place.page, box=place.box)

    def _date(self, value: datetime.date) -> tuple[int, int] | None:
        return next(((each.start, each.end) for each in self._dates if each.value == value), None)

    def _amount(self, value: Decimal) -> tuple[int, int] | None:
        return next(((each.start, each.end) for each in self._amounts if each.value == value), None)

    def _text(self, value: str) -> tuple[int, int] | None:
        wanted, _ = _fold(value)
        place = self._folded.find(wanted) if wanted else -1
        if place >= 0:
            return self._offsets[place], self._offsets[place + len(wanted) - 1] + 1
        # A currency is its code, however it is written.
        written = [symbol for symbol, code in SYMBOLS.items() if code == value] if value in CODES else []
        start = next((self._layout.text.find(symbol) for symbol in written if symbol in self._layout.text), -1)
        return (start, start + 1) if start >= 0 else None

    def _item(self, item: LineItem) -> LineItem:
        """Return the row without the numbers that stand nowhere."""
        numbers = ("quantity", "unit_price", "amount")
        lost = [name for name in numbers if getattr(item, name) is not None and not self._amount(getattr(item, name))]
        return item.model_copy(update=dict.fromkeys(lost))


def _fold(text: str) -> tuple[str, list[int]]:
    """Return `text` in lower case without white space, and the offset of each character in `text`."""
    kept = [(character.lower()[:1], offset) for offset, character in enumerate(text) if not character.isspace()]
    return "".join(character for character, _ in kept), [offset for _, offset in kept]
