"""The HTTP interface: bodies, one route, and what every ingress has (apps/common/http.py)."""

import time
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.types import ASGIApp

from apps.common.guard import log_request
from apps.common.handlers import ERROR_RESPONSES
from apps.common.http import Front, StrictRequest, while_connected
from apps.common.language import Language
from apps.common.text import Counts
from apps.llm.deployments import LlmIngress

CHARACTERS = 20_000


class NormalizeRequest(StrictRequest):
    """A text to normalise."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=CHARACTERS)]


class NormalizeAnswer(BaseModel):
    """The normal form of a text, maybe empty, with its size and language."""

    text: str
    counts: Counts
    language: Language = Field(description='ISO 639 code, "und" without letters; confidence is a probability, 0 to 1')
    request_id: str


def build_asgi(ingress: LlmIngress, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""
    front = Front("llm", "Text normalised.", ingress.limits, lambda: ingress.settings, ingress.ready)
    routes = APIRouter()

    @routes.post("/normalize", responses=ERROR_RESPONSES)
    async def normalize(body: NormalizeRequest, request: Request) -> NormalizeAnswer:
        """Normalise a text, count it and tell its language."""
        started, deadline = time.monotonic(), front.deadline(request, body.timeout_s)
        async with deadline.scope():
            found = await while_connected(request, ingress.normalise(body.text))
        request_id: str = request.state.request_id
        log_request(request_id, "normalize", started, characters=found.counts.characters, language=found.language.code)
        return NormalizeAnswer(text=found.text, counts=found.counts, language=found.language, request_id=request_id)

    return front.asgi(routes, echo_request_id=echo_request_id)
