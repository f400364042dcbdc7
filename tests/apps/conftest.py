"""Prepared model and index (made once, kept in .cache), and the application on a real port."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import uvicorn

# Serve's own loggers print a line per call; the tests look at answers.
os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")

from ray import serve
from ray.serve import context
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.schema import ReplicaRank

from apps.common.onnx_text import Embedder
from apps.common.prepare import prepare_index, prepare_model
from apps.rag.app import build_app
from apps.rag.deployments import IngressReplica
from apps.rag.ingress import build_asgi
from apps.rag.settings import LimitArgs, RagArgs

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
    """Folder of the exported embedding model."""
    return prepare_model(CACHE / "models")


@pytest.fixture(scope="session")
def embedder(model: Path) -> Embedder:
    return Embedder(model, threads=2)


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


class Server:
    """uvicorn on a free loopback port, in a thread of this process."""

    def __init__(self, app: Any):
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        arguments = {"sockets": [self._socket]}
        self._thread = threading.Thread(target=self._server.run, kwargs=arguments, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(5)


@pytest.fixture(scope="session")
def ingress(rag_args: RagArgs) -> IngressReplica:
    """The Ingress of the whole application in Serve's local testing mode: real handles, real copies of all arguments.

    That mode has no replica context, which @serve.batch asks for its limit (Ray 2.60): here is one.
    """
    context._set_internal_replica_context(
        replica_id=ReplicaID("local", DeploymentID("Retriever", "rag")),
        servable_object=None,
        _deployment_config=SimpleNamespace(max_ongoing_requests=64),
        rank=ReplicaRank(rank=0, node_rank=0, local_rank=0),
        world_size=1,
    )
    handle = serve.run(build_app(rag_args), _local_testing_mode=True)
    handle._init()
    replica: IngressReplica = handle._router._user_callable_wrapper._callable
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
        server.stop()


@pytest.fixture(scope="session")
def url(ingress: IngressReplica, serving: Callable[[Any], str]) -> str:
    return serving(build_asgi(ingress.pipeline, ingress.limits))


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as opened:
        yield opened
