"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from apps.common.settings import Arguments, LimitArgs

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class AdapterArgs(Arguments):
    """A LoRA adapter of a model; requests name it as they name a model."""

    id: ModelName
    source: str = Field(min_length=1, description="folder or address of the adapter's weights")


class ModelArgs(Arguments):
    """One model. Any of its names in a request means it; answers carry `id`."""

    id: ModelName
    source: str = Field(min_length=1, description="folder or address of the weights; the stand-in takes any")
    kind: Literal["chat", "embeddings"] = "chat"
    aliases: tuple[ModelName, ...] = ()
    engine_args: dict[str, Any] = Field(default={}, description="of the engine, for this model only")
    adapters: tuple[AdapterArgs, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """What answers call it: the model and its adapters."""
        return (self.id, *(adapter.id for adapter in self.adapters))


class StandIn(Arguments):
    """The engine without a model: answers of a known text at a set pace, within bounds as a real engine has them."""

    kind: Literal["stand-in"] = "stand-in"
    ttft_ms: float = Field(
        default=60, ge=0, le=60_000, description="to the first token, of a prompt that is not cached"
    )
    tpot_ms: float = Field(default=10, ge=0, le=10_000, description="between two tokens")
    answer_tokens: int = Field(default=32, ge=1, le=100_000, description="of an answer whose request bounds none")
    context_tokens: int = Field(default=8192, ge=16, description="prompt and answer together")
    kv_tokens: int = Field(default=131_072, ge=16, description="prompts and answers of all that run at once")
    max_running: int = Field(default=256, ge=1, le=100_000)
    max_waiting: int = Field(default=256, ge=0, le=100_000, description="beyond it: 503 with Retry-After")
    cached_blocks: int = Field(default=4096, ge=0, le=1_000_000, description="of 16 tokens, of prompts of before")
    dimensions: int = Field(default=64, ge=2, le=8192, description="of a vector")

    @model_validator(mode="after")
    def _the_longest_request_has_room(self) -> "StandIn":
        if self.context_tokens > self.kv_tokens:
            raise ValueError(f"context_tokens {self.context_tokens} is more than kv_tokens {self.kv_tokens}")
        return self


class AsyncVllm(Arguments):
    """vLLM's AsyncLLM in the own server. One model an application: the engine takes the GPUs that it finds."""

    kind: Literal["async-vllm"]
    engine_args: dict[str, Any] = Field(default={}, description="vllm.AsyncEngineArgs; those of a model win")
    max_waiting: int = Field(default=256, ge=0, le=100_000, description="beyond it: 503 with Retry-After")


class LoraArgs(Arguments):
    """LoRA adapters of ray.serve.llm."""

    path: str | None = Field(default=None, description="folder or bucket that adapters are loaded from by name")
    max_adapters_per_replica: int = Field(default=16, ge=1, le=1000)


class RouterArgs(Arguments):
    """Which replica gets a request."""

    router: str = Field(description="module.Class of a ray.serve RequestRouter")
    arguments: dict[str, Any] = Field(default={}, description="of the router's initialize_state")


class RayServeLlm(Arguments):
    """`ray.serve.llm.build_openai_app`, which needs vLLM in the image."""

    kind: Literal["ray-serve-llm"]
    accelerator: Literal["gpu", "cpu"] = "gpu"
    accelerator_type: str | None = Field(default=None, description="of ray.util.accelerators, like A100; any if absent")
    engine_args: dict[str, Any] = Field(default={}, description="LLMConfig.engine_kwargs; those of a model win")
    deployment: dict[str, Any] = Field(default={}, description="LLMConfig.deployment_config of every model")
    ingress: dict[str, Any] = Field(default={}, description="options of the deployment that takes the requests")
    placement: dict[str, Any] | None = Field(default=None, description="LLMConfig.placement_group_config")
    router: RouterArgs | None = None
    lora: LoraArgs | None = None
    stream_interval_ms: float = Field(default=50, ge=0, le=10_000, description="pieces are joined for that long")
    env: dict[str, str] = Field(default={}, description="environment variables of the replicas and the engine")


Engine = Annotated[StandIn | AsyncVllm | RayServeLlm, Field(discriminator="kind")]


class LlmArgs(Arguments):
    """Arguments of `apps.llm.app:build_app`."""

    models: tuple[ModelArgs, ...] = Field(
        default=(
            ModelArgs(id="stand-in", source="stand-in"),
            ModelArgs(id="stand-in-embeddings", source="stand-in", kind="embeddings"),
        ),
        min_length=1,
    )
    engine: Engine = StandIn()
    limits: LimitArgs = LimitArgs(
        body_bytes=4_000_000, in_flight=512, default_timeout_s=120, longest_timeout_s=600, body_timeout_s=10
    )

    @model_validator(mode="after")
    def _names_are_clear(self) -> "LlmArgs":
        names = [name for model in self.models for name in (*model.ids, *model.aliases)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"models: {', '.join(twice)} names more than one model")
        return self

    @model_validator(mode="after")
    def _engine_holds_the_models(self) -> "LlmArgs":
        if self.engine.kind == "async-vllm" and len(self.models) != 1:
            raise ValueError(f"engine.kind async-vllm serves one model an application, not {len(self.models)}")
        if self.engine.kind == "stand-in":
            for model in self.models:
                stand_in_of(self.engine, model)
        return self

    def names(self) -> dict[str, str]:
        """Return the id of the model or adapter that each name means."""
        own = {name: name for model in self.models for name in model.ids}
        return own | {alias: model.id for model in self.models for alias in model.aliases}


def stand_in_of(engine: StandIn, model: ModelArgs) -> StandIn:
    """Return the settings of the stand-in for `model`: those of all, with its own `engine_args` over them.

    Raises:
        ValueError: one of them is not a setting of the stand-in; the message names it.
    """
    try:
        return StandIn(**{**engine.model_dump(), **model.engine_args})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"models: engine_args.{where} of {model.id}: {first['msg']}") from None


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
    prefix_characters: int = Field(
        default=1024, ge=0, le=100_000, description="of a prompt that say which replica gets it; 0: any"
    )


class EngineSettings(Arguments):
    """Live settings of LlmEngine."""

    stream_interval_ms: float = Field(
        default=50, ge=0, le=10_000, description="pieces of a stream are joined for that long after the first"
    )
