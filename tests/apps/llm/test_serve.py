"""The own server in a real Ray Serve of this machine: what needs processes.

A client that leaves aborts its request in another process, every replica is in `/stats`, requests that begin alike go
to one replica, and a replica that goes lets its streams end.
"""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from apps.llm.settings import LlmArgs
from tests.apps.llm.conftest import client_of
from tests.apps.llm.local import arguments, at_rest, stats
from tests.benchmarks import llm_streams

ROOT = str(Path(__file__).resolve().parents[3])
ROUTER = "ray.serve.experimental.consistent_hash_router.ConsistentHashRouter"
ARGS = arguments(ttft_ms=20, tpot_ms=20, answer_tokens=100)
BODY = {"model": "stand-in", "messages": [{"role": "user", "content": "Count, please."}], "stream": True}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def deploy(args: LlmArgs) -> None:
    """As serve.yaml does: two replicas of everything, the router that looks at prompts."""
    from ray import serve

    from apps.llm.deployments import Ingress, LlmEngine

    small: dict[str, Any] = {"max_ongoing_requests": 512, "ray_actor_options": {"num_cpus": 0.1}, "num_replicas": 2}
    going = {"graceful_shutdown_timeout_s": 60, "graceful_shutdown_wait_loop_s": 0.2}
    engine = LlmEngine.options(
        **small, **going, user_config={"stream_interval_ms": 50}, request_router_config={"request_router_class": ROUTER}
    )
    ingress = Ingress.options(**small, **going, user_config={"revision": "1"})
    serve.run(ingress.bind(args, engine.bind(args)), name="llm")


@pytest.fixture(scope="module")
def live() -> Iterator[str]:
    import ray
    from ray import serve

    port = free_port()
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=100_000_000,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": ROOT}},
    )
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        deploy(ARGS)
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()
    finally:
        ray.shutdown()


def test_every_replica_is_in_the_stats_with_its_memory(live: str) -> None:
    found = stats(live)
    processes = [*found["engines"], *found["ingresses"]]
    assert (len(found["engines"]), len(found["ingresses"])) == (2, 2)
    assert len({each["pid"] for each in processes}) == len({each["replica"] for each in processes}) == 4
    assert all(each["rss_bytes"] > 30_000_000 for each in processes)


def test_a_client_that_leaves_aborts_the_request_in_the_other_process(live: str) -> None:
    before = at_rest(live)["aborted"]
    stream = client_of(live).chat.completions.create(**BODY)  # type: ignore[call-overload]
    next(iter(stream))
    stream.close()
    assert at_rest(live)["aborted"] == before + 1
    with pytest.raises(openai.APITimeoutError):
        client_of(live, timeout=0.5).completions.create(model="stand-in", prompt="x")
    assert at_rest(live)["aborted"] == before + 2


def test_streams_of_which_a_part_leaves_leave_nothing_behind(live: str) -> None:
    found = llm_streams.measure(live, "stand-in", streams=40, leaving=0.25, rounds=2)
    assert (found["whole"], found["left"], found["failed"]) == (60, 20, 0), found
    assert found["leaked"] == 0, found
    assert found["engines"]["aborted"] > 0, found


def test_requests_that_begin_alike_go_to_the_replica_that_has_seen_the_beginning(live: str) -> None:
    """Of twelve conversations of two turns each second turn finds its first one cached: chance would find half."""
    client = client_of(live)
    cached = []
    for number in range(12):
        first: list[Any] = [{"role": "user", "content": f"Conversation {number}: " + "word " * 60}]
        client.chat.completions.create(model="stand-in", messages=first, max_tokens=2)
        turn: list[Any] = [*first, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And?"}]
        usage = client.chat.completions.create(model="stand-in", messages=turn, max_tokens=2).usage
        assert usage
        assert usage.prompt_tokens_details
        cached.append(usage.prompt_tokens_details.cached_tokens)
    assert all(cached), cached
    requests = [each["models"]["stand-in"]["finished"] for each in stats(live)["engines"]]
    assert all(requests), "one replica has all of them"


def test_a_replica_that_goes_lets_its_streams_end(live: str) -> None:
    """Other arguments: every replica is replaced, while streams of two seconds run. None of them is cut."""

    async def run() -> list[str]:
        async with httpx.AsyncClient(base_url=live, timeout=60) as client:
            running = [asyncio.ensure_future(llm_streams.stream(client, "stand-in", False, n)) for n in range(10)]
            await asyncio.sleep(0.5)
            change = asyncio.to_thread(deploy, arguments(ttft_ms=10, tpot_ms=20, answer_tokens=100))
            *outcomes, _ = await asyncio.gather(*running, change)
            return [str(outcome) for outcome in outcomes]

    pids = {each["pid"] for each in stats(live)["engines"]}
    assert asyncio.run(run()) == ["whole"] * 10
    assert not pids & {each["pid"] for each in stats(live)["engines"]}, "nothing was replaced"
    assert at_rest(live)["aborted"] == 0
