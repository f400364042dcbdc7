"""Models behind the gateway on kind: llm, embeddings and the gateway, each its own RayService in its own namespace.

`ray.serve.llm` cannot be imported without vLLM, so llm here is apps/llm's own server on its stand-in engine: it proves
the protocol, the routes, streams and what a lost client or backend does. vLLM itself is `./scripts/test --vllm`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from rayops.kube import Kube, Timeout, eventually
from rayops.kube.objects import Obj
from rayops.paths import ROOT
from rayops.render import one, serve_config
from tests.benchmarks import gateway_split, llm_streams
from tests.e2e import checks, own_openai
from tests.harness import Cluster, Load, ServiceUnderTest, faults, selectors
from tests.harness import overlay as o
from tests.harness.load import Request

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
LOCAL = ROOT / "overlays" / "local"
BACKENDS = ("llm", "embeddings")
KEY = "local-demo-key"
HEADERS = {"authorization": f"Bearer {KEY}"}
CHAT, NEXT, SMALL, ALIAS = "stand-in", "stand-in-next", "stand-in-small", "assistant"
EMBEDDINGS = "all-minilm-l6-v2"


def chats(body: Any) -> bool:
    """Whether it is an answer of a chat."""
    return bool(body["choices"][0]["message"]["content"])


@dataclass(frozen=True)
class Models:
    """What the tests share, in the order in which it was deployed."""

    llm: ServiceUnderTest
    embeddings: ServiceUnderTest
    gateway: ServiceUnderTest


@pytest.fixture(scope="module")
def models(
    cluster: Cluster, kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> Iterator[Models]:
    with ExitStack() as stack:
        names = {name: stack.enter_context(new_namespace(name)) for name in (*BACKENDS, "gateway")}
        llm, embeddings = (ServiceUnderTest.deploy(cluster, kube, names[name], LOCAL / name) for name in BACKENDS)
        found = backends_in({name: names[name] for name in BACKENDS})
        gateway = ServiceUnderTest.deploy(cluster, kube, names["gateway"], LOCAL / "gateway", found)
        yield Models(llm, embeddings, gateway)


def backends_in(namespaces: dict[str, str]) -> o.Change:
    """The gateway's targets are where the tests have put them."""

    def edit(service: Obj) -> None:
        for name, namespace in namespaces.items():
            old, new = f"//{name}-serve-svc.{name}:", f"//{name}-serve-svc.{namespace}:"
            service["serveConfigV2"] = service["serveConfigV2"].replace(old, new)

    return o.spec(edit)


@pytest.fixture(params=["llm", "gateway"])
def service(request: pytest.FixtureRequest, models: Models) -> ServiceUnderTest:
    found: ServiceUnderTest = getattr(models, request.param)
    return found


def test_it_is_healthy_ready_and_answers_right(
    service: ServiceUnderTest, kube: Kube, record: Callable[..., None]
) -> None:
    record(**checks.right(service, kube, chats))


def test_bad_input_is_refused_and_restarts_nothing(service: ServiceUnderTest, kube: Kube) -> None:
    checks.unmoved_by_bad_input(service, kube, chats, HEADERS)


def test_openais_client_passes_unchanged_against_llm(models: Models, record: Callable[..., None]) -> None:
    with own_openai.client(models.llm.url) as asked:
        record(**own_openai.check(asked, CHAT, None))


def test_openais_client_passes_unchanged_against_the_gateway(models: Models, record: Callable[..., None]) -> None:
    with own_openai.client(models.gateway.url, KEY) as asked:
        record(**own_openai.check(asked, CHAT, EMBEDDINGS))
        own_openai.check(asked, SMALL, None)
    own_openai.asks_who_is_there(models.gateway.url, CHAT)


def test_an_alias_is_split_by_its_weights_and_a_session_never_flips(
    models: Models, record: Callable[..., None]
) -> None:
    seen = gateway_split.measure(models.gateway.url, KEY, ALIAS, {CHAT: 0.95, NEXT: 0.05}, requests=1000)
    record(**seen)
    assert seen["failed"] == 0
    assert seen["flipped"] == 0
    # 50 and five standard deviations: the draw is free, and a test must not fail once in a hundred runs. The 99 %
    # interval is in tests/apps/gateway, with a seed, and in gateway_split.py over 10,000.
    assert 16 <= seen["served"][NEXT] <= 84, seen


def test_weights_are_changed_under_load_without_a_failed_request(
    models: Models, folder: Path, record: Callable[..., None]
) -> None:
    gateway = models.gateway
    before = gateway.cluster_uids()
    with chat_load(gateway, ALIAS, folder / "load.jsonl") as load:
        time.sleep(3)
        changed_s = load.now()
        gateway.change(weights(ALIAS, {CHAT: 0.0, NEXT: 1.0}))
        gateway.wait_healthy()
        time.sleep(5)
        last_s = load.now() - 3
    record(**load.summary().as_dict(), changed_s=changed_s)
    assert load.summary().failures == 0, load.failures[:5]
    assert CHAT in {model for at, model in load.seen if at < changed_s}
    assert {model for at, model in load.seen if at > last_s} == {NEXT}
    assert gateway.cluster_uids() == before
    gateway.restore()


