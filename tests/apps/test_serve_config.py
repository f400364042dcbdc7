"""Every serve.yaml is what Ray and the code understand, for the pipelines and their variants alike."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from ray.serve._private.build_app import build_app as deployments_of
from ray.serve.schema import ServeDeploySchema

from apps.common.retrieval import replicas
from apps.common.retrieval.settings import RetrieverSettings
from apps.common.settings import EmbedderArgs, PipelineArgs
from apps.llm.ray_llm import INGRESS, PREFIX, RayIngressSettings
from apps.llm.settings import LlmArgs

APPS = Path(__file__).resolve().parents[2] / "apps"
FILES = sorted(APPS.glob("*/**/serve.yaml"))
LEAST_QUEUE = 2


@pytest.fixture(params=FILES, ids=lambda file: str(file.parent.relative_to(APPS)))
def file(request: pytest.FixtureRequest) -> Path:
    given: Path = request.param
    return given


@pytest.fixture
def application(file: Path) -> dict[str, Any]:
    config = yaml.safe_load(file.read_text())
    ServeDeploySchema.parse_obj(config)
    applications: list[dict[str, Any]] = config["applications"]
    package = next(each.name for each in file.parents if each.parent == APPS)
    (own,) = (each for each in applications if each["name"] == package.replace("_", "-"))
    return own


@pytest.fixture
def listed(application: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {deployment["name"]: deployment for deployment in application["deployments"]}


@pytest.fixture
def args(application: dict[str, Any]) -> PipelineArgs | LlmArgs:
    found: PipelineArgs | LlmArgs = builder(application).__annotations__["args"](**application.get("args", {}))
    return found


@pytest.fixture
def classes(application: dict[str, Any], args: PipelineArgs | LlmArgs) -> dict[str, Any]:
    """The replica classes of the application that the builder makes, by deployment."""
    if isinstance(args, LlmArgs) and args.engine.kind == "ray-serve-llm":
        return without_vllm(args)
    built = deployments_of(builder(application)(args), name=application["name"], default_runtime_env=None)
    return {each.name: each.func_or_class for each in built.deployments}


def without_vllm(args: LlmArgs) -> dict[str, Any]:
    """The same of ray.serve.llm, which cannot be imported without vLLM, by the names that ray_llm.py gives it."""
    ingress, server = type("Ingress", (), {"live": RayIngressSettings}), type("Server", (), {"live": None})
    return {INGRESS: ingress, **{f"{PREFIX}{model.id}": server for model in args.models}}


def builder(application: dict[str, Any]) -> Any:
    module, _, function = application["import_path"].partition(":")
    return getattr(importlib.import_module(module), function)


def least(deployment: dict[str, Any]) -> int:
    found: int = deployment.get("autoscaling_config", {}).get("min_replicas", deployment.get("num_replicas"))
    return found


def test_the_arguments_are_those_of_the_builder(
    application: dict[str, Any], file: Path, args: PipelineArgs | LlmArgs
) -> None:
    package = next(each.name for each in file.parents if each.parent == APPS)
    assert application["import_path"] == f"apps.{package}.app:build_app"
    assert application["name"] == package.replace("_", "-")
    with pytest.raises(ValidationError, match="Extra inputs"):
        type(args)(stroe={})  # type: ignore[call-arg]


def test_every_deployment_is_listed_with_settings_that_it_takes(
    listed: dict[str, dict[str, Any]], classes: dict[str, Any]
) -> None:
    assert set(listed) == set(classes)
    for name, deployment in listed.items():
        live = classes[name].live
        assert ("user_config" in deployment) == (live is not None), name
        if live is not None:
            live(**deployment["user_config"])


def test_the_yaml_s_settings_are_the_code_s_defaults(
    file: Path, listed: dict[str, dict[str, Any]], classes: dict[str, Any]
) -> None:
    if file.parent.parent != APPS:
        return  # a variant is one because it differs
    for name, deployment in listed.items():
        if "user_config" in deployment:
            # The gateway's routes come from the catalogue (rayops models sync), not from the code.
            plain = {key: value for key, value in deployment["user_config"].items() if key != "routes"}
            assert classes[name].live(**plain) == classes[name].live(), name


def test_no_gap_and_no_silent_queue(listed: dict[str, dict[str, Any]], args: PipelineArgs | LlmArgs) -> None:
    ingress = listed["Ingress"]
    assert least(ingress) >= 2, "one answers while the other restarts"
    assert args.limits.in_flight < ingress["max_ongoing_requests"], "our 503 comes before Serve's"
    for name, deployment in listed.items():
        assert deployment["max_ongoing_requests"] > 0, name
        assert deployment["graceful_shutdown_timeout_s"] > 0, name
        # ray.serve.llm sets options of the actor itself; its placement group says what a replica asks for.
        asks = deployment["placement_group_bundles"][0] if name.startswith(PREFIX) else deployment["ray_actor_options"]
        assert {"num_cpus", "CPU"} & set(asks), name
        if name != "Ingress":
            assert deployment["max_queued_requests"] >= args.limits.in_flight * LEAST_QUEUE, name


def test_lancedb_has_one_writer_or_none() -> None:
    """Replicas of an embedded store answer alike only where nobody writes to one of them."""
    for file in (APPS / "rag").glob("**/serve.yaml"):
        (config,) = yaml.safe_load(file.read_text())["applications"]
        (store,) = (each for each in config["deployments"] if each["name"] == "VectorStore")
        assert store["num_replicas"] == 1 or config["args"]["store"].get("read_only"), file


def test_feedback_has_one_writer() -> None:
    for file in (APPS / "support_assistant").glob("**/serve.yaml"):
        (config,) = yaml.safe_load(file.read_text())["applications"]
        (store,) = (each for each in config["deployments"] if each["name"] == "FeedbackStore")
        assert store["num_replicas"] == 1, file


def test_a_batch_fits_what_a_replica_takes(listed: dict[str, dict[str, Any]]) -> None:
    for deployment in listed.values():
        blocks = deployment.get("user_config", {}).get("batch_blocks", 0)
        assert blocks <= deployment["max_ongoing_requests"], "else Serve warns at each start"


def test_a_batch_is_measured_in_padded_blocks() -> None:
    assert replicas.blocks([[1] * 10]) == 1
    assert replicas.blocks([[1] * 128]) == 1
    assert replicas.blocks([[1] * 10, [1] * 200]) == 4
    assert replicas.blocks([[1] * 16] * 64) == 8
    longest = EmbedderArgs.model_fields["max_tokens"].metadata
    assert replicas.blocks([[1] * 512]) <= RetrieverSettings(batch_blocks=4).batch_blocks, longest
