"""Applications in Serve's local testing mode, and ASGI applications on a real port."""

import asyncio
import os
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import uvicorn

# Serve's own loggers print a line per call; the tests look at answers.
os.environ.setdefault("RAY_SERVE_LOG_TO_STDERR", "0")

from ray import serve
from ray.serve import context
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.schema import ReplicaRank

APPS = Path(__file__).resolve().parents[2] / "apps"
PIPELINES = sorted(file.parent.name.replace("_", "-") for file in APPS.glob("*/serve.yaml"))
# Arguments of pipelines whose serve.yaml names documents that small_data (conftest.py) does not hold.
FOR_SMALL_DATA: dict[str, dict[str, Any]] = {
    # Not at the pace of a real model: hundreds of requests are asked.
    "llm": {"engine": {"kind": "stand-in", "ttft_ms": 1, "tpot_ms": 0}},
    "support-assistant": {"corpus": {"prefix": ""}, "warm_up": {"question": "When does the wombat land on the moon?"}},
}


@dataclass(frozen=True)
class Served:
    """A whole pipeline on a real port. ingress: its replica, the deployments behind it."""

    url: str
    ingress: Any


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

    def ask_to_stop(self) -> None:
        self._server.should_exit = True

    def stop(self) -> None:
        self.ask_to_stop()
        self._thread.join(5)


def local_ingress(application: Any, name: str) -> Any:
    """The ingress replica of a whole application in local testing mode: real handles, real copies of all arguments.

    That mode has no replica context, which @serve.batch asks for its limit (Ray 2.60): here is one.
    """
    context._set_internal_replica_context(
        replica_id=ReplicaID("local", DeploymentID("Local", name)),
        servable_object=None,
        _deployment_config=SimpleNamespace(max_ongoing_requests=64),
        rank=ReplicaRank(rank=0, node_rank=0, local_rank=0),
        world_size=1,
    )
    handle = serve.run(application, name=name, _local_testing_mode=True)
    handle._init()
    return handle._router._user_callable_wrapper._callable


class Held:
    """Work that waits until it is let go, or fails when it is told to, and tells when it was cancelled."""

    def __init__(self) -> None:
        self.started, self.cancelled = threading.Event(), threading.Event()
        self.failure: BaseException | None = None

    async def _hold(self) -> None:
        self.started.set()
        if self.failure:
            raise self.failure
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


class WaitingSteps(Held):
    """Steps of which one, `wait_in`, is held."""

    def __init__(self) -> None:
        super().__init__()
        self.wait_in = "retrieve"

    async def _wait(self, step: str) -> None:
        if self.wait_in == step:
            await self._hold()
