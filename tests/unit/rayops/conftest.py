"""What the tests of rayops share: a recorder for programs, pins of their own, a cache that is nobody's."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from rayops import proc, versions
from rayops.kube import wait
from tests.unit.rayops.programs import Recorder

Handle = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """No program runs: all that would is noted."""
    made = Recorder()
    monkeypatch.setattr(proc, "run", made)
    monkeypatch.setattr(proc, "succeeds", made.succeeds)
    return made


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty."""
    folder = tmp_path / "path"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder that every module of rayops uses."""
    from rayops import paths, serve_only
    from rayops.cluster import engine, gobuild, kind, node_image, operator, pipeline_image, rootfs, tools

    folder = tmp_path / "cache"
    folder.mkdir()
    for module in (paths, serve_only, engine, gobuild, kind, node_image, operator, pipeline_image, rootfs, tools):
        for name, value in vars(module).copy().items():
            if isinstance(value, Path) and value.is_relative_to(paths.CACHE) and module is not paths:
                monkeypatch.setattr(module, name, folder / value.relative_to(paths.CACHE))
    return folder


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Call it with NAME="value" to change pins."""

    def change(**pins: str) -> None:
        changed = {**versions.pins(), **pins}
        monkeypatch.setattr(versions, "pins", lambda: changed)

    return change


@pytest.fixture
def quick_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait looks again soon instead of after a second."""

    class Quick:
        monotonic = staticmethod(time.monotonic)

        @staticmethod
        def sleep(seconds: float) -> None:
            time.sleep(min(seconds, 0.02))

    monkeypatch.setattr(wait, "time", Quick)


@pytest.fixture
def serve() -> Iterator[Callable[[Handle], int]]:
    """Call it with what to do on a request: a server on loopback, its port."""
    servers: list[ThreadingHTTPServer] = []

    def start(handle: Handle) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                handle(self)

            def do_POST(self) -> None:
                handle(self)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads, server.block_on_close = True, False
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
