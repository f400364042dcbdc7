"""The engine of the own server on vLLM's AsyncLLM: see apps.llm.engine.Engine for the methods.

vLLM is imported when the engine starts, so that this module can be read without it.
"""

import asyncio
import contextlib
import hashlib
import itertools
import json
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from apps.common.errors import PipelineError, overloaded
from apps.common.openai.errors import bad_request, model_not_found
from apps.llm.engine import Counts, Piece, Request, Vectors
from apps.llm.settings import AsyncVllm, ModelArgs

_RETRY_AFTER_S = 1.0
# Fields of a request that are vLLM's under the same name.
_SAMPLING = frozenset({"temperature", "top_p", "seed", "frequency_penalty", "presence_penalty"})
_SUPPORTED = _SAMPLING | {"logit_bias", "response_format"}
# vLLM reports to its makers how it is used unless it is told not to.
_ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1"}


class VllmEngine:
    """One vLLM engine for one model and its adapters.

    A request counts as waiting until its first token is there, which is what `max_waiting` bounds; vLLM itself says
    neither, and its own queue has no bound unless `max_num_queued_reqs` is set.
    """

    def __init__(self, settings: AsyncVllm, model: ModelArgs):
        self._model = model
        self._settings = settings
        self.fingerprint = "vllm"
        self._counts = Counts()
        self._llm: Any = None
        self._loras: dict[str, Any] = {}
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Load weights and adapters; the event loop stands still meanwhile, as in vLLM's own server.

        Raises:
            ValueError: an engine argument that vLLM does not know, or refuses; an adapter that it cannot load.
        """
        os.environ.update({name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()})
        import vllm
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.lora.request import LoRARequest
        from vllm.v1.engine.async_llm import AsyncLLM

        arguments = engine_arguments(self._model, self._settings)
        unknown = sorted(set(arguments) - set(AsyncEngineArgs.__dataclass_fields__))
        if unknown:
            name = f"engine_args.{unknown[0]} of {self._model.id}"
            raise ValueError(f"{name}: vLLM {vllm.__version__} has no such argument")
        self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))
        described = json.dumps([arguments, [each.id for each in self._model.adapters]], sort_keys=True, default=str)
        self.fingerprint = f"vllm-{vllm.__version__}-{hashlib.sha256(described.encode()).hexdigest()[:12]}"
        for number, adapter in enumerate(self._model.adapters, 1):
            self._loras[adapter.id] = LoRARequest(adapter.id, number, adapter.source)
            await self._llm.add_lora(self._loras[adapter.id])

    async def check(self) -> None:
        """Raise when the engine's process has ended."""
        await self._llm.check_health()

    def close(self) -> None:
        """End the engine's processes."""
        if self._llm is not None:
            self._llm.shutdown()

    def counts(self) -> Counts:
        """Return a copy of the counts now. A request that vLLM holds and nobody reads would count as running."""
        now = replace(self._counts)
        if self._llm is not None:
            now.running = max(now.running, self._llm.get_num_unfinished_requests() - now.waiting)
        return now

    async def generate(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Make the answer; closing the generator aborts the request in vLLM."""
        parameters = self._parameters(request)
        lora = self._lora(request.model)
        with self._booked() as booking, _refusals(request.prompt_field):
            prompt = await self._rendered(request)
            parameters.max_tokens = self._room(request, _length(prompt))
            # Ours may come twice, vLLM's must not.
            name = f"{request.id}-{next(self._numbers)}"
            outputs = self._llm.generate(prompt, parameters, name, lora_request=lora)
            async with aclosing(outputs):
                async for output in outputs:
                    piece = piece_of(output)
                    booking.run()
                    booking.ended = piece.finish is not None
                    yield piece

    async def embed(self, inputs: list[str] | list[list[int]], dimensions: int | None) -> Vectors:
        """Return a vector per input, of length 1."""
        if "embed" not in await self._llm.get_supported_tasks():
            raise bad_request(f"{self._model.id} makes no embeddings", "model")
        with self._booked() as booking, _refusals("input"):
            prompts = await self._llm.renderer.render_cmpl_async([_as_prompt(each) for each in inputs])
            found = await asyncio.gather(*(self._embedded(prompt) for prompt in prompts))
            rows = [shortened(row, dimensions) for row, _ in found]
            booking.ended = True
        return Vectors(rows, sum(tokens for _, tokens in found))

    async def _embedded(self, prompt: Any) -> tuple[list[float], int]:
        from vllm.pooling_params import PoolingParams

        outputs = self._llm.encode(prompt, PoolingParams(task="embed"), f"embed-{next(self._numbers)}")
        async for output in outputs:
            if output.finished:
                return output.outputs.data.tolist(), len(output.prompt_token_ids)
        raise PipelineError(503, "unavailable", "the engine gave no vector", retry_after_s=_RETRY_AFTER_S)

    async def _rendered(self, request: Request) -> Any:
        """Return what vLLM takes for a prompt: the tokens of the chat by the model's template, or of the text."""
        renderer = self._llm.renderer
        if request.messages is None:
            (prompt,) = await renderer.render_cmpl_async([_as_prompt(request.prompt or "")])
            return prompt
        from vllm.renderers.params import ChatParams

        parameters = ChatParams(chat_template_kwargs={"add_generation_prompt": True})
        messages = [dict(message) for message in request.messages]
        _, (prompt,) = await renderer.render_chat_async([messages], parameters)
        return prompt

    def _parameters(self, request: Request) -> Any:
        """Return vLLM's sampling parameters: what the model's makers set, over it what the request asks for.

        Raises:
            PipelineError: 400 names a field that this engine does not do.
        """
        unsupported = sorted(set(request.fields) - _SUPPORTED)
        if unsupported:
            raise bad_request(f"this engine does not do {unsupported[0]}", unsupported[0])
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        defaults = self._llm.model_config.get_diff_sampling_param()
        defaults.pop("max_tokens", None)
        with _refusals("temperature"):
            return SamplingParams(
                **{**defaults, **{name: request.fields[name] for name in _SAMPLING & set(request.fields)}},
                stop=list(request.stop),
                logit_bias=token_bias(request.fields.get("logit_bias")),
                structured_outputs=structured(request.fields.get("response_format")),
                output_kind=RequestOutputKind.DELTA,
            )

    def _room(self, request: Request, prompt_tokens: int) -> int:
        """Return how many tokens the answer may have."""
        context = self._llm.model_config.max_model_len
        if prompt_tokens + (request.max_tokens or 1) > context:
            message = f"{prompt_tokens} tokens and {request.max_tokens or 1} of the answer: the context has {context}"
            raise bad_request(message, request.prompt_field)
        return request.max_tokens or int(context - prompt_tokens)

    def _lora(self, model: str) -> Any:
        if model == self._model.id:
            return None
        if model not in self._loras:
            raise model_not_found(model, list(self._model.ids))
        return self._loras[model]

    @contextmanager
    def _booked(self) -> Iterator["Booking"]:
        if self._counts.waiting >= self._settings.max_waiting:
            self._counts.refused += 1
            raise overloaded(_RETRY_AFTER_S)
        booking = Booking(self._counts)
        self._counts.waiting += 1
        try:
            yield booking
        except Exception:
            booking.leave()
            self._counts.failed += 1
            raise
        except BaseException:
            # The reader left: after the last piece that is no loss to it.
            booking.leave()
            self._counts.finished += booking.ended
            self._counts.aborted += not booking.ended
            raise
        else:
            booking.leave()
            self._counts.finished += 1


@dataclass(slots=True)
class Booking:
    """Where a request stands, in the counts that it is part of."""

    counts: Counts
    running: bool = False
    ended: bool = False

    def run(self) -> None:
        """Its first token is there."""
        if not self.running:
            self.running = True
            self.counts.waiting -= 1
            self.counts.running += 1

    def leave(self) -> None:
        """It is neither waiting nor running any more."""
        if self.running:
            self.counts.running -= 1
        else:
            self.counts.waiting -= 1


def engine_arguments(model: ModelArgs, settings: AsyncVllm) -> dict[str, Any]:
    """Return vllm.AsyncEngineArgs: what the model needs, over it the application's arguments, over it its own."""
    needed: dict[str, Any] = {}
    if model.kind == "embeddings":
        needed["runner"] = "pooling"
    if model.adapters:
        needed |= {"enable_lora": True, "max_loras": len(model.adapters)}
    return {**needed, **settings.engine_args, **model.engine_args, "model": model.source}


def token_bias(given: dict[str, float] | None) -> dict[int, float] | None:
    """Return `logit_bias` by token id.

    Raises:
        PipelineError: 400, a name in it is no token id.
    """
    if given is None:
        return None
    try:
        return {int(token): value for token, value in given.items()}
    except ValueError:
        raise bad_request("the names of logit_bias must be token ids", "logit_bias") from None


def structured(given: dict[str, Any] | None) -> Any:
    """Return vLLM's bounds of the answer's form for OpenAI's `response_format`.

    Raises:
        PipelineError: 400, it is neither `json_object` nor `json_schema` with a schema.
    """
    if given is None:
        return None
    from vllm.sampling_params import StructuredOutputsParams

    if given.get("type") == "json_object":
        return StructuredOutputsParams(json_object=True)
    schema = (given.get("json_schema") or {}).get("schema") if given.get("type") == "json_schema" else None
    if not isinstance(schema, dict):
        raise bad_request("must have type json_object, or json_schema with a schema", "response_format")
    return StructuredOutputsParams(json=schema)


def piece_of(output: Any) -> Piece:
    """Return what vLLM says new of an answer.

    Raises:
        PipelineError: 503, vLLM gave the request up.
    """
    (answer,) = output.outputs
    if answer.finish_reason not in (None, "stop", "length"):
        message = f"the engine gave the request up ({answer.finish_reason}), try again"
        raise PipelineError(503, "unavailable", message, retry_after_s=_RETRY_AFTER_S)
    tokens, prompt = len(answer.token_ids), len(output.prompt_token_ids)
    return Piece(answer.text, tokens, prompt, output.num_cached_tokens or 0, answer.finish_reason)


def shortened(row: list[float], dimensions: int | None) -> list[float]:
    """Return the first `dimensions` numbers of a vector, all without it, at length 1.

    Raises:
        PipelineError: 400, the vector has fewer.
    """
    if dimensions is not None and dimensions > len(row):
        raise bad_request(f"the model has {len(row)} dimensions", "dimensions")
    kept = row[:dimensions]
    length = sum(value * value for value in kept) ** 0.5 or 1.0
    return [value / length for value in kept]


def _as_prompt(given: str | list[int]) -> dict[str, Any]:
    return {"prompt": given} if isinstance(given, str) else {"prompt_token_ids": given}


def _length(prompt: Any) -> int:
    return len(prompt["prompt_token_ids"])


@contextlib.contextmanager
def _refusals(field: str) -> Iterator[None]:
    """Turn vLLM's errors into ours; `field` is the one that a refusal is about when vLLM names none."""
    from vllm.exceptions import GracefulHTTPError, VLLMClientError
    from vllm.v1.engine.exceptions import EngineDeadError

    try:
        yield
    except (VLLMClientError, ValueError) as error:
        # A ValueError is a chat template that refuses the messages, or a parameter out of bounds.
        raise bad_request(str(error), getattr(error, "parameter", None) or field) from error
    except GracefulHTTPError as error:
        raise overloaded(_RETRY_AFTER_S) from error
    except EngineDeadError as error:
        message = "the engine has ended and is started anew, try again"
        raise PipelineError(503, "unavailable", message, retry_after_s=_RETRY_AFTER_S) from error
