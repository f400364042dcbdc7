"""Clients that leave, many streams at once, and what is left of them in the engine and in memory: nothing."""

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType
from typing import Any

import httpx
import openai
import pytest

from apps.common.errors import PipelineError
from apps.llm.engine import Request
from tests.apps.llm.conftest import client_of
from tests.apps.llm.local import LocalEngines, arguments, at_rest, stats, until

BODY = {"model": "stand-in", "messages": [{"role": "user", "content": "Count, please."}], "stream": True}
STREAMS, LEAVING, ROUNDS = 200, 40, 3


def test_a_client_that_leaves_a_stream_aborts_the_request(serve_llm: Callable[..., str]) -> None:
    url = serve_llm(arguments(tpot_ms=50, answer_tokens=500))
    stream = client_of(url).chat.completions.create(**BODY)  # type: ignore[call-overload]
    assert next(iter(stream)).choices[0].delta.role == "assistant"
    assert stats(url)["total"]["running"] == 1
    stream.close()
    assert at_rest(url) == {"waiting": 0, "running": 0, "finished": 0, "aborted": 1, "failed": 0, "refused": 0}


def test_a_client_that_leaves_the_queue_leaves_its_place(serve_llm: Callable[..., str]) -> None:
    url = serve_llm(arguments(tpot_ms=20, max_running=1, answer_tokens=150))
    with client_of(url).chat.completions.create(**BODY) as first:  # type: ignore[call-overload]
        next(iter(first))
        with pytest.raises(openai.APITimeoutError):
            client_of(url, timeout=0.2).chat.completions.create(**BODY)  # type: ignore[call-overload]
        until(lambda: not stats(url)["total"]["waiting"], lambda: "still in the queue")
        assert stats(url)["total"]["running"] == 1
        list(first)
    total = at_rest(url)
    assert (total["finished"], total["aborted"]) == (1, 1)


async def one_stream(client: httpx.AsyncClient, leaves: bool) -> str:
    """How it went: `left` after its third event, or `whole`."""
    seen = 0
    # Who leaves has asked for an answer of half a minute: however busy this machine is, it leaves in the middle.
    body = BODY if leaves else {**BODY, "max_tokens": 60}
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        async for line in answer.aiter_lines():
            seen += bool(line)
            if leaves and seen == 3:
                return "left"
            if line == "data: [DONE]":
                return "whole"
    return "broken"


async def a_round(url: str) -> list[str]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        return await asyncio.gather(*(one_stream(client, number % 5 == 0) for number in range(STREAMS)))


@pytest.fixture
def many(serve_llm: Callable[..., str]) -> str:
    args = arguments(ttft_ms=50, tpot_ms=10, answer_tokens=3000, max_running=120, kv_tokens=1_000_000)
    return serve_llm(args, LocalEngines(args, stream_interval_ms=50))


def test_200_streams_of_which_a_fifth_leaves_leave_nothing_behind(many: str, caplog: pytest.LogCaptureFixture) -> None:
    """Some wait in the queue; they leave from there and from the middle of their answers."""
    caplog.set_level(logging.WARNING, "ray.serve")  # pytest would keep every request's line
    sizes = []
    for number in range(1, ROUNDS + 1):
        outcomes = asyncio.run(a_round(many))
        assert (outcomes.count("whole"), outcomes.count("left")) == (STREAMS - LEAVING, LEAVING)
        total = at_rest(many)
        assert total["finished"] == number * (STREAMS - LEAVING), total
        assert total["aborted"] == number * LEAVING, total
        assert (total["failed"], total["refused"]) == (0, 0)
        sizes.append(at_last())
    # The first round fills caches.
    assert sizes[-1] <= sizes[0], sizes


def at_last() -> int:
    """How many objects there are of what requests are made of, when no connection is being closed any more."""
    seen: list[int] = []
    while len(seen) < 3 or len({*seen[-3:]}) > 1:
        assert len(seen) < 100, f"never at rest: {seen}"
        time.sleep(0.2)
        gc.collect()
        seen.append(sum(map(of_a_request, gc.get_objects())))
    return seen[-1]


def of_a_request(thing: object) -> bool:
    """Whether it is an object, or a running function, of the pipelines: closing connections come and go."""
    if isinstance(thing, CoroutineType):
        return "/apps/" in thing.cr_code.co_filename
    if isinstance(thing, AsyncGeneratorType):
        return "/apps/" in thing.ag_code.co_filename
    return str(type(thing).__module__).startswith("apps.")


def test_what_runs_ends_when_the_engine_is_closed_and_nothing_new_begins(serve_llm: Callable[..., str]) -> None:
    args = arguments(tpot_ms=10)
    engines = LocalEngines(args)
    url = serve_llm(args, engines)
    stream = iter(client_of(url).chat.completions.create(**BODY))  # type: ignore[call-overload]
    next(stream)
    engines.replicas[0].__del__()
    *_, last = list(stream)
    assert last.choices[0].finish_reason == "stop"
    with pytest.raises(openai.InternalServerError) as caught:
        client_of(url).chat.completions.create(**BODY, extra_body={"timeout_s": 1})  # type: ignore[call-overload]
    assert caught.value.code in {"unavailable", "deadline_exceeded"}


def test_the_bound_of_the_engine_s_side_holds_without_the_ingress() -> None:
    """The word that a client left may be lost between processes: the request ends at its deadline all the same."""
    (replica,) = LocalEngines(arguments(tpot_ms=20, answer_tokens=1000)).replicas

    async def run() -> Any:
        with pytest.raises(TimeoutError):
            async for _ in replica.generate(Request(id="1", model="stand-in", prompt="x"), timeout_s=0.2):
                pass
        return await replica.stats()

    found = asyncio.run(run())
    assert (found.requests, found.models["stand-in"].aborted, found.models["stand-in"].running) == (0, 1, 0)


def test_a_request_that_is_refused_is_not_counted() -> None:
    (replica,) = LocalEngines(arguments(max_running=1)).replicas

    async def run() -> Any:
        with pytest.raises(PipelineError):
            async for _ in replica.generate(Request(id="1", model="stand-in", prompt="x", fields={"tools": [1]}), 1):
                pass
        return await replica.stats()

    counts = asyncio.run(run()).models["stand-in"]
    assert (counts.aborted, counts.failed, counts.finished) == (0, 0, 0), "it was never taken"
