"""Streams of the real engine: clients that leave, a full queue, a changed config, intervals, and where prefixes go."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import httpx
import pytest

from tests.vllm.conftest import CONTEXT, ENGINE, MODEL, OWN, RAY_LLM, App
from tests.vllm.serving import eventually

LONG: dict[str, Any] = {
    "model": MODEL, "messages": [{"role": "user", "content": "Tell me of the moon."}], "temperature": 0,
    "max_tokens": CONTEXT - 100,
}  # fmt: skip
SHORT = {**LONG, "max_tokens": 200}
QUIET_TIMEOUT_S = 30.0


def at_rest(app: App) -> dict[str, int]:
    """The counts once no engine holds a request."""
    total: dict[str, int] = eventually(
        lambda: app.stats()["total"],
        lambda counts: counts["running"] == counts["waiting"] == 0,
        QUIET_TIMEOUT_S,
        "no request in the engine",
    )
    return total


def test_options_by_name_win_over_those_of_the_code(app: App) -> None:
    deployed = app.serve.applications()["llm"]["deployments"]
    assert {name for name in deployed if name != "Ingress"} == {app.engine}
    found = deployed[app.engine]["deployment_config"]
    assert found["graceful_shutdown_timeout_s"] == 120
    assert deployed[app.engine]["target_num_replicas"] == 1
    if app.kind == RAY_LLM:
        assert {"CPU": 1.5} in app.serve.bundles()
        assert found["health_check_timeout_s"] == 120, "what the Serve config does not name stays as the code has it"


def test_a_client_that_leaves_a_stream_aborts_it_in_the_engine(app: App) -> None:
    before = at_rest(app)
    with app.client().chat.completions.create(**LONG, stream=True) as stream:
        for _ in range(4):
            next(stream)
        assert app.stats()["total"]["running"] == 1
    after = at_rest(app)
    assert (after["aborted"], after["finished"]) == (before["aborted"] + 1, before["finished"])


def test_a_client_that_leaves_before_the_answer_aborts_it_in_the_engine(app: App) -> None:
    """Of a replica, without Ray's HAProxy: that one passes on that a client left only where something is being sent.

    Behind it an answer that is not streamed is made to its end, or to the end of its time (2.60, HAProxy 2.8).
    """
    before = at_rest(app)
    url = app.serve.ingress_url()

    async def leave() -> None:
        async with httpx.AsyncClient(timeout=120) as client:
            asked = asyncio.ensure_future(client.post(f"{url}/v1/chat/completions", json=LONG))
            while not asked.done() and not held(await asyncio.to_thread(app.stats)):
                await asyncio.sleep(0.01)
            assert asked.cancel(), "the answer came before the engine was seen at work"

    asyncio.run(leave())
    after = at_rest(app)
    assert (after["aborted"], after["finished"]) == (before["aborted"] + 1, before["finished"])


def held(stats: dict[str, Any]) -> bool:
    """Whether an engine has a request; before its first piece it counts as waiting."""
    return bool(stats["total"]["running"] or stats["total"]["waiting"])


def test_of_many_streams_each_is_counted_once_however_it_ended(app: App) -> None:
    before = at_rest(app)

    def stream(number: int) -> int:
        asked = LONG if number % 2 else SHORT
        with app.client().chat.completions.create(**asked, stream=True) as chunks:
            for seen, _ in enumerate(chunks):
                if number % 2 and seen == number:
                    return seen
        return -1

    with ThreadPoolExecutor(12) as pool:
        left = [seen for seen in pool.map(stream, range(12)) if seen >= 0]
    after = at_rest(app)
    assert len(left) == 6
    assert after["aborted"] - before["aborted"] == 6
    assert after["finished"] - before["finished"] == 6
    assert after["failed"] == before["failed"]


def test_a_full_queue_is_503_with_retry_after_and_nothing_else_breaks(app: App) -> None:
    app.serve.deploy(app.changed(max_ongoing_requests=1, max_queued_requests=1))
    try:
        with ThreadPoolExecutor(8) as pool:
            url = f"{app.url}/v1/chat/completions"
            answers = list(pool.map(lambda _: httpx.post(url, json=SHORT, timeout=120), range(8)))
    finally:
        app.serve.deploy(app.config)
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in answers:
        if answer.status_code == 503:
            assert float(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["code"] == "overloaded"
    at_rest(app)


def writes(app: App) -> tuple[list[bytes], str]:
    """What comes over the line of one stream, write by write, and its text."""
    parts: list[bytes] = []
    body = {**SHORT, "stream": True}
    with httpx.stream("POST", f"{app.url}/v1/chat/completions", json=body, timeout=120) as answer:
        parts.extend(answer.iter_raw())
    with app.client().chat.completions.create(**SHORT, stream=True) as chunks:
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    return parts, text


def repeated(app: App, stop: threading.Event) -> Iterator[tuple[str, str]]:
    """Streams one after the other until `stop`: how each ended, and its text."""
    while not stop.is_set():
        try:
            with app.client().chat.completions.create(**SHORT, stream=True) as chunks:
                choices = [choice for chunk in chunks for choice in chunk.choices]
        except Exception as error:
            status = getattr(error, "status_code", None)
            # Between the old replica and the new one there is none: that is said before anything is sent.
            yield ("refused", "") if status in (503, 504) else (repr(error), "")
        else:
            text = "".join(choice.delta.content or "" for choice in choices)
            yield str(choices[-1].finish_reason if choices else "empty"), text
        time.sleep(0.2)


def test_a_changed_config_breaks_no_stream_and_a_longer_interval_joins_pieces(app: App) -> None:
    """One change shows both: the replica is replaced while streams run, and the new one joins pieces for longer."""
    parts, text = writes(app)
    config = deepcopy(app.config)
    if app.kind == RAY_LLM:
        config["args"]["engine"]["stream_interval_ms"] = 250
    else:
        # The interval is live here, without a new replica; another argument makes one.
        config["args"]["engine"]["max_waiting"] = 200
        next(each for each in config["deployments"] if each["name"] == ENGINE)["user_config"] = {
            "stream_interval_ms": 250
        }
    replicas = {each["replica_id"] for each in replicas_of(app)}
    stop = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(lambda: list(repeated(app, stop))) for _ in range(2)]
        try:
            app.serve.put(config)
            eventually(
                lambda: {each["replica_id"] for each in replicas_of(app) if each["state"] == "RUNNING"},
                lambda seen: bool(seen) and not seen & replicas,
                900,
                "another replica",
            )
            app.serve.settled()
        finally:
            stop.set()
        ended = [each for future in running for each in future.result()]
    assert {how for how, _ in ended} <= {"length", "refused"}, ended
    assert {text for how, text in ended if how == "length"} == {text}
    assert ended[0][0] == "length"
    joined, same = writes(app)
    assert same == text
    assert len(joined) < len(parts)
    if app.kind == OWN:
        assert events(joined) < events(parts)


def events(parts: list[bytes]) -> int:
    return b"".join(parts).count(b"data: ")


def replicas_of(app: App) -> list[dict[str, Any]]:
    # While an application is built anew, its deployments may not be listed.
    deployments = app.serve.seen().get("llm", {}).get("deployments", {})
    found: list[dict[str, Any]] = deployments.get(app.engine, {}).get("replicas", [])
    return found


@pytest.mark.parametrize("app", [RAY_LLM], indirect=True)
def test_prompts_that_begin_alike_go_to_one_replica(app: App) -> None:
    """The last test of this server: the second replica is one more copy of the engine in memory."""
    app.serve.deploy(app.changed(num_replicas=2))
    eventually(lambda: app.stats()["engines"], lambda engines: len(engines) == 2, 60, "both replicas say their counts")
    used = set()
    for beginning in ("The wombat", "A river", "Seven trains"):
        before = finished(app)
        for number in range(6):
            content = f"{beginning} {'and nothing else happens for a long while ' * 5}until {number}"
            asked: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "max_tokens": 2}
            app.client().chat.completions.create(model=MODEL, **asked)
        after = finished(app)
        where = {replica: after[replica] - before[replica] for replica in after if after[replica] > before[replica]}
        assert list(where.values()) == [6], (beginning, where)
        used |= set(where)
    assert used


def finished(app: App) -> dict[str, int]:
    at_rest(app)
    return {each["replica"]: each["models"][MODEL]["finished"] for each in app.stats()["engines"]}
