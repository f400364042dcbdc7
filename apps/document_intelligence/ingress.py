"""The HTTP interface: FastAPI routes over a Pipeline."""

import asyncio
import time
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response
from starlette.types import ASGIApp

from apps.common import handlers
from apps.common.deadline import Clock
from apps.common.guard import log_request
from apps.common.http import Front, Responses, while_connected
from apps.common.settings import LimitArgs
from apps.document_intelligence import api
from apps.document_intelligence.pages import MEDIA_TYPES, MediaType, Page
from apps.document_intelligence.pipeline import Document, Pipeline

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES},
    }
}


class Endpoints:
    """One method per operation."""

    def __init__(self, pipeline: Pipeline, front: Front):
        self._pipeline = pipeline
        self._front = front

    def router(self) -> APIRouter:
        """Return the routes with what OpenAPI says about them."""
        routes = APIRouter()
        answers: Responses = {**handlers.ERROR_RESPONSES, 200: {"model": api.DocumentAnswer}}
        routes.add_api_route(
            "/documents",
            self.documents,
            methods=["POST"],
            response_model=None,
            responses=answers,
            openapi_extra=_BODY,
        )
        return routes

    async def documents(self, query: Annotated[api.DocumentQuery, Query()], request: Request) -> Response:
        """Read one document: its kind, the fields of that kind, its entities, each with a confidence, page and box.

        The body is the file itself: application/pdf, image/png or text/plain in UTF-8.
        """
        started, clock = time.monotonic(), Clock()
        settings = self._pipeline.settings
        media_type = cast("MediaType", request.headers["content-type"].partition(";")[0].strip().lower())
        content = await request.body()
        deadline = self._front.deadline(request, query.timeout_s)
        document = await while_connected(request, self._pipeline.read(content, media_type, deadline, clock))
        request_id: str = request.state.request_id
        facts = {"settings": api.Settings(**settings.model_dump()), "request_id": request_id, "name": query.name}
        body = await asyncio.to_thread(_answer, document, {**facts, "timings_ms": clock.taken})
        log_request(
            request_id,
            "document",
            started,
            type=media_type,
            bytes=len(content),
            pages=len(document.pages),
            ocr=sum(page.source == "ocr" for page in document.pages),
            kind=document.kind.kind,
            entities=len(document.entities),
        )
        return Response(body, media_type="application/json")


def _answer(document: Document, facts: dict[str, Any]) -> str:
    """Return the JSON of the answer."""
    kind = document.kind
    return api.DocumentAnswer(
        document=api.KindAnswer(kind=kind.kind, confidence=kind.confidence, scores=kind.scores),
        fields=document.fields,
        entities=[
            api.EntityAnswer(
                kind=entity.kind,
                text=entity.text,
                value=entity.value,
                confidence=entity.confidence,
                page=entity.page,
                box=entity.box,
                source=entity.source,
            )
            for entity in document.entities
        ],
        pages=[_page(page) for page in document.pages],
        **facts,
    ).model_dump_json()


def _page(page: Page) -> api.PageAnswer:
    read = page.source == "ocr" and page.confidences
    return api.PageAnswer(
        page=page.number,
        width=page.width,
        height=page.height,
        source=page.source,
        characters=page.characters,
        ocr_confidence=round(sum(page.confidences) / len(page.confidences), 3) if read else None,
    )


def build_asgi(pipeline: Pipeline, limits: LimitArgs, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""
    about = "Typed fields, entities and the kind of PDF, PNG and text documents."
    front = Front(
        "Document intelligence", about, limits, lambda: pipeline.settings, pipeline.ready, media_types=MEDIA_TYPES
    )
    return front.asgi(Endpoints(pipeline, front).router(), echo_request_id=echo_request_id)
