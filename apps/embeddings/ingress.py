"""The HTTP interface: FastAPI routes over the Service."""

import asyncio
import base64
import json
import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from apps.common import handlers
from apps.common.guard import log_request
from apps.common.http import Front, Responses, while_connected
from apps.common.openai.api import as_items
from apps.common.openai.errors import OpenAIErrors
from apps.common.settings import LimitArgs
from apps.embeddings import api
from apps.embeddings.service import Service
from apps.embeddings.zero_shot import Label

if TYPE_CHECKING:
    from apps.embeddings.encoder import Embedded


class Endpoints:
    """One method per operation."""

    def __init__(self, service: Service, front: Front):
        self._service = service
        self._front = front

    def router(self) -> APIRouter:
        """Return the routes with what OpenAPI says about them."""
        routes = APIRouter()
        unknown: Responses = {404: {**handlers.ERROR_RESPONSES[422], "description": "there is no such model"}}
        errors: Responses = {**handlers.ERROR_RESPONSES, **unknown}
        embedded: Responses = {200: {"model": api.EmbeddingsAnswer}}
        routes.add_api_route(
            "/v1/embeddings", self.embeddings, methods=["POST"], response_model=None, responses={**errors, **embedded}
        )
        routes.add_api_route("/v1/models", self.models, methods=["GET"], response_model=api.ModelsAnswer)
        routes.add_api_route(
            "/v1/models/{name:path}", self.model, methods=["GET"], response_model=api.ModelOut, responses=unknown
        )
        classified: Responses = {200: {"model": api.ClassifyAnswer}}
        routes.add_api_route(
            "/classify",
            self.classify,
            methods=["POST"],
            response_model=None,
            responses={**handlers.ERROR_RESPONSES, **classified},
        )
        return routes

    async def embeddings(self, body: api.EmbeddingsRequest, request: Request) -> Response:
        """Embed texts or token ids."""
        started, deadline = time.monotonic(), self._front.deadline(request, body.timeout_s)
        inputs = as_items(body.input)
        work = self._service.embed(body.model, inputs, body.dimensions, deadline)
        found = await while_connected(request, work)
        name = self._service.model(body.model)
        # Half a million numbers take a second to write: not on the loop that all requests share.
        content = await asyncio.to_thread(embeddings_json, found, name, body.encoding_format)
        log_request(
            request.state.request_id, "embeddings", started, model=name, inputs=len(inputs), tokens=found.tokens
        )
        return Response(content, media_type="application/json")

    async def models(self) -> api.ModelsAnswer:
        """List the models."""
        return api.ModelsAnswer(data=[api.ModelOut(id=name) for name in self._service.models])

    async def model(self, name: str) -> api.ModelOut:
        """Say which model a name or alias means."""
        return api.ModelOut(id=self._service.model(name))

    async def classify(self, body: api.ClassifyRequest, request: Request) -> Response:
        """Choose labels for texts, by what they mean."""
        started, deadline = time.monotonic(), self._front.deadline(request, body.timeout_s)
        labels = [label_of(label) for label in body.labels]
        work = self._service.classify(body.texts, labels, body.multi_label, body.temperature, deadline)
        rows = await while_connected(request, work)
        request_id: str = request.state.request_id
        answer = api.ClassifyAnswer(
            results=[api.ranked(labels, row) for row in rows],
            model=self._service.classifier_model,
            request_id=request_id,
        )
        log_request(request_id, "classify", started, texts=len(body.texts), labels=len(labels))
        return JSONResponse(answer.model_dump())


def label_of(given: str | api.LabelIn) -> Label:
    """Return the label that a request names."""
    return Label(given) if isinstance(given, str) else Label(given.name, given.description)


def embeddings_json(found: "Embedded", model: str, encoding: str) -> bytes:
    """Return the body of an answer as JSON."""
    rows = found.vectors.astype("<f4", copy=False)
    written = (
        [base64.b64encode(row.tobytes()).decode() for row in rows] if encoding == "base64" else found.vectors.tolist()
    )
    data = [{"object": "embedding", "index": number, "embedding": row} for number, row in enumerate(written)]
    usage = {"prompt_tokens": found.tokens, "total_tokens": found.tokens}
    return json.dumps({"object": "list", "data": data, "model": model, "usage": usage}).encode()


def build_asgi(service: Service, limits: LimitArgs, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""
    about = "Embeddings of texts as OpenAI's endpoint gives them, and zero-shot classes."
    front = Front("Embeddings", about, limits, lambda: service.settings, service.ready)
    return OpenAIErrors(front.asgi(Endpoints(service, front).router(), echo_request_id=echo_request_id))
