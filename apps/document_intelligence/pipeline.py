"""The order of the steps, whatever runs them: deployments behind handles or objects of one process."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from apps.common.deadline import Clock, Deadline
from apps.document_intelligence.classify import DocumentKind, Kind
from apps.document_intelligence.ner.entities import Entity
from apps.document_intelligence.pages import MediaType, Opened, Page
from apps.document_intelligence.reading.bounds import too_many_characters
from apps.document_intelligence.reading.sandbox import as_error
from apps.document_intelligence.schema import AnyFields
from apps.document_intelligence.settings import IngressSettings


class Steps(Protocol):
    """What the pipeline is made of. Every step may raise PipelineError."""

    async def open(self, content: bytes, media_type: MediaType, first: int) -> Opened:
        """Read the text layers from page `first` on, for a while."""

    async def page(self, content: bytes, media_type: MediaType, number: int) -> Page:
        """Read one page by OCR."""

    async def entities(self, pages: Sequence[Page]) -> list[Entity]:
        """Find the entities."""

    async def classify(self, pages: Sequence[Page]) -> Kind:
        """Tell the kind."""

    async def extract(
        self, kind: DocumentKind, pages: Sequence[Page], entities: Sequence[Entity], timeout_s: float
    ) -> AnyFields:
        """Read the fields of the kind."""

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""


@dataclass(frozen=True, slots=True)
class Document:
    """All that was found in a document."""

    pages: list[Page]
    kind: Kind
    entities: list[Entity]
    fields: AnyFields


class Pipeline:
    """Reads documents over `steps`, each within a deadline.

    Args:
        characters: the most that a document may have, over all its slices and pages.
    """

    def __init__(self, steps: Steps, characters: int = 400_000, settings: IngressSettings | None = None):
        self._steps = steps
        self._characters = characters
        self.settings = settings or IngressSettings()

    async def read(self, content: bytes, media_type: MediaType, deadline: Deadline, clock: Clock) -> Document:
        """Return what is in a document; entities and kind are found at the same time.

        Raises:
            PipelineError: 422, the document cannot be read.
            TimeoutError: the deadline passed; the work on all pages stops.
        """
        async with deadline.scope():
            pages = await self._pages(content, media_type, clock)
            entities, kind = await together(self._steps.entities(pages), self._steps.classify(pages))
            clock.lap("understand")
            fields = await self._steps.extract(kind.kind, pages, entities, deadline.remaining())
            clock.lap("extract")
        return Document(pages, kind, entities, fields)

    async def _pages(self, content: bytes, media_type: MediaType, clock: Clock) -> list[Page]:
        """Return all pages in order: text layers slice by slice, then scanned pages, some at a time."""
        pages: list[Page] = []
        scanned: list[int] = []
        first: int | None = 1
        while first is not None:
            opened = await self._steps.open(content, media_type, first)
            pages += opened.pages
            scanned += opened.scanned
            self._check(pages)
            first = opened.next
        clock.lap("open")
        waiting = iter(scanned)

        async def work() -> None:
            for number in waiting:
                pages.append(await self._steps.page(content, media_type, number))
                self._check(pages)

        # So many workers as pages may be in flight; each takes the next page when it is done with one.
        await together(*(work() for _ in range(min(self._at_once(len(content)), len(scanned)))))
        clock.lap("ocr")
        return sorted(pages, key=lambda page: page.number)

    def _at_once(self, size: int) -> int:
        """Return how many pages of `size` bytes of document are read at once: each call carries the whole."""
        return max(1, min(self.settings.pages_in_flight, self.settings.bytes_in_flight // max(1, size)))

    def _check(self, pages: Sequence[Page]) -> None:
        if sum(page.characters for page in pages) > self._characters:
            raise as_error(too_many_characters(self._characters))

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each part."""
        return await self._steps.ready(timeout_s)


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Return the results of all in order; the first failure cancels the others and is raised as it is."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
