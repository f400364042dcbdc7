"""What the Serve configs of llm promise beside what tests/apps/test_serve_config.py asks of every pipeline."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.llm.settings import LlmArgs, stand_in_of

FILES = sorted((Path(__file__).resolve().parents[3] / "apps/llm").glob("**/serve.yaml"))


@pytest.fixture(params=FILES, ids=lambda file: file.parent.name)
def application(request: pytest.FixtureRequest) -> dict[str, Any]:
    (found,) = yaml.safe_load(request.param.read_text())["applications"]
    return dict(found)


@pytest.fixture
def args(application: dict[str, Any]) -> LlmArgs:
    return LlmArgs(**application["args"])


def test_a_stream_ends_before_its_replica_goes(application: dict[str, Any], args: LlmArgs) -> None:
    for deployment in application["deployments"]:
        assert deployment["graceful_shutdown_timeout_s"] > args.limits.longest_timeout_s, deployment["name"]


def test_the_engine_s_own_queue_is_full_before_serve_s(application: dict[str, Any], args: LlmArgs) -> None:
    """Else requests wait in Serve, unseen by `/stats`, and the engine never says that it is full."""
    if args.engine.kind != "stand-in":
        return
    (engine,) = (each for each in application["deployments"] if each["name"] == "LlmEngine")
    chats = [stand_in_of(args.engine, model) for model in args.models if model.kind == "chat"]
    assert sum(each.max_running + each.max_waiting for each in chats) <= engine["max_ongoing_requests"]


def test_as_many_gpus_as_the_model_is_split_over(application: dict[str, Any], args: LlmArgs) -> None:
    if args.engine.kind != "ray-serve-llm":
        return
    for model in args.models:
        (server,) = (each for each in application["deployments"] if each["name"] == f"LLMServer:{model.id}")
        wanted = {**args.engine.engine_args, **model.engine_args}
        parts = wanted.get("tensor_parallel_size", 1) * wanted.get("pipeline_parallel_size", 1)
        bundles = server["placement_group_bundles"]
        assert [each["GPU"] for each in bundles] == [1] * parts, "vLLM takes one device of a bundle"
        assert bundles[0]["CPU"] >= 1, "the replica itself is in the first one"
        one_host = wanted.get("pipeline_parallel_size", 1) == 1
        assert server["placement_group_strategy"] == ("STRICT_PACK" if one_host else "PACK")
        assert "ray_actor_options" not in server, "it would replace the environment that ray.serve.llm sets"
