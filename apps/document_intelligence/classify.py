"""The kind of a document: nearness to descriptions of each kind, and words that are typical of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from apps.document_intelligence.pages import Layout, Page
from apps.document_intelligence.settings import ClassifierSettings

if TYPE_CHECKING:
    from apps.common.onnx_text import Embedder

DocumentKind = Literal["invoice", "receipt", "letter", "complaint", "report", "contract", "other"]

_DESCRIPTIONS: dict[DocumentKind, tuple[str, ...]] = {
    "invoice": (
        "An invoice with an invoice number, a due date, bill to, line items, VAT and the total amount due.",
        "Please pay the total of this bill to our bank account within 30 days. Payment terms, IBAN.",
        "Invoice. Description, quantity, unit price, amount, subtotal, tax, total due.",
    ),
    "receipt": (
        "A receipt of a shop or cafe: items bought, total paid in cash or by card, change, thank you for your visit.",
        "Sales receipt. Cashier, card payment approved, items, total paid. Thank you, please come again.",
    ),
    "letter": (
        "A letter: Dear Mr Smith, I am writing to tell you about our meeting. Yours sincerely.",
        "A friendly business letter with thanks, an invitation or news. Kind regards.",
        "Dear Ms Brown, thank you for your visit. We look forward to seeing you again. Yours sincerely.",
    ),
    "complaint": (
        "A complaint: I am very disappointed, the product arrived damaged and I demand a refund.",
        "A letter of complaint about poor service, a late delivery or a broken item. I expect a replacement.",
    ),
    "report": (
        "A report with an executive summary, findings, results and recommendations.",
        "Annual or quarterly report: introduction, method, key figures, growth of revenue, conclusion.",
    ),
    "contract": (
        "A contract between two parties: term, termination, confidentiality, liability, governing law, signatures.",
        "This agreement is entered into by and between the supplier and the client. The parties agree as follows.",
    ),
    "other": (
        "A short note, a recipe, a list or a text of another kind.",
        "Manual, story, menu, poem, source code, shopping list, lecture notes.",
    ),
}
_CUES: dict[DocumentKind, str] = {
    "invoice": r"\binvoice\b|\binvoice (?:number|date)|\bbill to\b|\b(?:total|amount) due\b|\bdue date|\bunit price",
    "receipt": r"\breceipt\b|\bcashier\b|\bchange\b|\bpaid\b|\bcard ending\b|\bthank you for (?:your visit|shopping)\b",
    "letter": r"\bdear\b|\byours (?:sincerely|faithfully)|\b(?:kind|best) regards\b|\b(?:subject|re):|\bthank you\b",
    "complaint": r"\bcomplaint|\bdisappoint|\brefund|\breplacement|\bdamaged|\bunacceptable|\bfaulty|\bdefective",
    "report": r"\breport\b|\bexecutive summary\b|\bfindings\b|\brecommendations?\b|\bconclusions?\b|\bmethodology\b",
    "contract": r"\bagreement|\bcontract|\bgoverning law|\btermination|\bhereinafter|\bparties|\bconfidential",
}
_CUES_FOR_ALL = 4
# The beginning says what it is: so much of it is read, in pieces that the encoder takes whole.
_READ, _PIECE = 3000, 750


@dataclass(frozen=True, slots=True)
class Kind:
    """The kind of a document and the probability of each."""

    kind: DocumentKind
    confidence: float
    scores: dict[DocumentKind, float]


class KindClassifier:
    """Compares documents with the descriptions."""

    def __init__(self, embedder: "Embedder"):
        self._embedder = embedder
        self.settings = ClassifierSettings()
        self._kinds = get_args(DocumentKind)
        self._descriptions = {kind: embedder.embed(_DESCRIPTIONS[kind]) for kind in self._kinds}
        self._cues = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in _CUES.items()}

    def classify(self, pages: Sequence[Page]) -> Kind:
        """Return the kind; `other` with the confidence 1 - the best when no kind is likely enough."""
        import numpy as np

        settings = self.settings
        text = Layout(beginning(pages)).text[:_READ]
        if not text:
            return Kind("other", 1.0, dict.fromkeys(self._kinds, 0.0) | {"other": 1.0})
        vectors = self._embedder.embed([text[start : start + _PIECE] for start in range(0, len(text), _PIECE)])
        near = [float((vectors @ self._descriptions[kind].T).max(1).mean()) for kind in self._kinds]
        words = [self._cue(kind, text) for kind in self._kinds]
        scores = np.array(near) + settings.cue_weight * np.array(words)
        shares = np.exp((scores - scores.max()) / settings.temperature)
        shares /= shares.sum()
        named = {kind: round(float(share), 4) for kind, share in zip(self._kinds, shares, strict=True)}
        best: DocumentKind = max(named, key=lambda kind: named[kind])
        if named[best] < settings.least_confidence:
            return Kind("other", round(1 - named[best], 4), named)
        return Kind(best, named[best], named)

    def _cue(self, kind: DocumentKind, text: str) -> float:
        """Return how many of the cues of a kind are there, 0 to 1."""
        if kind not in self._cues:
            return 0.0
        return min(1.0, len({found.lower() for found in self._cues[kind].findall(text)}) / _CUES_FOR_ALL)


def beginning(pages: Sequence[Page]) -> list[Page]:
    """Return the first pages, as many as are read."""
    few: list[Page] = []
    for page in pages:
        if sum(each.characters for each in few) > _READ:
            break
        few.append(page)
    return few
