"""All entities of a document: rules first, names where the rules found nothing, each with its place."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from apps.document_intelligence.ner.entities import Entity, Span
from apps.document_intelligence.ner.rules import spans as spans_by_rule
from apps.document_intelligence.pages import Layout, Page
from apps.document_intelligence.settings import NerArgs, NerSettings


class Names(Protocol):
    """Finds persons, organisations and places."""

    def spans(self, text: str) -> list[Span]:
        """Return them in order."""


class EntityFinder:
    """Finds the entities of documents."""

    def __init__(self, names: Names):
        self._names = names
        self.settings = NerSettings()

    def find(self, pages: Sequence[Page]) -> list[Entity]:
        """Return the entities in reading order; the confidence counts how sure the words were read."""
        layout = Layout(pages)
        ruled = spans_by_rule(layout.text)
        taken = bytearray(len(layout.text))
        for span in ruled:
            taken[span.start : span.end] = b"\x01" * (span.end - span.start)
        named = [span for span in self._names.spans(layout.text) if not any(taken[span.start : span.end])]
        found = []
        for span in sorted([*ruled, *named], key=lambda span: span.start):
            place = layout.place(span.start, span.end)
            confidence = place.sure(span.confidence)
            if confidence >= self.settings.least_confidence:
                text = layout.text[span.start : span.end].replace("\t", " ").replace("\n", " ")
                found.append(
                    Entity(span.kind, text, span.value, confidence, place.page, place.box, place.source, span.start)
                )
        return found


def make_finder(args: NerArgs, models: Path) -> EntityFinder:
    """Return the finder that `args` names."""
    if args.kind == "transformer":
        from apps.document_intelligence.ner.transformer import TransformerNames

        return EntityFinder(TransformerNames(models / args.model, args.threads, args.device))
    from apps.common.onnx_text import Embedder
    from apps.document_intelligence.ner.names import ZeroShotNames

    encoder = args.embedder
    return EntityFinder(
        ZeroShotNames(Embedder(models / encoder.model, encoder.threads, encoder.max_tokens, encoder.device))
    )
