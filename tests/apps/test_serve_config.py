"""serve.yaml is what Ray and the code understand."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from apps.rag import deployments, settings
from apps.rag.app import build_app

RAG = Path(__file__).resolve().parents[2] / "apps" / "rag"
LIVE: dict[str, type[BaseModel]] = {
    "Ingress": settings.IngressSettings,
    "Retriever": settings.RetrieverSettings,
    "Reranker": settings.RerankerSettings,
    "Generator": settings.GeneratorSettings,
}
NAMES = {"Ingress", "Normalizer", "Retriever", "VectorStore", "Reranker", "Generator"}


@pytest.fixture(scope="module")
def application() -> dict[str, Any]:
    config = yaml.safe_load((RAG / "serve.yaml").read_text())
    ServeDeploySchema.parse_obj(config)
    applications: list[dict[str, Any]] = config["applications"]
    assert len(applications) == 1
    return applications[0]


def test_the_arguments_are_those_of_the_builder(application: dict[str, Any]) -> None:
    module, _, function = application["import_path"].partition(":")
    assert (module, function) == (build_app.__module__, build_app.__name__)
    assert build_app.__annotations__["args"] is settings.RagArgs, "Serve validates by this annotation"
    settings.RagArgs(**application["args"])
    with pytest.raises(ValidationError, match="Extra inputs"):
        settings.RagArgs(stroe={})  # type: ignore[call-arg]


def test_every_deployment_is_listed_with_settings_that_it_takes(application: dict[str, Any]) -> None:
    listed = {deployment["name"]: deployment for deployment in application["deployments"]}
    assert set(listed) == NAMES
    assert {getattr(deployments, name).name for name in NAMES} == NAMES
    for name, deployment in listed.items():
        assert ("user_config" in deployment) == (name in LIVE)
        if name in LIVE:
            LIVE[name](**deployment["user_config"])


def test_the_yaml_s_settings_are_the_code_s_defaults(application: dict[str, Any]) -> None:
    for deployment in application["deployments"]:
        if "user_config" in deployment:
            assert LIVE[deployment["name"]](**deployment["user_config"]) == LIVE[deployment["name"]]()


def test_no_gap_and_no_silent_queue(application: dict[str, Any]) -> None:
    listed = {deployment["name"]: deployment for deployment in application["deployments"]}
    limits = settings.RagArgs(**application["args"]).limits
    assert listed["Ingress"]["num_replicas"] >= 2, "one answers while the other restarts"
    assert limits.in_flight < listed["Ingress"]["max_ongoing_requests"], "our 503 comes before Serve's"
    assert listed["VectorStore"]["num_replicas"] == 1, "LanceDB has one writer"
    for name in NAMES - {"Ingress"}:
        assert listed[name]["max_queued_requests"] >= limits.in_flight * listed["Ingress"]["num_replicas"]
    live = settings.RetrieverSettings(**listed["Retriever"]["user_config"])
    assert live.batch_blocks <= listed["Retriever"]["max_ongoing_requests"], "else Serve warns at each start"


def test_a_batch_is_measured_in_padded_blocks() -> None:
    assert deployments.blocks([[1] * 10]) == 1
    assert deployments.blocks([[1] * 128]) == 1
    assert deployments.blocks([[1] * 10, [1] * 200]) == 4
    assert deployments.blocks([[1] * 16] * 64) == 8
    longest = settings.EmbedderArgs.model_fields["max_tokens"].metadata
    assert deployments.blocks([[1] * 512]) <= settings.RetrieverSettings(batch_blocks=4).batch_blocks, longest
