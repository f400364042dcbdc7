"""The deployments. Each replica imports what it needs when it starts, so that every process stays small."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from apps.common.gate import ProxyGate
from apps.common.serving import IngressReplica, Replica, deployment, late_ingress
from apps.common.settings import EmbedderArgs, LimitArgs
from apps.document_intelligence.pages import MediaType, Opened, Page
from apps.document_intelligence.pipeline import Pipeline
from apps.document_intelligence.settings import (
    ClassifierSettings,
    ExtractorArgs,
    ExtractorSettings,
    IngressSettings,
    NerArgs,
    NerSettings,
    ReaderArgs,
)
from apps.document_intelligence.steps import HandleSteps

if TYPE_CHECKING:
    from apps.document_intelligence.classify import DocumentKind, Kind
    from apps.document_intelligence.ner.entities import Entity
    from apps.document_intelligence.schema import AnyFields


class OcrReplica(Replica):
    """Opens documents and reads pages, each call in a process of its own; cancelling a call ends its process."""

    def __init__(self, args: ReaderArgs):
        from apps.document_intelligence.reading.sandbox import Reader

        self._reader = Reader(args)
        self._reader.prove()

    async def open(self, content: bytes, media_type: MediaType, first: int) -> Opened:
        """Return the text layers from page `first` on, and which pages need OCR."""
        return await self._reader.open(content, media_type, first)

    async def page(self, content: bytes, media_type: MediaType, number: int) -> Page:
        """Return one page, read by OCR."""
        return await self._reader.page(content, media_type, number)


class NerReplica(Replica):
    """Finds entities."""

    live = NerSettings

    def __init__(self, args: NerArgs, models: Path):
        with ProxyGate.around_loading():
            from apps.document_intelligence.ner.finder import make_finder

            self._finder = make_finder(args, models)

    def configure(self, settings: NerSettings) -> None:
        """Take live settings."""
        self._finder.settings = settings

    async def find(self, pages: Sequence[Page]) -> "list[Entity]":
        """Return the entities in reading order."""
        return await asyncio.to_thread(self._finder.find, pages)


class ClassifierReplica(Replica):
    """Tells kinds of documents."""

    live = ClassifierSettings

    def __init__(self, args: EmbedderArgs, models: Path):
        from apps.common.onnx_text import Embedder
        from apps.document_intelligence.classify import KindClassifier

        self._classifier = KindClassifier(Embedder(models / args.model, args.threads, args.max_tokens, args.device))

    def configure(self, settings: ClassifierSettings) -> None:
        """Take live settings."""
        self._classifier.settings = settings

    async def classify(self, pages: Sequence[Page]) -> "Kind":
        """Return the kind and the probability of each."""
        return await asyncio.to_thread(self._classifier.classify, pages)


class ExtractorReplica(Replica):
    """Reads the fields of a kind."""

    live = ExtractorSettings

    def __init__(self, args: ExtractorArgs):
        from apps.document_intelligence.extract.extractor import make_extractor

        self._extractor = make_extractor(args)

    def configure(self, settings: ExtractorSettings) -> None:
        """Take live settings."""
        self._extractor.settings = settings

    async def extract(
        self, kind: "DocumentKind", pages: Sequence[Page], entities: "Sequence[Entity]", timeout_s: float
    ) -> "AnyFields":
        """Return the fields within `timeout_s` seconds."""
        return await self._extractor.extract(kind, pages, entities, timeout_s)


class DocumentIngress(IngressReplica):
    """HTTP in front of the pipeline; without Serve's wrapping, so that it can be used with any steps."""

    live = IngressSettings

    def __init__(self, limits: LimitArgs, characters: int, ocr: Any, ner: Any, classifier: Any, extractor: Any):
        self.limits = limits
        self.pipeline = Pipeline(HandleSteps(ocr, ner, classifier, extractor), characters)

    def configure(self, settings: IngressSettings) -> None:
        """Take live settings."""
        self.pipeline.settings = settings

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.document_intelligence.ingress import build_asgi

        return build_asgi(self.pipeline, self.limits, echo_request_id)


Ocr = deployment(name="Ocr")(OcrReplica)
Ner = deployment(name="Ner")(NerReplica)
Classifier = deployment(name="Classifier")(ClassifierReplica)
Extractor = deployment(name="Extractor")(ExtractorReplica)
Ingress = deployment(name="Ingress")(late_ingress(DocumentIngress))
