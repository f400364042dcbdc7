"""A pipeline is running when a proxy answers, not before."""

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import ray

from apps.common import gate
from apps.common.gate import ProxyGate
from apps.common.retrieval.replicas import RetrieverReplica, VectorStoreReplica
from apps.rag.settings import RagArgs


class Proxy:
    """A health path on a loopback port whose status can be changed."""

    def __init__(self) -> None:
        self.status, self.asked = 503, 0
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.asked += self.path == "/-/healthz"
                self.send_response(proxy.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.server.shutdown()
    made.server.server_close()


def node(address: str, *, head: bool = False, alive: bool = True) -> dict[str, object]:
    resources = {"node:__internal_head__": 1.0} if head else {"CPU": 2.0}
    return {"NodeManagerAddress": address, "Alive": alive, "Resources": resources}


def in_background(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_it_opens_when_a_proxy_answers_and_its_answer_has_settled(proxy: Proxy) -> None:
    held = ProxyGate(lambda: gate.any_answers(["127.0.0.1"], proxy.port), settle_s=0.4)
    waiting = in_background(held.wait)
    while proxy.asked < 2:  # 503: the proxy is there, its ingress is not
        time.sleep(0.01)
    assert waiting.is_alive()
    proxy.status, turned = 200, time.monotonic()
    waiting.join(20)
    assert not waiting.is_alive()
    assert time.monotonic() - turned >= 0.4


def test_where_a_proxy_answers_at_the_first_look_nothing_waits() -> None:
    held = ProxyGate(lambda: True, settle_s=3600, limit_s=7200)
    waiting = in_background(held.wait)
    waiting.join(20)
    assert not waiting.is_alive()


def test_it_opens_at_the_limit_and_says_so(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gate.PORT_VARIABLE, "8001")
    monkeypatch.setattr(gate.logger, "handlers", [caplog.handler])
    ProxyGate(lambda: False, limit_s=0.1).wait()
    assert "no proxy" in caplog.text
    assert "PIPELINE_PROXY_PORT=8001" in caplog.text


def test_it_settles_no_longer_than_the_limit() -> None:
    looks = iter([False])
    held = ProxyGate(lambda: next(looks, True), settle_s=3600, limit_s=0.6)
    waiting = in_background(held.wait)
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_host_without_a_proxy_does_not_answer(proxy: Proxy) -> None:
    proxy.status = 200
    assert gate.any_answers(["127.0.0.1"], proxy.port)
    assert gate.any_answers(["127.0.0.2", "127.0.0.1"], proxy.port)
    assert not gate.any_answers(["127.0.0.2"], proxy.port)
    assert not gate.any_answers([], proxy.port)


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ([node("10.0.0.1", head=True), node("10.0.0.2"), node("10.0.0.3")], ["10.0.0.2", "10.0.0.3"]),
        ([node("10.0.0.1", head=True), node("10.0.0.2", alive=False)], ["10.0.0.1"]),
        ([node("10.0.0.1", head=True)], ["10.0.0.1"]),
        ([], []),
    ],
    ids=["workers, not the head", "dead ones not", "the head when alone", "none"],
)
def test_traffic_goes_to_the_workers(
    nodes: list[dict[str, object]], hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    assert gate.proxy_hosts() == hosts


def test_without_a_port_in_the_environment_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gate.PORT_VARIABLE, raising=False)
    waiting = in_background(ProxyGate.of_environment().wait)
    waiting.join(20)
    assert not waiting.is_alive()


def test_the_environment_names_the_port(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gate.PORT_VARIABLE, str(proxy.port))
    monkeypatch.setattr(ray, "nodes", lambda: [node("127.0.0.1")])
    proxy.status = 200
    ProxyGate.of_environment().wait()
    assert proxy.asked == 1


@pytest.mark.parametrize("port", ["", "http", "0", "65536", "-1", "8000 "])
def test_what_is_no_port_is_named(port: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gate.PORT_VARIABLE, port)
    with pytest.raises(ValueError, match="PIPELINE_PROXY_PORT must be"):
        ProxyGate.of_environment()


@pytest.mark.parametrize("name", ["VectorStore", "Retriever"])
def test_what_loads_a_model_lets_the_proxies_come_first(
    name: str, proxy: Proxy, rag_args: RagArgs, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rag_args.models is not None
    assert rag_args.data is not None
    model, prepared = rag_args.models / rag_args.embedder.model, rag_args.data / rag_args.index
    make: dict[str, Callable[[], object]] = {
        "VectorStore": lambda: VectorStoreReplica(rag_args.store, model, prepared),
        "Retriever": lambda: RetrieverReplica(rag_args.embedder, model, None),
    }
    monkeypatch.setenv(gate.PORT_VARIABLE, str(proxy.port))
    monkeypatch.setattr(ray, "nodes", lambda: [node("127.0.0.1")])
    starting = in_background(make[name])
    while proxy.asked < 6:  # 1.25 s: longer than the loading takes
        time.sleep(0.01)
    assert starting.is_alive()
    proxy.status, turned = 200, time.monotonic()
    starting.join(20)
    assert not starting.is_alive()
    if name == "Retriever":  # the one that the Service waits for
        assert time.monotonic() - turned >= gate.SETTLE_S
