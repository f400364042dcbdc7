"""Every serve.yaml on ray.serve.llm builds: what the image without vLLM cannot do (tests/e2e/test_1_imports.py)."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.build_app import build_app
from ray.serve.schema import ServeApplicationSchema

ROOT = Path(__file__).parents[2]


def applications() -> dict[str, dict[str, Any]]:
    """By file, every application whose engine is ray.serve.llm."""
    files = sorted((ROOT / "apps").glob("*/**/serve.yaml"))
    found = {str(file.relative_to(ROOT)): yaml.safe_load(file.read_text())["applications"] for file in files}
    return {
        file: each
        for file, several in found.items()
        for each in several
        if each.get("args", {}).get("engine", {}).get("kind") == "ray-serve-llm"
    }


APPLICATIONS = applications()


def test_there_are_some() -> None:
    assert len(APPLICATIONS) >= 3


@pytest.mark.parametrize("file", APPLICATIONS)
def test_the_configuration_builds(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is fetched: what a model's page would tell is not asked for to build.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    application = ServeApplicationSchema.model_validate(APPLICATIONS[file])
    module, _, function = application.import_path.partition(":")
    builder = getattr(importlib.import_module(module), function)
    bound = builder(builder.__annotations__["args"](**application.args))
    made = build_app(bound, name=application.name, default_runtime_env=None)
    assert {each.name for each in made.deployments} == {each.name for each in application.deployments}
