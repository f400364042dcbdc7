"""Dates and amounts as people write them, with the places where they stand."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Literal

SlashDates = Literal["day-first", "month-first"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<{0}>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DATE = re.compile(
    r"(?<![\w.,/-])(?:"
    r"(?P<y1>(?:19|20)\d\d)-(?P<m1>\d\d)-(?P<d1>\d\d)"
    r"|(?P<a2>\d{1,2})(?P<s2>[./-])(?P<b2>\d{1,2})(?P=s2)(?P<y2>(?:19|20)\d\d)"
    r"|(?P<d3>\d{1,2})(?:st|nd|rd|th)?(?: of)? " + _MONTH.format("n3") + r",? (?P<y3>(?:19|20)\d\d)"
    r"|" + _MONTH.format("n4") + r" (?P<d4>\d{1,2})(?:st|nd|rd|th)?,? (?P<y4>(?:19|20)\d\d)"
    r")(?![\w/-])",
    re.IGNORECASE,
)

SYMBOLS = {"€": "EUR", "$": "USD", "£": "GBP", "¥": "JPY"}
CODES = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "NOK", "DKK", "PLN", "CZK", "CAD", "AUD")
_CURRENCY = rf"(?:{'|'.join(CODES)}|[€$£¥])"
# With groups of three, or without; the last mark parts the decimals.
_NUMBER = r"-?\d{1,3}(?:[,.' ]\d{3})+(?:[.,]\d{1,2})?|-?\d{1,12}(?:[.,]\d{1,2})?"
_MONEY = re.compile(
    rf"(?<![\w.,-])(?:(?P<c1>{_CURRENCY}) ?(?P<n1>{_NUMBER})|(?P<n2>{_NUMBER}) ?(?P<c2>{_CURRENCY}))(?![\w]|[.,]\d)"
)
_PLAIN = re.compile(rf"(?<![\w.,-])(?:{_NUMBER})(?![\w%]|[.,]\d)")


@dataclass(frozen=True, slots=True)
class Dated:
    """A date at text[start:end]; sure is False when day and month could be exchanged."""

    start: int
    end: int
    value: date
    sure: bool


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount at text[start:end]; currency is a code of ISO 4217, or None when none is written at it."""

    start: int
    end: int
    value: Decimal
    currency: str | None


def dates(text: str, slash_dates: SlashDates = "day-first") -> Iterator[Dated]:
    """Yield the dates of `text`; what is no day of the calendar is none."""
    for found in _DATE.finditer(text):
        value, sure = _date(found, slash_dates)
        if value is not None:
            yield Dated(*found.span(), value, sure)


def _date(found: "re.Match[str]", slash_dates: SlashDates) -> tuple[date | None, bool]:
    part = found.groupdict()
    sure = True
    if part["y1"]:
        year, month, day = int(part["y1"]), int(part["m1"]), int(part["d1"])
    elif part["y2"]:
        year, first, second = int(part["y2"]), int(part["a2"]), int(part["b2"])
        sure = part["s2"] == "." or first > 12 or second > 12 or first == second
        american = second > 12 or (first <= 12 and part["s2"] != "." and slash_dates == "month-first")
        month, day = (first, second) if american else (second, first)
    else:
        kind = "3" if part["y3"] else "4"
        year, day = int(part[f"y{kind}"]), int(part[f"d{kind}"])
        month = _MONTHS.index(part[f"n{kind}"][:3].lower()) + 1
    try:
        return date(year, month, day), sure
    except ValueError:
        return None, sure


def money(text: str) -> Iterator[Amount]:
    """Yield the amounts of `text` that have a currency."""
    for found in _MONEY.finditer(text):
        value = number(found["n1"] or found["n2"])
        written = found["c1"] or found["c2"]
        if value is not None:
            yield Amount(*found.span(), value, SYMBOLS.get(written, written))


def amounts(text: str) -> Iterator[Amount]:
    """Yield the numbers of `text`, with their currency where one is written."""
    with_currency = list(money(text))
    yield from with_currency
    taken = [(amount.start, amount.end) for amount in with_currency]
    for found in _PLAIN.finditer(text):
        value = number(found[0])
        if value is not None and not any(start < found.end() and found.start() < end for start, end in taken):
            yield Amount(*found.span(), value, None)


def number(written: str) -> Decimal | None:
    """Return the number that `written` is, with a decimal comma or point; None when it is none.

    A single mark with three digits behind it groups thousands: 1,234 and 1.234 are 1234.
    """
    digits = written.replace("'", "").replace(" ", "")
    last = max(digits.rfind(","), digits.rfind("."))
    if last >= 0:
        whole, behind = digits[:last], digits[last + 1 :]
        mark_twice = digits[last] in whole
        grouped = len(behind) == 3 and (mark_twice or not set(whole) & set(",.")) and whole not in {"0", "-0"}
        whole = whole.replace(",", "").replace(".", "")
        digits = whole + behind if grouped else f"{whole}.{behind}"
    try:
        return Decimal(digits)
    except InvalidOperation:
        return None
