"""Fields by the layout: labels and values, tables, letters' usual places."""

import datetime
import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from apps.document_intelligence.classify import DocumentKind
from apps.document_intelligence.extract.labels import USUAL, Labels, as_amount, as_date, as_reference, as_text
from apps.document_intelligence.extract.table import line_items
from apps.document_intelligence.ner.entities import Entity, EntityKind
from apps.document_intelligence.pages import Cell, Layout, Page
from apps.document_intelligence.schema import (
    AnyFields,
    Complaint,
    Contract,
    Found,
    Invoice,
    Letter,
    Other,
    Receipt,
    Report,
)
from apps.document_intelligence.settings import ExtractorSettings
from apps.document_intelligence.values import CODES, SYMBOLS

_DATE = (r"(?:invoice|issue|receipt|report) date|date of issue|issued(?: on)?|publication date|date",)
_TOTAL = (r"(?:grand )?total (?:due|amount|to pay)|amount (?:due|payable)|balance due", r"grand total|total")
_TAX = (r"(?:vat|sales tax|tax|gst)(?! (?:id|no|number|reg))(?: amount)?(?: ?\(?\d{1,2}(?:[.,]\d)? ?%\)?)?",)
_CLOSING = re.compile(
    r"(?:yours (?:sincerely|faithfully|truly)|sincerely|(?:kind|best|warm) regards|regards)\b,?\s*", re.IGNORECASE
)
_GREETING = re.compile(r"dear\s+(?P<name>[^,:\n]{2,60})", re.IGNORECASE)
_BETWEEN = re.compile(
    r"\bbetween\b[:\s]+(?P<one>.{2,120}?)(?:\s*\([^)]{0,60}\))?,?\s+and\s+(?P<other>.{2,120}?)(?=[(,.;\n])", re.S
)
_LAW = re.compile(r"\blaws?\s+of\s+(?:the\s+)?(?P<place>[A-Z][\w'-]+(?:\s+(?:and\s+)?[A-Z][\w'-]+){0,3})")
_EFFECTIVE = (r"effective date|commencement date|start date|dated",)
_ENTERED = re.compile(r"(?:entered into|made|effective|dated)\s+(?:on|as of)\s+", re.IGNORECASE)
_TITLE_WORDS = re.compile(r"invoice|receipt|tax invoice|sales receipt|report|page \d+", re.IGNORECASE)
# Names are looked for in the first so many lines.
_TOP_LINES = 12
# The parties of a contract stand in its first so many characters.
_PREAMBLE = 10_000
_CURRENCY = re.compile(rf"(?<![A-Za-z])(?:{'|'.join(CODES)})(?![A-Za-z])|[€$£¥]")
# What is left of the confidence in three sums that contradict each other.
_DISAGREES = 0.6


