"""Prepared model and index (made once, kept in .cache), and the application on a real port."""

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from apps.common.onnx_text import Embedder
from apps.common.prepare import prepare_index, prepare_int8, prepare_model
from apps.common.settings import LimitArgs, PipelineArgs
from apps.rag.app import build_app
from apps.rag.deployments import RagIngress
from apps.rag.ingress import build_asgi
from apps.rag.settings import RagArgs
from tests.apps.serving import FOR_SMALL_DATA, Served, Server, local_ingress

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
BODY_BYTES = 50_000

CORPUS = {
    "moon.md": "# Moon\n\nThe wombat lands on the moon at noon.\n\n## Food\n\nIt eats cheese.\n",
    "river.md": "# River\n\nThe river floods the valley in April.\n",
    "train.txt": "The train to the coast leaves at seven.\n",
}


@pytest.fixture(scope="session")
def model() -> Path:
    """Folder of the exported embedding model; the quantised one lies beside it."""
    exported = prepare_model(CACHE / "models")
    prepare_int8(exported.parent)
    return exported


@pytest.fixture(scope="session")
def embedder(model: Path) -> Embedder:
    return Embedder(model, threads=2)


@pytest.fixture(scope="session")
def corpus_data(model: Path) -> Path:
    """Data folder with the index of this repository's own documents."""
    return prepare_index(model.parent, CACHE / "data", ROOT).parent


@pytest.fixture(scope="session")
def small_data(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Data folder with an index of three small documents."""
    corpus, data = tmp_path_factory.mktemp("corpus"), tmp_path_factory.mktemp("data")
    for name, text in CORPUS.items():
        (corpus / name).write_text(text)
    prepare_index(model.parent, data, corpus)
    return data


@pytest.fixture(scope="session")
def rag_args(model: Path, small_data: Path) -> RagArgs:
    return RagArgs(models=model.parent, data=small_data, limits=LimitArgs(body_bytes=BODY_BYTES, body_timeout_s=2))


@pytest.fixture(scope="session")
def ingress(rag_args: RagArgs) -> RagIngress:
    replica: RagIngress = local_ingress(build_app(rag_args), "rag")
    return replica


@pytest.fixture(scope="session")
def serving() -> Iterator[Callable[[Any], str]]:
    """Serve an ASGI application until the end of the session; returns its URL."""
    servers: list[Server] = []

    def start(app: Any) -> str:
        servers.append(Server(app))
        return servers[-1].url

    yield start
    for server in servers:
        server.ask_to_stop()  # all at once: each looks for it now and then only
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def url(ingress: RagIngress, serving: Callable[[Any], str]) -> str:
    return serving(build_asgi(ingress.pipeline, ingress.limits))


@pytest.fixture(scope="session")
def served(model: Path, small_data: Path, serving: Callable[[Any], str]) -> Callable[..., Served]:
    """`served("text-analysis")`: that pipeline with the arguments of its serve.yaml, once a session.

    Other arguments (`served("rag", limits=...)`) are a new application each time.
    """
    kept: dict[str, Served] = {}

    def serve_pipeline(name: str, **changed: Any) -> Served:
        if name in kept and not changed:
            return kept[name]
        folder = ROOT / "apps" / name.replace("-", "_")
        applications = yaml.safe_load((folder / "serve.yaml").read_text())["applications"]
        config = next(each for each in applications if each["import_path"].startswith(f"apps.{folder.name}."))
        builder = importlib.import_module(f"apps.{folder.name}.app").build_app
        limits = LimitArgs(**{"body_timeout_s": 2, **config.get("args", {}).get("limits", {})})
        args = {**config.get("args", {}), **FOR_SMALL_DATA.get(name, {})}
        kind = builder.__annotations__["args"]
        # llm has a list of its own called models, and reads nothing that was prepared.
        folders = {"models": model.parent, "data": small_data} if issubclass(kind, PipelineArgs) else {}
        given = {**args, **folders, "limits": limits, **changed}
        ingress = local_ingress(builder(kind(**given)), name)
        (live,) = (each.get("user_config") for each in config["deployments"] if each["name"] == "Ingress")
        if live:  # as Serve does; the routes of the gateway come so
            ingress.reconfigure(live)
        found = Served(serving(ingress.asgi(echo_request_id=True)), ingress)
        return found if changed else kept.setdefault(name, found)

    return serve_pipeline


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as opened:
        yield opened
