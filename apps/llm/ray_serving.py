"""The deployments of `ray.serve.llm` with what every ingress here has. Importing this module needs vLLM.

Ray's own LLMServer and OpenAiIngress do the work: they are subclassed where Ray documents it (`LLMConfig.server_cls`,
`ingress_cls`) for the counts of `GET /stats`, the house's errors, bounds and readiness, and names other than Ray's.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from ray import serve
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer as RayLLMServer
from ray.serve.llm.ingress import OpenAiIngress
from ray.serve.llm.openai_api_models import ChatCompletionRequest, CompletionRequest
from starlette.types import ASGIApp
from vllm.entrypoints.openai.models.protocol import LoRAModulePath
from vllm.entrypoints.pooling.embed.protocol import EmbeddingCompletionRequest
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.exceptions import VLLMClientError

from apps.common.calls import readiness, stream
from apps.common.deadline import Deadline
from apps.common.errors import PipelineError, deadline_exceeded, overloaded
from apps.common.guard import log_request
from apps.common.http import CLIENT_LEFT, Front, while_connected
from apps.common.openai import api
from apps.common.openai.errors import OpenAIErrors, bad_request, model_not_found
from apps.common.serving import IngressReplica, late_ingress
from apps.llm.engine import Counts
from apps.llm.meters import Meter, Meters
from apps.llm.ray_llm import PREFIX, RayIngressSettings
from apps.llm.service import everyone
from apps.llm.settings import LlmArgs
from apps.llm.stats import EngineStats, Stats, of_counts, process, replica_name, summed

_STATS_TIMEOUT_S = 5.0


class LLMServer(RayLLMServer):  # type: ignore[misc]  # Ray has no types
    """Ray's LLMServer with counts of its requests; Serve calls it by the names of its base."""

    async def __init__(self, llm_config: LLMConfig) -> None:  # type: ignore[misc]  # Serve awaits it
        self._counts = Counts()
        await super().__init__(llm_config)

    async def chat(self, *arguments: Any) -> AsyncGenerator[Any, None]:
        """Answer a chat."""
        return self._counted(await super().chat(*arguments))

    async def completions(self, *arguments: Any) -> AsyncGenerator[Any, None]:
        """Continue a text."""
        return self._counted(await super().completions(*arguments))

    async def embeddings(self, *arguments: Any) -> AsyncGenerator[Any, None]:
        """Embed texts."""
        return self._counted(await super().embeddings(*arguments))

    async def ready(self) -> str:
        """Return "ok" when the engine serves."""
        await self.check_health()
        return "ok"

    async def stats(self) -> EngineStats:
        """Return the counts of the engine, and the memory of this process.

        `running` is at least what vLLM itself holds. Ray has no method for that: it is read off its private client,
        where there is one (another engine class has none).
        """
        counts = replace(self._counts)
        unfinished = getattr(getattr(self.engine, "_engine_client", None), "get_num_unfinished_requests", None)
        if unfinished:
            counts.running = max(counts.running, unfinished() - counts.waiting)
        held = self._counts.waiting + self._counts.running
        models = {self._llm_config.model_id: of_counts(counts)}
        return EngineStats(**process(replica_name()), requests=held, models=models)

    async def _counted(self, answers: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """Yield what comes; closing it, or cancelling its task, closes `answers`, which aborts the request in vLLM."""
        held = Held(self._counts)
        try:
            async for answer in answers:
                held.run()
                held.failed = held.failed or is_error(answer)
                # Streams come in lists. What is no list is the whole answer: nobody asks for more, so this is its end.
                held.ended = not isinstance(answer, list)
                yield answer
            held.ended = True
        except Exception:
            held.failed = True
            raise
        finally:
            held.leave()
            await answers.aclose()


@dataclass(slots=True)
class Held:
    """A request in the counts that it is part of: waiting before its first piece, running from there."""

    counts: Counts
    running: bool = False
    failed: bool = False
    ended: bool = False

    def __post_init__(self) -> None:
        self.counts.waiting += 1

    def run(self) -> None:
        """Its first piece is there."""
        if not self.running:
            self.running = True
            self.counts.waiting -= 1
            self.counts.running += 1

    def leave(self) -> None:
        """Count how it ended."""
        if self.running:
            self.counts.running -= 1
        else:
            self.counts.waiting -= 1
        outcome = "failed" if self.failed else "finished" if self.ended else "aborted"
        setattr(self.counts, outcome, getattr(self.counts, outcome) + 1)


@dataclass(frozen=True, slots=True)
class CancellingHandle:
    """A handle whose calls are cancelled when nobody reads them any more.

    Ray's ingress only drops the answer then, which the replica sees when it has the next piece: where the answer is not
    streamed, when the engine has made all of it (2.60).
    """

    handle: Any

    def options(self, **options: Any) -> "CancellingHandle":
        """Return a handle with other options."""
        return CancellingHandle(self.handle.options(**options))

    def __getattr__(self, name: str) -> "CancellingMethod":
        return CancellingMethod(getattr(self.handle, name).remote)


@dataclass(frozen=True, slots=True)
class CancellingMethod:
    """One method of such a handle."""

    call: Callable[..., Any]

    def remote(self, *arguments: Any) -> AsyncGenerator[Any, None]:
        """Return what the method yields."""
        return stream(self.call, *arguments)


class LlmIngress(OpenAiIngress, IngressReplica):  # type: ignore[misc]  # Ray has no types
    """Ray's OpenAiIngress behind the front of every ingress here (apps/common/http.py)."""

    live = RayIngressSettings

    def __init__(self, args: LlmArgs, llm_deployments: dict[str, Any], model_cards: dict[str, Any], **others: Any):
        handles = {name: CancellingHandle(handle) for name, handle in llm_deployments.items()}
        super().__init__(handles, model_cards, **others)
        self.limits = args.limits
        self.settings = RayIngressSettings()
        self.listed = sorted(llm_deployments)
        self.names = args.names()
        self.kinds = {name: model.kind for model in args.models for name in model.ids}
        self.handles = {model.id: llm_deployments[model.id] for model in args.models}
        # With a bucket of adapters every name of the form MODEL:ADAPTER may be one.
        self.with_adapters = set(others.get("lora_paths") or ())
        self.meters = Meters()

    def configure(self, settings: RayIngressSettings) -> None:
        """Take live settings."""
        self.settings = settings

    def model_of(self, name: str, kind: str) -> str:
        """Return the id of the model or adapter that `name` means.

        Raises:
            PipelineError: 404, there is none; 400, it is of another kind.
        """
        base, colon, _ = name.partition(":")
        if colon and base in self.with_adapters:
            return name
        if name not in self.names:
            raise model_not_found(name, self.listed)
        found = self.names[name]
        if self.kinds[found] != kind:
            raise bad_request(f"{name!r} is a model for {self.kinds[found]}", "model")
        return found

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each model."""
        return await readiness(self.handles, timeout_s)

    async def engines(self) -> list[EngineStats]:
        """Ask every replica of every model."""
        asked = (everyone(handle, "stats", EngineStats, _STATS_TIMEOUT_S) for handle in self.handles.values())
        return [each for found in await asyncio.gather(*asked) for each in found]

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        about = "Language models by OpenAI's protocol, on ray.serve.llm."
        front = Front("llm", about, self.limits, lambda: self.settings, self.ready)
        routes = Endpoints(self, front).router()
        return OpenAIErrors(front.asgi(routes, echo_request_id=echo_request_id), openai_types=True)


class Route(APIRoute):
    """A route whose errors are the house's, whoever raised them: vLLM's models of bodies do while they are read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of one request."""
        handler = super().get_route_handler()

        async def translated(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                known = ours(error)
                if known is None:
                    raise
                raise known from error

        return translated


class Endpoints:
    """One method per operation; Ray's ingress does the work."""

    def __init__(self, ingress: LlmIngress, front: Front):
        self._ingress = ingress
        self._front = front

    def router(self) -> APIRouter:
        """Return the routes."""
        routes = APIRouter(route_class=Route)
        routes.add_api_route("/v1/chat/completions", self.chat, methods=["POST"], response_model=None)
        routes.add_api_route("/v1/completions", self.completions, methods=["POST"], response_model=None)
        routes.add_api_route("/v1/embeddings", self.embeddings, methods=["POST"], response_model=None)
        routes.add_api_route("/v1/models", self.models, methods=["GET"], response_model=api.ModelsAnswer)
        routes.add_api_route("/v1/models/{name:path}", self.model, methods=["GET"], response_model=api.ModelOut)
        routes.add_api_route("/stats", self.stats, methods=["GET"], response_model=Stats)
        return routes

    async def chat(self, body: ChatCompletionRequest, request: Request) -> Response:
        """Answer a chat, whole or streamed."""
        if not any(message.get("content") for message in body.messages):
            # Ray's prefix-aware router divides by the length of the text, and its caller would wait for ever (2.60).
            raise bad_request("must have text in one of them", "messages")
        return await self._answer("chat", body, request)

    async def completions(self, body: CompletionRequest, request: Request) -> Response:
        """Continue a text, whole or streamed."""
        if not body.prompt:
            raise bad_request("must not be empty", "prompt")
        return await self._answer("completions", body, request)

    async def embeddings(self, body: EmbeddingCompletionRequest, request: Request) -> Response:
        """Embed texts."""
        return await self._answer("embeddings", body, request)

    async def models(self) -> api.ModelsAnswer:
        """List the models and adapters; of a bucket, what is in it now."""
        cards = (await self._ingress.models()).data
        return api.ModelsAnswer(data=[api.ModelOut(id=card.id) for card in cards])

    async def model(self, name: str) -> api.ModelOut:
        """Say which model or adapter a name means."""
        if name not in self._ingress.names:
            raise model_not_found(name, self._ingress.listed)
        return api.ModelOut(id=self._ingress.names[name])

    async def stats(self) -> Stats:
        """Return the requests of every engine now, and the memory of their replicas."""
        return summed(await self._ingress.engines(), [])

    async def _answer(self, operation: str, body: Any, request: Request) -> Response:
        deadline = self._front.deadline(request)
        kind = "embeddings" if operation == "embeddings" else "chat"
        body.model = self._ingress.model_of(str(body.model or ""), kind)
        meter = Meter(self._ingress.meters, body.model, operation)
        try:
            async with deadline.scope():
                # Ray's own methods, by the names of its ingress; they answer when there is a first piece.
                work = getattr(self._ingress, operation)(body, request)
                response: Response = await while_connected(request, work)
        except PipelineError as error:
            self._over(meter, request, "left" if error.status == CLIENT_LEFT else "refused")
            raise
        except Exception:
            self._over(meter, request, "failed")
            raise
        meter.first_piece()
        if isinstance(response, StreamingResponse):
            response.body_iterator = self._streamed(response.body_iterator, deadline, meter, request)
        else:
            self._over(meter, request, "answered")
        return response

    async def _streamed(
        self, pieces: Any, deadline: Deadline, meter: Meter, request: Request
    ) -> AsyncGenerator[Any, None]:
        bounded, outcome = deadline.within(pieces), "left"
        try:
            async for piece in bounded:
                yield piece
                # As in apps.common.calls.stream: a backlog of pieces leaves room for other requests.
                await asyncio.sleep(0)
            outcome = "answered"
        except Exception:
            outcome = "failed"
            raise
        finally:
            await bounded.aclose()
            self._over(meter, request, outcome)

    def _over(self, meter: Meter, request: Request, outcome: str) -> None:
        """Book a request. Its tokens are not counted here: vLLM's own metrics have them, per model."""
        meter.over(outcome, 0, 0, 0)
        log_request(request.state.request_id, meter.operation, meter.started, model=meter.model, outcome=outcome)


def application(args: LlmArgs, configs: list[dict[str, Any]], ingress_options: dict[str, Any]) -> Any:
    """Return the Serve application: the Ingress over one LLMServer deployment for each model.

    An adapter that lies in a folder is loaded by vLLM at the start and is a model of its own to the Ingress, with the
    deployment of the model that it belongs to.
    """
    deployments: dict[str, Any] = {}
    buckets: dict[str, str] = {}
    parsed = [LLMConfig(**with_modules(config)) for config in configs]
    cards: dict[str, Any] = {}
    for model, config in zip(args.models, parsed, strict=True):
        server = build_llm_deployment(config, name_prefix=PREFIX, deployment_cls=LLMServer)
        for name in model.ids:
            deployments[name], cards[name] = server, card(name, config)
        if config.lora_config is not None:
            buckets[model.id] = config.lora_config.dynamic_lora_loading_path
    ingress = serve.deployment(late_ingress(LlmIngress), **ingress_options)
    return ingress.bind(args, llm_deployments=deployments, model_cards=cards, lora_paths=buckets)


def with_modules(config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of LLMConfig with adapters of vLLM's own type, which has no parser here."""
    modules = config["engine_kwargs"].get("lora_modules")
    if modules is None:
        return config
    typed = [LoRAModulePath(**each) for each in modules]
    return {**config, "engine_kwargs": {**config["engine_kwargs"], "lora_modules": typed}}


def card(name: str, config: LLMConfig) -> Any:
    """Return what Ray's ingress knows of a model."""
    from ray.llm._internal.serve.core.configs.openai_api_models import to_model_metadata

    return to_model_metadata(name, config)


def is_error(answer: Any) -> bool:
    """Return whether a piece of an answer is vLLM's error; joined pieces come as a list."""
    first = answer[0] if isinstance(answer, list) and answer else answer
    return isinstance(first, ErrorResponse)


def ours(error: Exception) -> PipelineError | None:
    """Return what a client may know of an error of Ray's ingress or of vLLM; None for all others."""
    causes: Iterable[Any] = (error, getattr(error, "cause", None))
    for cause in causes:
        if isinstance(cause, VLLMClientError):
            return bad_request(str(cause), getattr(cause, "parameter", None))
        # Ray's OpenAIHTTPException, which is not part of its public API.
        status, message = getattr(cause, "status_code", None), getattr(cause, "message", None)
        if isinstance(status, int) and isinstance(message, str) and not isinstance(cause, HTTPException):
            return of_status(status, message)
    return None


def of_status(status: int, message: str) -> PipelineError:
    """Return the house's error for a status that Ray's ingress answers with."""
    if status == 408:
        return deadline_exceeded()
    if status == 503:
        return overloaded(1.0)
    if status < 500:
        return PipelineError(status, "model_not_found", message, "model") if status == 404 else bad_request(message)
    return PipelineError(status, "internal", message)
