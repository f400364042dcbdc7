"""The application on `ray.serve.llm`: LLMConfig of every model, its LLMServer, and the Ingress before them.

Arguments become LLMConfig in plain functions; only `build` needs vLLM, which `ray.serve.llm` imports.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from apps.common.settings import Arguments
from apps.llm.settings import LlmArgs, ModelArgs, RayServeLlm

INGRESS = "Ingress"
PREFIX = "LLMServer:"
# A replica that went silent is given two minutes: imports and a long prefill hold its event loop. Streams that run when
# it is to go have ten minutes to end. Beyond max_queued_requests at one Ingress: 503 with Retry-After.
SERVER_OPTIONS: dict[str, Any] = {
    "num_replicas": 1,
    "max_ongoing_requests": 256,
    "max_queued_requests": 256,
    "health_check_period_s": 10,
    "health_check_timeout_s": 120,
    "graceful_shutdown_wait_loop_s": 2,
    "graceful_shutdown_timeout_s": 600,
}
INGRESS_OPTIONS: dict[str, Any] = {
    "num_replicas": 2,
    "max_ongoing_requests": 1000,
    "graceful_shutdown_timeout_s": 600,
}
# vLLM reports to its makers how it is used unless it is told not to.
ENVIRONMENT = {"VLLM_NO_USAGE_STATS": "1"}
# What Ray 2.60 takes for LoraConfig.dynamic_lora_loading_path.
BUCKETS = ("s3://", "gs://", "abfss://", "azure://")


class RayIngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)


def build(args: LlmArgs) -> Any:
    """Return the Serve application: one Ingress, one LLMServer deployment for each model.

    Raises:
        ValueError: arguments that `ray.serve.llm` cannot carry out; the message names them.
    """
    checked = [llm_config(args, model) for model in args.models]
    from apps.llm.ray_serving import application

    return application(args, checked, ingress_options(engine_of(args)))


def engine_of(args: LlmArgs) -> RayServeLlm:
    """Return the arguments of this engine."""
    if not isinstance(args.engine, RayServeLlm):
        raise TypeError(f"engine.kind is {args.engine.kind}")
    return args.engine


def llm_config(args: LlmArgs, model: ModelArgs) -> dict[str, Any]:
    """Return what ray.serve.llm.LLMConfig takes for `model`.

    Raises:
        ValueError: a name, a path or an argument that Ray refuses, or would misread.
    """
    engine = engine_of(args)
    for name in (*model.ids, *model.aliases):
        if ":" in name:
            raise ValueError(f"models: {name}: ray.serve.llm takes what stands before a colon for the model")
    engine_args = {**engine.engine_args, **model.engine_args}
    config: dict[str, Any] = {
        "model_loading_config": {"model_id": model.id, "model_source": model.source},
        "accelerator_config": {"kind": engine.accelerator},
        "placement_group_config": engine.placement or placement(engine.accelerator, engine_args),
        "engine_kwargs": {**_needed(model), **engine_args},
        "deployment_config": server_options(engine, model),
        "experimental_configs": {"stream_batching_interval_ms": engine.stream_interval_ms},
        "runtime_env": {"env_vars": {**ENVIRONMENT, **engine.env}},
    }
    if engine.accelerator_type:
        config["accelerator_type"] = engine.accelerator_type
    if engine.lora and engine.lora.path:
        config["lora_config"] = _lora(engine.lora.path, engine.lora.max_adapters_per_replica)
        config["engine_kwargs"] = {"enable_lora": True, **config["engine_kwargs"]}
    return config


def placement(accelerator: str, engine_args: Mapping[str, Any]) -> dict[str, Any]:
    """Return one bundle for each device of a replica, and whether all of them must lie on one host.

    vLLM takes one device of a bundle, and fills host after host. The parts of a tensor talk in every layer, so a
    replica without pipeline parallelism stays on one host (STRICT_PACK). Stages of a pipeline may lie on several: PACK
    is as few as hold them, and STRICT_PACK would wait for one host that has all devices.
    """
    device = "GPU" if accelerator == "gpu" else "CPU"
    strategy = "PACK" if int(engine_args.get("pipeline_parallel_size", 1)) > 1 else "STRICT_PACK"
    return {"bundle_per_worker": {device: 1}, "strategy": strategy}


def server_options(engine: RayServeLlm, model: ModelArgs) -> dict[str, Any]:
    """Return the options of a model's deployment."""
    defaults = dict(SERVER_OPTIONS)
    if "autoscaling_config" in engine.deployment:
        del defaults["num_replicas"]
    options = {**defaults, **engine.deployment}
    # The router reads a prompt out of every request; embeddings have none, and it would refuse them (Ray 2.60).
    if engine.router and model.kind == "chat":
        options["request_router_config"] = {
            "request_router_class": engine.router.router,
            "request_router_kwargs": dict(engine.router.arguments),
        }
    return options


def ingress_options(engine: RayServeLlm) -> dict[str, Any]:
    """Return the options of the Ingress."""
    defaults = dict(INGRESS_OPTIONS)
    if "autoscaling_config" in engine.ingress:
        del defaults["num_replicas"]
    return {"name": INGRESS, **defaults, **engine.ingress}


def _needed(model: ModelArgs) -> dict[str, Any]:
    needed: dict[str, Any] = {}
    if model.kind == "embeddings":
        needed["runner"] = "pooling"
    if model.adapters:
        needed |= {
            "enable_lora": True,
            "max_loras": len(model.adapters),
            "lora_modules": [{"name": adapter.id, "path": adapter.source} for adapter in model.adapters],
        }
    return needed


def _lora(path: str, most: int) -> dict[str, Any]:
    if not path.startswith(BUCKETS):
        raise ValueError(
            f"engine.lora.path {path}: Ray loads adapters by name from {', '.join(BUCKETS)} only; "
            "name those in a folder as adapters of their model"
        )
    return {"dynamic_lora_loading_path": path, "max_num_adapters_per_replica": most}