def test_a_dead_backend_costs_no_failed_request_where_a_fallback_is_declared(
    models: Models, kube: Kube, folder: Path, record: Callable[..., None]
) -> None:
    """llm's only worker dies under load: its model is answered by the fallback, then by itself again."""
    with chat_load(models.gateway, CHAT, folder / "load.jsonl") as load:
        time.sleep(3)
        killed_s = load.now()
        workers = models.llm.group("cpu")()
        for pod in workers:
            faults.kill_pod(kube, pod)
        eventually(lambda: load.seen, lambda seen: {model for _, model in seen}, lambda seen: SMALL in seen,
                   Timeout.SHORT, f"{SMALL} answers for {CHAT}")  # fmt: skip
        gone = selectors.uids(workers)
        eventually(models.llm.group("cpu"), selectors.uids, lambda now: not now & gone, Timeout.SHORT,
                   "the killed worker is gone")  # fmt: skip
        models.llm.wait_healthy()
        eventually(lambda: load.seen[-5:], lambda seen: {model for _, model in seen}, lambda seen: seen == {CHAT},
                   Timeout.MEDIUM, f"{CHAT} answers again")  # fmt: skip
    seen = [model for at, model in load.seen if at >= killed_s]
    record(**load.summary().as_dict(), killed_s=killed_s, by_fallback=seen.count(SMALL))
    assert load.summary().failures == 0, load.failures[:5]


@pytest.mark.parametrize("through", ["llm", "gateway"])
def test_200_streams_of_which_a_fifth_leaves_leave_nothing_behind(
    through: str, models: Models, record: Callable[..., None]
) -> None:
    """Through the gateway two hops carry the news. Its own model: it has no fallback, so that none is elsewhere."""
    if through == "llm":
        seen = llm_streams.measure(models.llm.url, CHAT, rounds=2)
    else:
        stats = f"{models.gateway.url}/llm"
        seen = llm_streams.measure(models.gateway.url, SMALL, stats_url=stats, key=KEY, rounds=2)
    record(**seen)
    assert seen["leaked"] == 0, seen
    assert seen["failed"] == 0, seen
    assert seen["left"] == seen["streams"] // 5


def test_what_a_model_is_asked_is_counted(models: Models, kube: Kube) -> None:
    """The metrics of the gateway say who asked which model."""
    with own_openai.client(models.gateway.url, KEY) as asked:
        asked.chat.completions.create(model=SMALL, messages=own_openai.MESSAGES, max_tokens=4)
    # The agent of each node gathers every few seconds.
    eventually(lambda: metrics(models.gateway, kube), lambda text: f'model="{SMALL}"' in text, bool,
               Timeout.SHORT, "the gateway's metrics name the model")  # fmt: skip


def metrics(service: ServiceUnderTest, kube: Kube) -> str:
    """What Prometheus would read of the pipeline's workers."""
    texts = []
    for pod in service.group("cpu")():
        script = (
            "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/metrics', timeout=5).read().decode())"
        )
        found = kube.exec(service.namespace, pod["metadata"]["name"], ["python", "-c", script])
        texts += [line for line in found.stdout.splitlines() if line.startswith("ray_gateway_")]
    return "\n".join(texts)


def chat_load(service: ServiceUnderTest, model: str, log: Path) -> Load:
    """A load of short chats; what is kept of each answer is the model that gave it."""
    body = {"model": model, "messages": own_openai.MESSAGES, "max_tokens": 4}
    request = Request(body, lambda answer: "" if chats(answer) else "no content", HEADERS)
    url = f"{service.url}/v1/chat/completions"
    return Load(url, [request], log=log, rate=5, timeout_s=20, observe=lambda answer: str(answer["model"]))


def weights(alias: str, wanted: dict[str, float]) -> o.Change:
    """Other shares of an alias' targets."""

    def edit(config: Obj) -> None:
        (ingress,) = (
            d for app in config["applications"] for d in app["deployments"] if "routes" in d.get("user_config", {})
        )
        (route,) = (each for each in ingress["user_config"]["routes"] if alias in (each["model"], *each["aliases"]))
        for target in route["targets"]:
            target["weight"] = wanted[target["model"]]

    return o.serve(edit)


def test_the_gateway_is_told_where_the_tests_have_put_its_models(models: Models) -> None:
    """Else the tests above would have asked somebody else's models."""
    config = str(serve_config(one(models.gateway.objects, "RayService")))
    assert models.llm.namespace in config
    assert models.embeddings.namespace in config
    assert httpx.get(f"{models.llm.url}/v1/models", timeout=10).status_code == 200
