"""What can be told by its form: dates, amounts, account, tax and reference numbers, addresses of mail and telephone."""

import re
from collections.abc import Iterator

from apps.document_intelligence.ner.entities import Span
from apps.document_intelligence.values import dates, money

_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}(?!\w)")
_PHONE = re.compile(
    r"(?<![\w+.,/-])(?:\+\d{1,3}[ .-]?(?:\(0\)[ .-]?)?|\(\d{2,5}\) ?|0\d)\d{1,5}(?:[ ./-]?\d{2,5}){1,5}(?![\w-])"
)
_VAT = re.compile(
    r"(?<!\w)(?:ATU\d{8}|BE[01]\d{9}|CHE-?\d{3}\.?\d{3}\.?\d{3}|DE\d{9}|DK\d{8}|ES[A-Z0-9]\d{7}[A-Z0-9]|FR[A-Z0-9]{2}\d{9}"
    r"|GB\d{9}|IE\d[A-Z0-9+*]\d{5}[A-Z]{1,2}|IT\d{11}|NL\d{9}B\d{2}|PL\d{10}|PT\d{9}|SE\d{12})(?!\w)"
)
_PERCENT = re.compile(r"(?<![\w.,])-?\d{1,4}(?:[.,]\d{1,3})? ?%")
# Only behind its label: a number alone may be anything.
_LABELLED = re.compile(
    r"\b(?:invoice|order|reference|ref|receipt|case|ticket|contract|customer|complaint|purchase order|po|agreement)"
    r"(?: ?(?:number|no|nr|id|ref|#))?\.?[ \t]?[:#.]*[ \t]{0,2}"
    r"(?P<number>(?=[A-Z0-9/-]{0,20}\d)[A-Z0-9][A-Z0-9/-]{2,30})(?!\w)",
    re.IGNORECASE,
)
_SURE, _LIKELY = 0.99, 0.85


def spans(text: str) -> list[Span]:
    """Return what the rules find, in order; where two overlap, the surer rule wins."""
    taken = bytearray(len(text))
    found: list[Span] = []
    for span in _by_sureness(text):
        if not any(taken[span.start : span.end]):
            taken[span.start : span.end] = b"\x01" * (span.end - span.start)
            found.append(span)
    return sorted(found, key=lambda span: span.start)


def is_iban(written: str) -> bool:
    """Return whether the check digits are right (ISO 13616: the number modulo 97 is 1)."""
    compact = written.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def _by_sureness(text: str) -> Iterator[Span]:
    for match in _EMAIL.finditer(text):
        yield Span(*match.span(), "email", _SURE, match[0].lower())
    for match in _IBAN.finditer(text):
        end = _iban_end(match[0])
        if end:
            iban = match[0][:end]
            yield Span(match.start(), match.start() + end, "iban", _SURE, iban.replace(" ", ""))
    for match in _VAT.finditer(text):
        yield Span(*match.span(), "vat_id", 0.95, re.sub(r"[.-]", "", match[0]))
    for dated in dates(text):
        yield Span(dated.start, dated.end, "date", _SURE if dated.sure else 0.7, dated.value.isoformat())
    for amount in money(text):
        yield Span(amount.start, amount.end, "money", _SURE, f"{amount.value} {amount.currency}")
    for match in _PERCENT.finditer(text):
        yield Span(*match.span(), "percentage", _SURE, match[0].replace(" ", "").replace(",", "."))
    for match in _LABELLED.finditer(text):
        yield Span(*match.span("number"), "reference", 0.9, match["number"])
    for match in _PHONE.finditer(text):
        if 7 <= sum(map(str.isdigit, match[0])) <= 15:
            yield Span(*match.span(), "phone", _LIKELY, re.sub(r"[^+\d]", "", match[0]))


def _iban_end(written: str) -> int:
    """Return the length of the IBAN at the start of `written`, 0 for none: groups behind it may not belong to it."""
    ends = [place for place in range(len(written), 14, -1) if place == len(written) or written[place] == " "]
    return next((end for end in ends if is_iban(written[:end])), 0)
