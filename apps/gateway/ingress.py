"""The HTTP interface: OpenAI's operations, each of which goes on to a backend."""

import json
import time
from collections.abc import Callable

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp

from apps.common import handlers
from apps.common.errors import ErrorBody, PipelineError, error_body, error_headers
from apps.common.guard import log_request
from apps.common.http import Front, Responses, while_connected
from apps.common.openai import api
from apps.common.openai.errors import OpenAIErrors
from apps.common.settings import Arguments
from apps.gateway import headers
from apps.gateway.backends import Asked
from apps.gateway.gateway import Gateway, Ticket
from apps.gateway.limits import OverLimitError
from apps.gateway.relay import Relay
from apps.gateway.settings import Kind
from apps.gateway.usage import StreamMeter, Usage, usage_in

SESSION_HEADER = "x-session-id"
SERVED_BY = "x-served-by"
_USAGE_BYTES = 65_536
_WRONG = {
    400: "the request is not valid; `error.param` names the field",
    401: "no API key, or one that is not known",
    404: "there is no such model for this key",
    429: "the key is over its requests or tokens of this minute; see Retry-After",
    502: "the model's server failed",
}
ERRORS: Responses = {
    **handlers.ERROR_RESPONSES,
    **{status: {"model": ErrorBody, "description": what} for status, what in _WRONG.items()},
}


class Shown(Arguments):
    """What /healthz says of the live settings; where the backends are is nobody's business there."""

    revision: str
    models: list[str]


class Endpoints:
    """One method per operation."""

    def __init__(self, gateway: Gateway, front: Front):
        self._gateway = gateway
        self._front = front

    def router(self) -> APIRouter:
        """Return the routes with what OpenAPI says about them."""
        routes = APIRouter(prefix="/v1", dependencies=[Depends(self.authorise)])
        stream: dict[str, object] = {"text/event-stream": {}}
        for path, endpoint, answer, content in (
            ("/chat/completions", self.chat, api.ChatCompletion, stream),
            ("/completions", self.completions, api.Completion, stream),
            ("/embeddings", self.embeddings, api.EmbeddingsAnswer, {}),
        ):
            good: Responses = {200: {"model": answer, **({"content": content} if content else {})}}
            routes.add_api_route(path, endpoint, methods=["POST"], response_model=None, responses={**ERRORS, **good})
        wrong: Responses = {status: ERRORS[status] for status in (401, 404)}
        routes.add_api_route(
            "/models", self.models, methods=["GET"], response_model=api.ModelsAnswer, responses={401: ERRORS[401]}
        )
        routes.add_api_route(
            "/models/{name:path}", self.model, methods=["GET"], response_model=api.ModelOut, responses=wrong
        )
        return routes

    async def authorise(self, request: Request) -> None:
        """Find out whose key it is, before anything is read of the request."""
        request.state.key = self._gateway.keys.of(request.headers.get("authorization"))

    async def models(self, request: Request) -> api.ModelsAnswer:
        """List the models that the key may use."""
        listed = self._gateway.table.listed(request.state.key.allowed)
        return api.ModelsAnswer(data=[api.ModelOut(id=route.model) for route in listed])

    async def model(self, name: str, request: Request) -> api.ModelOut:
        """Say which model a name or alias means."""
        return api.ModelOut(id=self._gateway.table.find(name, None, request.state.key.allowed).model)

    async def chat(self, body: api.RoutedRequest, request: Request) -> Response:
        """Answer a chat, as a whole or streamed."""
        return await self._answer("/chat/completions", "chat", body, request)

    async def completions(self, body: api.RoutedRequest, request: Request) -> Response:
        """Continue a text, as a whole or streamed."""
        return await self._answer("/completions", "chat", body, request)

    async def embeddings(self, body: api.RoutedRequest, request: Request) -> Response:
        """Embed texts or token ids."""
        return await self._answer("/embeddings", "embeddings", body, request)

    async def _answer(self, path: str, kind: Kind, body: api.RoutedRequest, request: Request) -> Response:
        gateway, key = self._gateway, request.state.key
        started = time.monotonic()
        route = gateway.table.find(body.model, kind, key.allowed)
        streamed = kind == "chat" and bool(body.stream)
        asked = Asked(
            path,
            _content(body, streamed),
            request.headers,
            request.state.request_id,
            self._front.deadline(request),
            whole=kind == "chat" and not streamed,
        )
        ticket = Ticket(key, route, asked, request.headers.get(SESSION_HEADER) or body.user or None, started)
        try:
            left = await gateway.limits.admit(key)
            gateway.shadows.offer(route, asked)
            if streamed:
                return await self._stream(ticket, request, left, hide=not _wants_usage(body))
            return await self._whole(ticket, request, left)
        except OverLimitError as error:
            given = error_body(error, asked.request_id)
            return JSONResponse(given, error.status, {**error_headers(error), **error.headers})
        except PipelineError as error:
            gateway.refused(ticket, error)
            raise

    async def _whole(self, ticket: Ticket, request: Request, left: dict[str, str]) -> Response:
        gateway = self._gateway
        attempt, found = await while_connected(request, gateway.ask(ticket, gateway.backends.whole))
        content = found.content
        # Half a million numbers take a while to search, but only the end of them is looked at.
        usage = usage_in(content[-_USAGE_BYTES:]) or Usage(
            len(await request.body()) // 4, len(content) // 4, told=False
        )
        gateway.book(ticket, attempt, "ok", usage)
        _log(ticket, attempt.target.name, "ok", usage)
        given = {**headers.downstream(found.response.headers), **left, SERVED_BY: attempt.target.name}
        return Response(content, found.response.status_code, given)

    async def _stream(self, ticket: Ticket, request: Request, left: dict[str, str], hide: bool) -> Response:
        gateway = self._gateway
        attempt, opened = await while_connected(request, gateway.ask(ticket, gateway.backends.open))
        prompt_bytes = len(await request.body())

        def ended(status: str, meter: StreamMeter) -> None:
            usage = meter.usage(prompt_bytes)
            gateway.book(ticket, attempt, status, usage)
            _log(ticket, attempt.target.name, status, usage)

        given = {**headers.downstream(opened.response.headers), **left, SERVED_BY: attempt.target.name}
        return Relay(opened, StreamMeter(hide), given, ticket.asked.request_id, ended)


