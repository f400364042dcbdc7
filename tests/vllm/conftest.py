"""The tiny model, a Ray of its own, and one application at a time on it: see tests/README.md."""

import importlib.util
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.vllm.serving import LocalServe
from tests.vllm.tiny import make_adapter, make_model

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".cache"
MODEL, ADAPTER, ALIAS = "tiny", "tiny-adapted", "tiny-alias"
RAY_LLM, OWN = "ray-serve-llm", "async-vllm"
SERVER, ENGINE, INGRESS = f"LLMServer:{MODEL}", "LlmEngine", "Ingress"
# So long that a whole answer takes a minute: a client that leaves does so before its end on any machine.
CONTEXT = 16_384


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.vllm)
            # An application takes minutes to start where others use the machine as well.
            item.add_marker(pytest.mark.timeout(1200))


@dataclass(frozen=True)
class Weights:
    """Folders of the tiny model and of its adapter."""

    model: Path
    adapter: Path


@dataclass(frozen=True)
class App:
    """An application that runs: which engine, where, and the Serve config that made it."""

    kind: str
    url: str
    config: dict[str, Any]
    serve: LocalServe

    def client(self, **options: Any) -> OpenAI:
        """OpenAI's own client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=120, **options)

    @property
    def engine(self) -> str:
        """Name of the deployment that holds the engine."""
        return SERVER if self.kind == RAY_LLM else ENGINE

    def changed(self, **options: Any) -> dict[str, Any]:
        """The Serve config with other options of the engine's deployment."""
        config = deepcopy(self.config)
        next(each for each in config["deployments"] if each["name"] == self.engine).update(options)
        return config

    def stats(self) -> dict[str, Any]:
        """`GET /stats`."""
        found: dict[str, Any] = httpx.get(f"{self.url}/stats", timeout=30).raise_for_status().json()
        return found


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    if importlib.util.find_spec("vllm") is None:
        pytest.fail("vLLM is not in this environment → ./scripts/test --vllm")
    folder = tmp_path_factory.mktemp("weights")
    model = make_model(folder / "model")
    return Weights(model, make_adapter(folder / "adapter", model))


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory, weights: Weights) -> Iterator[LocalServe]:
    log = CACHE / "logs" / "vllm.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = LocalServe(tmp_path_factory.mktemp("ray"), log)
    yield started
    started.stop()


@pytest.fixture(scope="session", params=[RAY_LLM, OWN])
def app(request: pytest.FixtureRequest, serve: LocalServe, weights: Weights) -> App:
    """The application with one of the engines; pytest runs all tests of one before those of the other."""
    config = application(request.param, weights)
    serve.deploy(config)
    return App(request.param, serve.url, config, serve)


def application(kind: str, weights: Weights, **engine: Any) -> dict[str, Any]:
    """The Serve config of one application, as a serve.yaml has it."""
    engine_args = {
        "dtype": "bfloat16", "max_model_len": CONTEXT, "max_num_seqs": 8, "enforce_eager": True, "max_lora_rank": 8,
        "enable_prefix_caching": True,
    }  # fmt: skip
    model = {
        "id": MODEL, "source": str(weights.model), "aliases": [ALIAS],
        "adapters": [{"id": ADAPTER, "source": str(weights.adapter)}],
    }  # fmt: skip
    arguments: dict[str, Any] = {"kind": kind, "engine_args": engine_args}
    light = {"ray_actor_options": {"num_cpus": 0.1}}
    if kind == RAY_LLM:
        arguments |= {"accelerator": "cpu", "stream_interval_ms": 0, "placement": {"bundle_per_worker": {"CPU": 1}}}
        arguments["router"] = {
            "router": "ray.serve.llm.request_router.PrefixCacheAffinityRouter",
            "arguments": {"imbalanced_threshold": 8, "do_eviction": True},
        }
        deployments = [
            {"name": INGRESS, "num_replicas": 1, "user_config": {"revision": "1"}, **light},
            {
                "name": SERVER, "num_replicas": 1, "graceful_shutdown_timeout_s": 120,
                "placement_group_bundles": [{"CPU": 1.5}], "placement_group_strategy": "STRICT_PACK",
            },
        ]  # fmt: skip
    else:
        deployments = [
            {"name": INGRESS, "num_replicas": 1, "user_config": {"revision": "1"}, **light},
            {"name": ENGINE, "user_config": {"stream_interval_ms": 0}, "graceful_shutdown_timeout_s": 120},
        ]
    return {
        "name": "llm",
        "route_prefix": "/",
        "import_path": "apps.llm.app:build_app",
        "args": {"models": [model], "engine": {**arguments, **engine}},
        "deployments": deployments,
    }
