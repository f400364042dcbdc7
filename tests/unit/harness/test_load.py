import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.harness import Load, Request


class Pipeline(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    connections: ClassVar[set[tuple[str, int]]] = set()

    def do_POST(self) -> None:
        Pipeline.connections.add(self.client_address)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        do = body.get("do", "answer")
        if do in ("slow", "hang"):
            time.sleep(0.6 if do == "slow" else 6)
        if do == "drop":
            self.close_connection = True
            return
        text = {"html": b"<html>", "answer": b'{"answer": "yes"}'}.get(do, b'{"answer": "no"}')
        self.send_response(503 if do == "busy" else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pipeline)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/ask"
    server.shutdown()


def says_yes(body: object) -> str:
    return "" if body == {"answer": "yes"} else f"says {body}"


def until(load: Load, sent: int) -> None:
    deadline = time.monotonic() + 10
    while load.summary().sent < sent and time.monotonic() < deadline:
        time.sleep(0.01)


def run(
    url: str, log: Path, *what: str, number: int, rate: float = 100, timeout_s: float = 10, keep_alive: bool = True
) -> Load:
    requests = [Request({"do": do}, says_yes) for do in what]
    with Load(
        url, requests, log=log, rate=rate, timeout_s=timeout_s, max_requests=number, keep_alive=keep_alive
    ) as load:
        until(load, number)
    return load


def test_right_answers_are_counted_and_timed(url: str, tmp_path: Path) -> None:
    summary = run(url, tmp_path / "log", "answer", number=20).summary()
    assert (summary.sent, summary.failed, summary.failures) == (20, {}, 0)
    assert summary.p50_ms is not None
    assert 0 < summary.p50_ms <= (summary.p99_ms or 0) <= (summary.max_ms or 0) < 10_000
    assert summary.first_failure_s is None
    assert (tmp_path / "log").read_text() == ""


def test_every_failure_has_its_class_and_its_time_and_a_line(url: str, tmp_path: Path) -> None:
    load = run(url, tmp_path / "log", "answer", "busy", "hang", "drop", "html", "wrong", number=12, timeout_s=2)
    summary = load.summary()
    assert summary.failed == {"status-503": 2, "timeout": 2, "broken-connection": 2, "wrong-answer": 4}
    assert len(load.seen) == 2
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len(lines) == summary.failures == 10
    assert {"at_s", "kind", "detail", "ms"} == set(lines[0])
    assert summary.first_failure_s == min(line["at_s"] for line in lines)
    assert summary.last_failure_s == max(line["at_s"] for line in lines)


def test_nobody_there_is_a_failed_connection(tmp_path: Path) -> None:
    assert run("http://127.0.0.1:9/ask", tmp_path / "log", "answer", number=3).summary().failed == {"connect": 3}


def test_the_loop_is_open(url: str, tmp_path: Path) -> None:
    began = time.monotonic()
    load = run(url, tmp_path / "log", "slow", number=10, rate=50)
    assert load.summary().sent == 10
    assert time.monotonic() - began < 5, "ten answers of 0.6 s must not be waited for one after the other"


def test_connections_are_kept_or_new(url: str, tmp_path: Path) -> None:
    Pipeline.connections.clear()
    run(url, tmp_path / "log", "answer", number=10, rate=20, keep_alive=True)
    kept = len(Pipeline.connections)
    Pipeline.connections.clear()
    run(url, tmp_path / "log", "answer", number=10, rate=20, keep_alive=False)
    assert (kept < 5, len(Pipeline.connections)) == (True, 10)


def test_facts_of_right_answers_are_kept_in_the_order_of_sending(url: str, tmp_path: Path) -> None:
    requests = [Request({}, says_yes)]
    log = tmp_path / "log"
    with Load(url, requests, log=log, rate=100, max_requests=5, observe=lambda body: body["answer"]) as load:
        until(load, 5)
    assert [value for _, value in load.seen] == ["yes"] * 5
    assert load.seen == sorted(load.seen)


def test_the_end_of_the_block_stops_the_load(url: str, tmp_path: Path) -> None:
    with Load(url, [Request({})], log=tmp_path / "log", rate=100) as load:
        until(load, 3)
    sent = load.summary().sent
    time.sleep(0.1)
    assert load.summary().sent == sent < 1000


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1/ask", "http://example.com/ask", "http://127.0.0.1.example.com", "nonsense"]
)
def test_only_loopback_is_aimed_at(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="loopback addresses only"):
        Load(url, [Request({})], log=tmp_path / "log")


@pytest.mark.parametrize("bound", [{"rate": 0}, {"rate": 201}, {"max_seconds": 901}, {"max_requests": 20_001}])
def test_it_is_bounded(bound: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="load is bounded"):
        Load("http://127.0.0.1/ask", [Request({})], log=tmp_path / "log", **bound)  # type: ignore[arg-type]
