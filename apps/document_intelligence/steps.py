"""The steps of the pipeline behind Serve handles, and the same in one process."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from apps.common.calls import call, readiness
from apps.document_intelligence.classify import DocumentKind, Kind, beginning
from apps.document_intelligence.ner.entities import Entity
from apps.document_intelligence.pages import MediaType, Opened, Page
from apps.document_intelligence.schema import AnyFields

if TYPE_CHECKING:
    from apps.document_intelligence.classify import KindClassifier
    from apps.document_intelligence.extract.extractor import Extractor
    from apps.document_intelligence.ner.finder import EntityFinder
    from apps.document_intelligence.reading.sandbox import Reader


@dataclass(frozen=True, slots=True)
class HandleSteps:
    """Steps as deployments of one Serve application; each field is a DeploymentHandle."""

    ocr: Any
    ner: Any
    classifier: Any
    extractor: Any

    async def open(self, content: bytes, media_type: MediaType, first: int) -> Opened:
        """Ask the Ocr."""
        opened: Opened = await call(self.ocr.open.remote, content, media_type, first)
        return opened

    async def page(self, content: bytes, media_type: MediaType, number: int) -> Page:
        """Ask the Ocr."""
        page: Page = await call(self.ocr.page.remote, content, media_type, number)
        return page

    async def entities(self, pages: Sequence[Page]) -> list[Entity]:
        """Ask the Ner."""
        found: list[Entity] = await call(self.ner.find.remote, pages)
        return found

    async def classify(self, pages: Sequence[Page]) -> Kind:
        """Ask the Classifier, which reads the beginning only."""
        kind: Kind = await call(self.classifier.classify.remote, beginning(pages))
        return kind

    async def extract(
        self, kind: DocumentKind, pages: Sequence[Page], entities: Sequence[Entity], timeout_s: float
    ) -> AnyFields:
        """Ask the Extractor."""
        found: AnyFields = await call(self.extractor.extract.remote, kind, pages, entities, timeout_s)
        return found

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Ask every deployment."""
        return await readiness({field.name: getattr(self, field.name) for field in fields(self)}, timeout_s)


@dataclass(frozen=True, slots=True)
class LocalSteps:
    """The same steps as plain objects of one process: for the check of the image and for tests."""

    reader: "Reader"
    finder: "EntityFinder"
    classifier: "KindClassifier"
    extractor: "Extractor"

    async def open(self, content: bytes, media_type: MediaType, first: int) -> Opened:
        """Open here."""
        return await self.reader.open(content, media_type, first)

    async def page(self, content: bytes, media_type: MediaType, number: int) -> Page:
        """Read here."""
        return await self.reader.page(content, media_type, number)

    async def entities(self, pages: Sequence[Page]) -> list[Entity]:
        """Find here."""
        return self.finder.find(pages)

    async def classify(self, pages: Sequence[Page]) -> Kind:
        """Tell here."""
        return self.classifier.classify(pages)

    async def extract(
        self, kind: DocumentKind, pages: Sequence[Page], entities: Sequence[Entity], timeout_s: float
    ) -> AnyFields:
        """Extract here."""
        return await self.extractor.extract(kind, pages, entities, timeout_s)

    async def ready(self, timeout_s: float) -> dict[str, str]:  # noqa: ARG002
        """Everything is here."""
        return {}
