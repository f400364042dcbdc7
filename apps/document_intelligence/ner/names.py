"""Persons, organisations and places without a trained tagger: candidates by form, kinds by nearness to examples.

A candidate is a run of capitalised words. Words beside it or in it decide alone where they can (Ltd, Bakery; Mr,
"Dear"). For the rest the encoder compares it with examples of each kind, and of what is capitalised and no name
(labels of forms, headings, goods): a softmax over the nearness to the nearest three of each kind is the confidence.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from apps.document_intelligence.ner.entities import EntityKind, Span

if TYPE_CHECKING:
    from apps.common.onnx_text import Embedder, Vectors

_EXAMPLES: dict[EntityKind | None, tuple[str, ...]] = {
    "person": (
        *("Maria Garcia", "John Smith", "Anna Kowalska", "Peter Müller", "Wei Zhang", "Priya Sharma", "Ahmed Hassan"),
        *("Olga Ivanova", "James O'Connor", "Sofie Larsen", "Grace Adeyemi", "Lucas Dubois", "Emily Clark"),
    ),
    "organisation": (
        *("Acme Industries", "Northwind Traders", "Bright Consulting Group", "Harbour Logistics", "City Hospital"),
        *("State University", "Delta Software Solutions", "Green Energy Partners", "First National Bank"),
        *("Ministry of Finance", "Summit Metalworks", "Silver Catering", "Oak & Sons", "Atlantic Freight"),
        *("Vertex Analytics", "Blue River Supplies", "Riverside Market", "Golden Bakery", "Corner Cafe"),
    ),
    "place": (
        *("Berlin", "Chicago", "Munich", "Kingdom of Spain", "Sydney", "South Africa", "Tokyo", "Manchester"),
        *("Netherlands", "Lyon", "Warsaw", "Lake District", "New York", "County of Kent", "Springfield", "Ashford"),
    ),
    None: (
        *("Invoice Number", "Payment Terms", "Dear Sir or Madam", "Total Amount Due", "Best Regards", "Annual Report"),
        *("Description", "Quarterly Results", "Executive Summary", "Service Agreement", "Bill To", "Unit Price"),
        *("Monday", "March", "Thank You", "Product", "Quantity", "Delivery Date", "Customer Service", "Subject"),
        *("Steel Bracket", "Office Chair", "Printer Cartridge", "Cordless Drill", "Confidentiality", "Governing Law"),
        *("Key Findings", "Introduction", "The Supplier", "The Client", "Term and Termination", "Bank Transfer"),
        *("Yours Sincerely", "Cash", "Change", "Subtotal", "Sales", "Revenue", "Customers", "Recommendations"),
        *("Harbour Road", "High Street", "Main Street 12", "Mill Lane", "Espresso", "Sandwich", "Notebook", "Training"),
    ),
}
_LEGAL_FORM = re.compile(
    r"\b(?:GmbH|AG|KG|SE|Ltd|Limited|LLC|LLP|Inc|Incorporated|Corp|Corporation|PLC|B\.?V|N\.?V|S\.?A|SAS|SARL|SpA"
    r"|Oyj?|AB|ASA?|ApS|Pty|Co)\.?$"
)
# Nouns that end the names of houses, as legal forms do, only less surely.
_HOUSE = re.compile(
    r"\w (?:Agency|Airlines|Bakery|Bank|Books|Brothers|Cafe|Catering|Clinic|College|Consulting|Council|Foods"
    r"|Foundation|Freight|Group|Holdings?|Hospital|Hotel|House|Industries|Institute|Insurance"
    r"|Laborator(?:y|ies)|Logistics|Market|Ministry|Museum|Partners|Pharmacy|Press|Restaurant|School|Services|Solutions"
    r"|Stores?|Supplies|Systems|Technologies|Union|University|Utilities|Works)$"
)
# What stands right before a person.
_BEFORE_PERSON = re.compile(
    r"(?:\bdear|\b(?:prepared|written|signed|approved) by|\b(?:author|attn|attention|contact|cashier)|\bc/o"
    r"|\b(?:sincerely|faithfully|truly|regards|wishes),?)[:.\s]*$",
    re.IGNORECASE,
)
_TITLE = re.compile(r"^(?:Mr|Mrs|Ms|Miss|Dr|Prof|Professor|Sir|Madam)\b\.?\s")
# An initial or abbreviation keeps its mark; the end of a sentence is none.
_WORD = r"(?:[A-Z]\.){1,3}|(?:Dr|Mr|Mrs|Ms|Prof|St|Co|Inc|Ltd|Corp)\.|[A-Z][\w'&-]*\w|[A-Z]"
_CANDIDATE = re.compile(rf"(?<![\w@.])(?:{_WORD})(?: (?:(?:of|the|de|van|von|der|&) )?(?:{_WORD})){{0,5}}")
# A number of a street at the end, or before, says that the run is an address.
_NUMBER_BESIDE = re.compile(r"\d{1,5}[a-z]? $")
_STREET = re.compile(r"\b(?:Street|Road|Lane|Avenue|Square|Way|Row|Court|Drive|Close)\b")
_GREETING = re.compile(r"^(?:Dear|Hello|Hi)\s+")
# How many different names of a document are compared; what comes after them is no candidate.
_CANDIDATES = 600
_NEAREST = 3
_TEMPERATURE = 0.045
_BY_FORM, _BY_HOUSE = 0.95, 0.85


class ZeroShotNames:
    """Finds names with an encoder that was never trained for it."""

    def __init__(self, embedder: "Embedder"):
        import numpy as np

        self._embedder = embedder
        self._kinds = list(_EXAMPLES)
        self._owners = np.array([number for number, kind in enumerate(_EXAMPLES) for _ in _EXAMPLES[kind]])
        self._examples = embedder.embed([example for examples in _EXAMPLES.values() for example in examples])

    def spans(self, text: str) -> list[Span]:
        """Return the names in `text` (any length) with a confidence each."""
        candidates = list(candidates_of(text))
        formed = [by_form(text, start, end) for start, end in candidates]
        names = (text[start:end] for (start, end), form in zip(candidates, formed, strict=True) if form is None)
        unknown = list(dict.fromkeys(names))[:_CANDIDATES]
        scored = dict(zip(unknown, self._scores(unknown), strict=True))
        found = []
        for (start, end), form in zip(candidates, formed, strict=True):
            kind, confidence = form or scored.get(text[start:end], (None, 0.0))
            if kind is not None:
                found.append(Span(start, end, kind, round(confidence, 3), text[start:end]))
        return found

    def _scores(self, names: list[str]) -> list[tuple[EntityKind | None, float]]:
        import numpy as np

        if not names:
            return []
        near: Vectors = (
            self._embedder.embed([name.title() if name.isupper() else name for name in names]) @ self._examples.T
        )
        best = np.stack(
            [np.sort(near[:, self._owners == kind], axis=1)[:, -_NEAREST:].mean(1) for kind in range(len(self._kinds))],
            1,
        )
        shares = np.exp((best - best.max(1, keepdims=True)) / _TEMPERATURE)
        shares /= shares.sum(1, keepdims=True)
        return [(self._kinds[int(row.argmax())], float(row.max())) for row in shares]


def by_form(text: str, start: int, end: int) -> tuple[EntityKind, float] | None:
    """Return the kind that the words of a candidate and before it decide alone, and how sure they are."""
    name = text[start:end]
    if _LEGAL_FORM.search(name):
        return "organisation", _BY_FORM
    if _TITLE.match(name) or _BEFORE_PERSON.search(text[max(0, start - 30) : start]):
        return "person", _BY_FORM
    if _HOUSE.search(name):
        return "organisation", _BY_HOUSE
    return None


def candidates_of(text: str) -> Iterator[tuple[int, int]]:
    """Yield the runs of capitalised words that may be names."""
    for match in _CANDIDATE.finditer(text):
        start, end = match.span()
        name = match[0]
        greeting = _GREETING.match(name)
        if greeting:
            start += greeting.end()
            name = name[greeting.end() :]
        if name.endswith(".") and not _LEGAL_FORM.search(name):
            name, end = name[:-1], end - 1
        is_address = _NUMBER_BESIDE.search(text[max(0, start - 8) : start]) or _STREET.search(name)
        if len(name) > 2 and not is_address:
            yield start, end