def _wants_usage(body: api.RoutedRequest) -> bool:
    return bool(body.stream_options and body.stream_options.include_usage)


def _content(body: api.RoutedRequest, streamed: bool) -> Callable[[str], bytes]:
    """Return the body for a backend: each field as it came, its own name of the model, and a stream tells its usage."""
    fields = body.model_dump(exclude_unset=True)
    if streamed:
        fields["stream_options"] = {**(fields.get("stream_options") or {}), "include_usage": True}
    return lambda model: json.dumps({**fields, "model": model}).encode()


def _log(ticket: Ticket, target: str, status: str, usage: Usage) -> None:
    facts = {"model": ticket.route.model, "target": target, "key": ticket.key.name, "status": status}
    tokens = {"read": usage.read, "written": usage.written}
    log_request(ticket.asked.request_id, ticket.asked.path.strip("/"), ticket.started, **facts, **tokens)


def build_asgi(gateway: Gateway, echo_request_id: bool = True) -> ASGIApp:
    """Return the application of one ingress replica."""

    def shown() -> Shown:
        return Shown(revision=gateway.settings.revision, models=[route.model for route in gateway.table.routes])

    about = "One address of many models, in OpenAI's protocol."
    front = Front("Gateway", about, gateway.args.limits, shown, gateway.ready, remarks=gateway.remarks)
    routes = Endpoints(gateway, front).router()
    return OpenAIErrors(front.asgi(routes, echo_request_id=echo_request_id), openai_types=True)
