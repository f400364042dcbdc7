"""Arguments of ray.serve.llm, as far as they can be made without vLLM; tests/vllm runs the whole of it."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve._private.config import DeploymentConfig

from apps.llm import ray_llm
from apps.llm.settings import AsyncVllm, LlmArgs, ModelArgs

APPS = Path(__file__).resolve().parents[3] / "apps"
FILES = [
    file
    for file in sorted((APPS / "llm").glob("*/serve.yaml"))
    if "kind: ray-serve-llm" in file.read_text(encoding="utf-8")
]


def arguments(model: dict[str, Any] | None = None, **engine: Any) -> LlmArgs:
    return LlmArgs(
        models=({"id": "m", "source": "/models/m", **(model or {})},),  # type: ignore[arg-type]
        engine={"kind": "ray-serve-llm", **engine},  # type: ignore[arg-type]
    )


def config(args: LlmArgs) -> dict[str, Any]:
    return ray_llm.llm_config(args, args.models[0])


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.parent.name))
def test_every_serve_yaml_names_the_deployments_that_are_made(file: Path) -> None:
    (application,) = yaml.safe_load(file.read_text())["applications"]
    args = LlmArgs(**application["args"])
    listed = {each["name"]: each for each in application["deployments"]}
    assert set(listed) == {ray_llm.INGRESS, *(f"{ray_llm.PREFIX}{model.id}" for model in args.models)}
    for model in args.models:
        made = ray_llm.llm_config(args, model)
        options = {**made["deployment_config"], **listed[f"{ray_llm.PREFIX}{model.id}"]}
        bundles = options["placement_group_bundles"]
        sizes = made["engine_kwargs"]
        devices = sizes.get("tensor_parallel_size", 1) * sizes.get("pipeline_parallel_size", 1)
        assert [bundle.get("GPU") for bundle in bundles] == [1] * devices, "vLLM takes one device of a bundle"
        assert options["placement_group_strategy"] == made["placement_group_config"]["strategy"]
        assert "ray_actor_options" not in options, "it would replace the runtime_env that holds engine.env"
        assert "user_config" not in options, "Ray's LLMServer takes none"
        assert options["graceful_shutdown_timeout_s"] >= args.limits.longest_timeout_s
    for name in (ray_llm.INGRESS,):
        ray_llm.RayIngressSettings(**listed[name]["user_config"])


def test_a_replica_is_on_one_host_unless_its_layers_are_split() -> None:
    def strategy(**engine_args: int) -> tuple[Any, Any]:
        found = config(arguments(engine_args=engine_args))["placement_group_config"]
        return found["strategy"], found["bundle_per_worker"]

    assert strategy() == ("STRICT_PACK", {"GPU": 1})
    assert strategy(tensor_parallel_size=4) == ("STRICT_PACK", {"GPU": 1})
    assert strategy(tensor_parallel_size=8, pipeline_parallel_size=2) == ("PACK", {"GPU": 1})
    assert config(arguments(accelerator="cpu"))["placement_group_config"]["bundle_per_worker"] == {"CPU": 1}
    own = {"bundles": [{"GPU": 1}], "strategy": "SPREAD"}
    assert config(arguments(placement=own))["placement_group_config"] == own


def test_the_arguments_of_a_model_win_over_those_of_all() -> None:
    args = arguments({"engine_args": {"max_model_len": 1}}, engine_args={"max_model_len": 2, "max_num_seqs": 3})
    assert config(args)["engine_kwargs"] == {"max_model_len": 1, "max_num_seqs": 3}


def test_adapters_in_folders_are_loaded_at_the_start() -> None:
    args = arguments({"adapters": [{"id": "a", "source": "/models/a"}, {"id": "b", "source": "/models/b"}]})
    found = config(args)["engine_kwargs"]
    assert found["enable_lora"] is True
    assert found["max_loras"] == 2
    assert found["lora_modules"] == [{"name": "a", "path": "/models/a"}, {"name": "b", "path": "/models/b"}]
    assert "lora_config" not in config(args)


def test_a_bucket_of_adapters_is_ray_s_own_way() -> None:
    found = config(arguments(lora={"path": "s3://bucket/loras", "max_adapters_per_replica": 3}))
    assert found["lora_config"] == {
        "dynamic_lora_loading_path": "s3://bucket/loras",
        "max_num_adapters_per_replica": 3,
    }
    assert found["engine_kwargs"]["enable_lora"] is True


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (arguments(lora={"path": "/models/loras"}), r"engine\.lora\.path /models/loras: .* s3://"),
        (arguments({"id": "a:b"}), r"models: a:b: .*colon"),
        (arguments({"aliases": ["x:y"]}), r"models: x:y: .*colon"),
        (arguments({"adapters": [{"id": "m:x", "source": "/x"}]}), r"models: m:x: .*colon"),
    ],
)
def test_what_ray_refuses_or_misreads_is_one_line(args: LlmArgs, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        config(args)
    assert "\n" not in str(caught.value)


def test_the_router_is_for_models_that_have_a_prompt() -> None:
    router = {"router": "ray.serve.experimental.round_robin_router.RoundRobinRouter", "arguments": {"x": 1}}
    found = config(arguments(router=router))["deployment_config"]["request_router_config"]
    assert found == {"request_router_class": router["router"], "request_router_kwargs": {"x": 1}}
    vectors = config(arguments({"kind": "embeddings"}, router=router))
    assert "request_router_config" not in vectors["deployment_config"]
    assert vectors["engine_kwargs"]["runner"] == "pooling"


def test_options_are_those_of_serve_and_replicas_are_said_once() -> None:
    found = config(arguments(deployment={"max_ongoing_requests": 9}))["deployment_config"]
    assert (found["max_ongoing_requests"], found["num_replicas"]) == (9, 1)
    DeploymentConfig(**found)
    scaled = arguments(
        deployment={"autoscaling_config": {"max_replicas": 3}}, ingress={"autoscaling_config": {"max_replicas": 3}}
    )
    assert "num_replicas" not in config(scaled)["deployment_config"]
    assert "num_replicas" not in ray_llm.ingress_options(ray_llm.engine_of(scaled))
    assert ray_llm.ingress_options(ray_llm.engine_of(arguments(ingress={"num_replicas": 4})))["num_replicas"] == 4


def test_the_interval_environment_and_accelerator_are_passed_on() -> None:
    found = config(arguments(stream_interval_ms=7, env={"A": "b"}, accelerator_type="H100"))
    assert found["experimental_configs"] == {"stream_batching_interval_ms": 7}
    assert found["runtime_env"]["env_vars"] == {"VLLM_NO_USAGE_STATS": "1", "A": "b"}
    assert found["accelerator_type"] == "H100"
    assert found["accelerator_config"] == {"kind": "gpu"}
    assert "accelerator_type" not in config(arguments(accelerator="cpu"))


def test_another_engine_is_not_this_one_s_business() -> None:
    args = LlmArgs(models=(ModelArgs(id="m", source="x"),), engine=AsyncVllm(kind="async-vllm"))
    with pytest.raises(TypeError, match="async-vllm"):
        ray_llm.build(args)


def test_live_settings_are_checked() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        ray_llm.RayIngressSettings(revison="2")  # type: ignore[call-arg]
