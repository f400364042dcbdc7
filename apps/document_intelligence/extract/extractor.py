"""The backends of the Extractor."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from apps.document_intelligence.classify import DocumentKind
from apps.document_intelligence.ner.entities import Entity
from apps.document_intelligence.pages import Page
from apps.document_intelligence.schema import AnyFields
from apps.document_intelligence.settings import ExtractorArgs, ExtractorSettings


class Extractor(Protocol):
    """Reads the fields of documents."""

    settings: ExtractorSettings

    async def extract(
        self, kind: DocumentKind, pages: Sequence[Page], entities: Sequence[Entity], timeout_s: float
    ) -> AnyFields:
        """Return the fields of the kind, within `timeout_s` seconds."""


class ByRules:
    """Labels and tables (extract.rules)."""

    def __init__(self) -> None:
        self.settings = ExtractorSettings()

    async def extract(
        self,
        kind: DocumentKind,
        pages: Sequence[Page],
        entities: Sequence[Entity],
        timeout_s: float,  # noqa: ARG002
    ) -> AnyFields:
        """Read the fields in a thread."""
        from apps.document_intelligence.extract.rules import RuleExtractor

        settings = self.settings
        return await asyncio.to_thread(lambda: RuleExtractor(pages, entities, settings).fields(kind))


def make_extractor(args: ExtractorArgs) -> Extractor:
    """Return the extractor that `args` names."""
    if args.kind == "rules":
        return ByRules()
    from apps.document_intelligence.extract.model import ByModel

    if args.kind == "vllm":
        from apps.document_intelligence.extract.vllm import VllmModel

        return ByModel(args, VllmModel(args))
    from apps.document_intelligence.extract.openai import OpenAIModel

    return ByModel(args, OpenAIModel(args))
