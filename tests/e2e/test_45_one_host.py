"""One host for an environment, by a real controller of the Gateway API: paths, TLS, streams, and no dashboard."""

import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from rayops.kube import Kube, Timeout, eventually, itself
from rayops.kube.objects import Obj
from rayops.paths import ROOT
from rayops.pipeline import sample_of
from rayops.render import render
from tests.e2e.whole_environment import Environment, environment
from tests.harness import Cluster, traefik
from tests.harness.overlay import Change, serve

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
CLEAR = ROOT / "tests/e2e/one-host/clear"
AS_IN_BASE = ROOT / "tests/e2e/one-host/gateway"
HOST = "ai.local.example.com"
KEY = {"authorization": "Bearer local-demo-key"}
# Two minutes of a token every 30 ms, for whoever asks for so many.
LONG = 4000
# Answers to GET of a dashboard: what a head says of itself.
DASHBOARD = "ray_version"


def slow_engine() -> Change:
    """The gateway's own model answers for two minutes when it is asked to."""

    def edit(config: Obj) -> None:
        (llm,) = (app for app in config["applications"] if app["name"] == "llm")
        llm["args"]["engine"] |= {"tpot_ms": 30, "answer_tokens": LONG}

    return serve(edit)


@pytest.fixture(scope="module")
def served(cluster: Cluster, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """hello and the gateway, with the model that the gateway has of its own."""
    folder = tmp_path_factory.mktemp("one-host")
    with environment(cluster, kube, folder, ["hello", "gateway"], {"gateway": slow_engine()}) as found:
        yield found


@pytest.fixture
def client(served: Environment) -> Iterator[httpx.Client]:
    with served.host.client() as found:
        yield found


def chat(tokens: int, *, stream: bool = False) -> dict[str, Any]:
    messages = [{"role": "user", "content": "Count."}]
    return {"model": "stand-in-small", "messages": messages, "max_tokens": tokens, "stream": stream}


def requests_now(client: httpx.Client) -> dict[str, int]:
    """What the engine of the gateway's own model counts: running, aborted, finished …"""
    total: dict[str, int] = client.get("/gateway/llm/stats").json()["total"]
    return total


def test_each_pipeline_is_at_its_own_path(client: httpx.Client) -> None:
    sample = sample_of("hello")
    answer = client.post(f"/hello{sample.path}", json=sample.body, headers={"x-request-id": "through-the-host"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["request_id"] == "through-the-host"
    assert answer.headers["x-request-id"] == "through-the-host"
    assert client.get("/hello/healthz").json()["status"] == client.get("/gateway/healthz").json()["status"]
    assert client.get("/hello").status_code == client.get("/hello/").status_code, "both are the pipeline's /"


def test_the_models_are_at_the_root_and_at_the_gateway_s_path(client: httpx.Client) -> None:
    models = client.get("/v1/models", headers=KEY).json()
    assert "stand-in-small" in {model["id"] for model in models["data"]}
    assert client.get("/gateway/v1/models", headers=KEY).json() == models
    answer = client.post("/v1/chat/completions", json=chat(5), headers=KEY).json()
    assert answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] == 5
    assert client.get("/v1/models").status_code == 401, "the pipeline asks who is there, the route does not"


@pytest.mark.parametrize("path", ["/", "/stranger", "/hellofriend/healthz", "/v1x/models", "/normalize", "/healthz"])
def test_a_path_of_nobody_is_not_found(path: str, client: httpx.Client) -> None:
    assert client.get(path).status_code == 404


def test_another_host_is_not_found(client: httpx.Client) -> None:
    for host in ("ai.prod.example.com", "hello.local.example.com", "127.0.0.1"):
        assert client.get("/hello/healthz", headers={"host": host}).status_code == 404, host
    assert client.get("/hello/healthz", headers={"host": f"{HOST}:8265"}).status_code == 200, "a port is no host"


def raw(host: traefik.Host, path: str) -> tuple[int, str]:
    """Status and body of GET of a path as it stands, dots and escapes included: httpx would make it plain before."""
    connection = HTTPConnection(host.clear.removeprefix("http://"), timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host.name, "Connection": "close"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/api/version", "/api/jobs/", "/api/serve/applications/", "/nodes?view=summary"])
@pytest.mark.parametrize(
    "below", ["", "/hello", "/gateway", "/v1", "/hello/..", "/hello/%2e%2e", "/hello%2f..", "/hello//", "//"]
)
def test_the_dashboard_is_at_no_path(path: str, below: str, served: Environment) -> None:
    status, body = raw(served.host, f"{below}{path}")
    assert status in {400, 401, 404}, (status, body)
    assert DASHBOARD not in body


def test_there_is_a_dashboard_that_would_have_been_seen(served: Environment) -> None:
    """Its node port is the laptop's own way in, of the local overlay; staging and prod have none."""
    for name, service in served.services.items():
        address = service.cluster.address(name, "dashboard", "dashboard")
        assert DASHBOARD in httpx.get(f"{address}/api/version", timeout=10).text


def test_the_host_s_ports_are_serve_s_alone(served: Environment, kube: Kube) -> None:
    """Traefik has the routes of the two pipelines and no other, and each goes to port 8000 of its serve Service."""
    routes = kube.list(traefik.HTTP_ROUTE)
    backends = {
        (route["metadata"]["namespace"], backend["name"], backend["port"])
        for route in routes
        for rule in route["spec"]["rules"]
        for backend in rule["backendRefs"]
    }
    assert backends == {(name, f"{name}-serve-svc", 8000) for name in served.services}


def events(answer: httpx.Response) -> Iterator[str]:
    return (line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: "))


def test_a_stream_comes_as_it_is_made_and_stops_when_its_client_leaves(client: httpx.Client) -> None:
    before = requests_now(client)
    with client.stream("POST", "/v1/chat/completions", json=chat(LONG, stream=True), headers=KEY) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        pieces = events(answer)
        for _ in range(3):
            assert json.loads(next(pieces))["object"] == "chat.completion.chunk"
        running = requests_now(client)
        assert running["running"] == before["running"] + 1, "three events are here, and the answer is far from its end"
    after = eventually(
        lambda: requests_now(client),
        itself,
        lambda found: found["running"] == before["running"],
        Timeout.SHORT,
        "the engine has noticed that nobody listens",
        every=0.2,
    )
    assert after["aborted"] == before["aborted"] + 1
    assert after["finished"] == before["finished"]


def test_a_stream_may_take_longer_than_a_minute(client: httpx.Client, record: Callable[..., None]) -> None:
    """60 s is the time-out that controllers have for requests, where they have one."""
    tokens = 2300
    with client.stream("POST", "/v1/chat/completions", json=chat(tokens, stream=True), headers=KEY) as answer:
        pieces = list(events(answer))
    assert pieces[-1] == "[DONE]"
    assert answer.elapsed.total_seconds() > 65, "else this shows nothing"
    record(stream_s=round(answer.elapsed.total_seconds(), 1), chunks=len(pieces))


def test_the_listener_s_certificate_is_the_host_s(served: Environment) -> None:
    with served.host.client(tls=True) as client:
        assert client.get("/hello/healthz").status_code == 200
        assert client.get("/v1/models", headers=KEY).status_code == 200
        assert client.get("/stranger").status_code == 404
    stranger = httpx.Client(base_url=served.host.tls, headers={"host": HOST}, trust_env=False)
    with stranger, pytest.raises(httpx.ConnectError, match="certificate"):
        stranger.get("/hello/healthz")


def test_as_in_base_the_clear_is_sent_to_https(served: Environment, kube: Kube) -> None:
    kube.apply(render(AS_IN_BASE))
    try:
        with served.host.client() as clear, served.host.client(tls=True) as tls:
            sent = eventually(
                lambda: clear.get("/hello/healthz?a=b"),
                itself,
                lambda answer: answer.status_code == 301,
                Timeout.SHORT,
                "the clear is closed",
            )
            assert sent.headers["location"] == f"https://{HOST}/hello/healthz?a=b"
            assert clear.get("/v1/models", headers=KEY).status_code == 301
            assert tls.get("/hello/healthz").status_code == 200
    finally:
        kube.delete(traefik.HTTP_ROUTE, "to-https", traefik.PLACE)
        kube.apply(render(CLEAR))
        traefik.wait_programmed(kube)


def test_a_namespace_without_the_label_gets_no_path(
    client: httpx.Client, kube: Kube, namespace: str, served: Environment
) -> None:
    """A route of a stranger is not taken, and the path that it wants stays nobody's."""
    route = next(obj for obj in served.services["hello"].objects if obj["kind"] == "HTTPRoute")
    spec = {**route["spec"], "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/mine"}}]}]}
    stranger = {**route, "metadata": {"name": "mine", "namespace": namespace}, "spec": spec}
    kube.apply([stranger])
    found = eventually(
        lambda: kube.get(traefik.HTTP_ROUTE, "mine", namespace),
        lambda obj: [c for p in obj.get("status", {}).get("parents", []) for c in p["conditions"]],
        bool,
        Timeout.SHORT,
        "the controller has seen the route",
    )
    assert {(c["type"], c["status"]) for c in found} >= {("Accepted", "False")}
    assert client.get("/mine").status_code == 404