class RuleExtractor:
    """Reads the fields of one document."""

    def __init__(self, pages: Sequence[Page], entities: Sequence[Entity], settings: ExtractorSettings):
        self._layout = Layout(pages)
        self._labels = Labels(self._layout)
        self._entities = entities
        self._as_date = as_date(settings.slash_dates)

    def fields(self, kind: DocumentKind) -> AnyFields:
        """Return the fields of the kind; what is not found is null."""
        readers: dict[DocumentKind, Callable[[], AnyFields]] = {
            "invoice": self._invoice,
            "receipt": self._receipt,
            "letter": self._letter,
            "complaint": self._complaint,
            "report": self._report,
            "contract": self._contract,
        }
        return readers.get(kind, Other)()

    def _invoice(self) -> Invoice:
        value = self._labels.value
        buyer = value((r"bill(?:ed)? to|invoiced? to|sold to|buyer|customer(?! (?:no|number|id))|client",), as_text)
        subtotal = value((r"sub-?total|net (?:amount|total)|total (?:net|excl\w*)",), as_amount)
        tax, total = value(_TAX, as_amount, last=True), value(_TOTAL, as_amount, last=True)
        if subtotal and tax and total and subtotal.value + tax.value != total.value:
            # The three cannot all be read right.
            subtotal, tax, total = (_less_sure(found) for found in (subtotal, tax, total))
        return Invoice(
            number=value((r"invoice ?(?:number|no|nr|id|#)", r"invoice"), as_reference),
            date=value(_DATE, self._as_date),
            due_date=value((r"(?:payment )?due(?: date| by| on)?|pay(?:able)? by",), self._as_date),
            seller=value((r"from|seller|supplier|vendor|issued by",), as_text) or self._top_name(buyer),
            buyer=buyer,
            currency=self._currency(),
            subtotal=subtotal,
            tax=tax,
            total=total,
            iban=self._entity("iban"),
            line_items=line_items(self._labels),
        )

    def _receipt(self) -> Receipt:
        value = self._labels.value
        return Receipt(
            merchant=value((r"merchant|store|shop",), as_text) or self._top_name(None),
            date=value(_DATE, self._as_date) or self._date_after(None),
            currency=self._currency(),
            tax=value(_TAX, as_amount, last=True),
            total=value((*_TOTAL, r"amount paid|paid"), as_amount, last=True),
        )

    def _letter(self) -> Letter:
        sender, recipient = self._correspondents()
        return Letter(sender=sender, recipient=recipient, date=self._date(), subject=self._subject())

    def _complaint(self) -> Complaint:
        sender, recipient = self._correspondents()
        reference = self._labels.value((r"(?:order|reference|ref|case|invoice) ?(?:number|no|id)?",), as_reference)
        return Complaint(
            sender=sender,
            recipient=recipient,
            date=self._date(),
            subject=self._subject(),
            reference=reference or self._entity("reference"),
        )

    def _report(self) -> Report:
        author = self._labels.value((r"prepared by|written by|author(?:s|ed by)?|by",), as_text)
        return Report(title=self._title(), author=author, date=self._date())

    def _contract(self) -> Contract:
        text = self._layout.text
        between = _BETWEEN.search(text, 0, _PREAMBLE)
        parties = [self._name_in(*between.span(group)) for group in ("one", "other")] if between else []
        law = _LAW.search(text)
        place = self._labels.found(_flat(law["place"]), *law.span("place"), 0.9) if law else None
        effective = (
            self._labels.value(_EFFECTIVE, self._as_date) or self._date_after(_ENTERED) or self._date_after(None)
        )
        return Contract(title=self._title(), parties=parties, effective_date=effective, governing_law=place)

    def _correspondents(self) -> tuple[Found[str] | None, Found[str] | None]:
        """Return who writes and to whom: by labels, else by closing and greeting."""
        sender = self._labels.value((r"from|sender",), as_text) or self._signature()
        recipient = self._labels.value((r"to|recipient",), as_text)
        greeting = _GREETING.search(self._layout.text)
        if recipient is None and greeting:
            recipient = self._labels.found(greeting["name"].strip(), *greeting.span("name"), 0.9)
        return sender, recipient

    def _signature(self) -> Found[str] | None:
        """Return the line below the last closing."""
        text = self._layout.text
        found = None
        for closing in _CLOSING.finditer(text):
            end = text.find("\n", closing.end())
            end = len(text) if end < 0 else end
            if text[closing.end() : end].strip():
                found = self._labels.found(_flat(text[closing.end() : end]), closing.end(), end, 0.9)
        return found

    def _subject(self) -> Found[str] | None:
        return self._labels.value((r"subject|re|regarding|concerning",), as_text)

    def _date(self) -> Found[datetime.date] | None:
        return self._labels.value(_DATE, self._as_date) or self._date_after(None)

    def _date_after(self, words: "re.Pattern[str] | None") -> Found[datetime.date] | None:
        """Return the first date, or the one right behind `words`."""
        text = self._layout.text
        found = words.search(text) if words else None
        start = found.end() if found else 0
        if words and not found:
            return None
        read = self._as_date(text[start : start + 40] if found else text)
        return self._labels.found(read[0], start + read[1], start + read[2], 0.9 if found else USUAL) if read else None

    def _title(self) -> Found[str] | None:
        """Return the highest line among the first of the first page; of equal ones the first."""
        first = [line for line in self._layout.lines if line[0].page == 1][:_TOP_LINES]
        if not first:
            return None
        highest = max(_height(line) for line in first)
        line = next(line for line in first if _height(line) > 0.9 * highest)
        text = _flat(self._layout.text[line[0].start : line[-1].end])
        return self._labels.found(text, line[0].start, line[-1].end, 0.9)

    def _top_name(self, other: Found[str] | None) -> Found[str] | None:
        """Return the first organisation or person among the first lines that is not `other`; else their first words."""
        first = [cell for line in self._layout.lines[:_TOP_LINES] for cell in line if cell.page == 1]
        for entity in self._entities:
            if entity.kind in ("organisation", "person") and entity.page == 1:
                cell = next((cell for cell in first if cell.start <= entity.start < cell.end), None)
                if cell and (other is None or other.value != self._layout.of(cell)):
                    return self._labels.found(*self._whole(cell, entity), USUAL + 0.15)
        for cell in first:
            text = self._layout.of(cell)
            if not _TITLE_WORDS.match(text):
                return self._labels.found(text, cell.start, cell.end, USUAL)
        return None

    def _whole(self, cell: Cell, entity: Entity) -> tuple[str, int, int]:
        """Return the cell around a name when the name is most of it, else the name."""
        text = self._layout.of(cell)
        if len(entity.text) > len(text) / 2:
            return text, cell.start, cell.end
        return entity.text, entity.start, entity.start + len(entity.text)

    def _name_in(self, start: int, end: int) -> Found[str]:
        """Return the first name in text[start:end], else all of it."""
        for entity in self._entities:
            if entity.kind in ("organisation", "person") and start <= entity.start < end:
                return self._labels.found(entity.text, entity.start, entity.start + len(entity.text), 0.9)
        return self._labels.found(_flat(self._layout.text[start:end]), start, end, USUAL)

    def _entity(self, kind: EntityKind) -> Found[str] | None:
        """Return the first entity of a kind."""
        for entity in self._entities:
            if entity.kind == kind:
                value = entity.value or entity.text
                return Found(value=value, confidence=entity.confidence, page=entity.page, box=entity.box)
        return None

    def _currency(self) -> Found[str] | None:
        """Return the currency that is written most often."""
        found = list(_CURRENCY.finditer(self._layout.text))
        if not found:
            return None
        codes = [SYMBOLS.get(match[0], match[0]) for match in found]
        most = max(dict.fromkeys(codes), key=codes.count)
        place = found[codes.index(most)]
        return self._labels.found(most, *place.span(), codes.count(most) / len(codes))


def _less_sure(found: Found[Decimal]) -> Found[Decimal]:
    return found.model_copy(update={"confidence": round(found.confidence * _DISAGREES, 3)})


def _height(line: Sequence[Cell]) -> float:
    return max(cell.box[3] - cell.box[1] for cell in line)


def _flat(text: str) -> str:
    return " ".join(text.split())
