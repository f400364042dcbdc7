"""Shares over real requests, sessions, shadows, reloads under load, and what is counted."""

import asyncio
import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from apps.gateway.deployments import GatewayIngress
from apps.gateway.metrics import COUNTERS, Metrics, RayInstruments
from apps.gateway.routing import Attempt
from apps.gateway.settings import GatewayArgs, IngressSettings
from apps.gateway.usage import StreamMeter, Usage, usage_in
from tests.apps.gateway.backend import KEY, MESSAGES, Backend, Running, eventually, replace, route, start, target
from tests.benchmarks import gateway_split
from tests.benchmarks.gateway_split import interval

BODY = {"model": "both", "messages": MESSAGES}
AUTH = {"authorization": f"Bearer {KEY}"}


def post(running: Running, body: Any = BODY, **headers: str) -> httpx.Response:
    return httpx.post(f"{running.url}/v1/chat/completions", json=body, headers={**AUTH, **headers}, timeout=20)


def both(urls: tuple[str, str], share: float, **more: Any) -> dict[str, Any]:
    return route("both", target("one", urls[0], 1 - share), target("two", urls[1], share), **more)


async def _quick_backend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server of models that spends as little time as it can: it answers each request with its model's name."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            model = json.loads(await reader.readexactly(length))["model"]
            body = json.dumps({"model": model, "choices": []}).encode()
            start_of_it = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
            writer.write(start_of_it + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def _ask_many(url: str, count: int, lines: int) -> Counter[str]:
    """Send `count` requests over `lines` kept connections; the models that answered."""
    port = int(url.rpartition(":")[2])
    content = json.dumps(BODY).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    # What is asked is who answers, not when: a busy machine may stand still for many seconds.
    head += f"x-request-timeout-ms: 120000\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    seen: Counter[str] = Counter()

    async def line(requests: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests):
            writer.write(head.encode() + content)
            found = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(found.partition(b"content-length:")[2].split(b"\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            assert found.startswith(b"http/1.1 200"), body
            assert f"x-served-by: {body['model'].removesuffix('-there')}".encode() in found
            seen[body["model"]] += 1
        writer.close()

    await asyncio.gather(*(line(count // lines) for _ in range(lines)))
    return seen


@pytest.mark.timeout(300)
def test_ten_thousand_requests_are_split_by_weight(
    serving: Callable[[Any], str], args: GatewayArgs, caplog: pytest.LogCaptureFixture
) -> None:
    """Through the whole application: real sockets in and out; the draws are those of seed 5."""
    caplog.set_level(logging.WARNING, "ray.serve")  # pytest would keep ten thousand lines
    found = start(serving, args, rng=random.Random(5))  # noqa: S311

    async def run() -> Counter[str]:
        server = await asyncio.start_server(_quick_backend, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found.configure(both((url, url), 0.05))
        async with server:
            return await _ask_many(found.url, 10_000, 8)

    served = asyncio.run(run())
    least, most = interval(0.05, 10_000)
    assert sum(served.values()) == 10_000
    assert least <= served["two-there"] <= most
    counted = found.counted.of("gateway_requests")
    assert counted["model=both target=two key=all status=ok"] == served["two-there"]


def test_the_benchmark_of_the_split_sees_shares_failures_and_sessions(
    running: Running, urls: tuple[str, str], two: Backend
) -> None:
    running.configure(both(urls, 0.5))
    seen = gateway_split.measure(running.url, KEY, "both", {"one": 0.5, "two": 0.5}, requests=200)
    assert (seen["failed"], seen["within"], seen["flipped"]) == (0, True, 0)
    assert not gateway_split.measure(running.url, KEY, "both", {"one": 0.9, "two": 0.1}, requests=200)["within"]
    two.what = 400
    assert gateway_split.measure(running.url, KEY, "both", {"one": 0.5, "two": 0.5}, requests=50)["failed"] > 0


def test_sessions_and_users_stay_and_the_header_is_the_stronger(running: Running, urls: tuple[str, str]) -> None:
    running.configure(both(urls, 0.5))
    for number in range(12):
        name = f"s{number}"
        by_header = {post(running, **{"x-session-id": name}).headers["x-served-by"] for _ in range(3)}
        by_user = {post(running, {**BODY, "user": name}).headers["x-served-by"] for _ in range(3)}
        crossed = {post(running, {**BODY, "user": "s0"}, **{"x-session-id": name}).headers["x-served-by"]}
        assert len(by_header) == 1
        assert by_header == by_user == crossed
    assert len({post(running).headers["x-served-by"] for _ in range(40)}) == 2, "without a name anybody answers"
    before = [post(running, **{"x-session-id": f"s{number}"}).headers["x-served-by"] for number in range(12)]
    running.configure(route("other", target("one", urls[0])), both(urls, 0.5, timeout_s=9), revision="2")
    assert [post(running, **{"x-session-id": f"s{number}"}).headers["x-served-by"] for number in range(12)] == before


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["ok", "hang", 500, "dead"])
def test_a_shadow_never_delays_or_fails_the_answer(
    running: Running, one: Backend, two: Backend, urls: tuple[str, str], what: Any
) -> None:
    two.what = what
    shadow = {
        "name": "next",
        "url": "http://127.0.0.1:9/v1" if what == "dead" else f"{urls[1]}/v1",
        "model": "next-there",
    }
    running.configure(route("both", target("one", urls[0]), shadow={**shadow, "share": 1.0}), shadow_in_flight=2)
    for stream in (False, True):
        answers = [post(running, {**BODY, "stream": stream}) for _ in range(5)]
        assert {(answer.status_code, answer.headers["x-served-by"]) for answer in answers} == {(200, "one")}
    outcome = {"ok": "answered", "hang": "dropped", 500: "status", "dead": "connect"}[what]
    name = f"model=both target=next outcome={outcome}"
    eventually(lambda: running.counted.of("gateway_shadow").get(name))
    if what == "hang":
        assert running.counted.of("gateway_shadow")[name] == 8, "two are on their way, the others were dropped"
        assert len(two.seen) == 2
    if what == "ok":
        eventually(lambda: sum(running.counted.of("gateway_shadow").values()) == 10)
        assert two.seen[0].body["model"] == "next-there"
        assert two.seen[0].body["messages"] == MESSAGES
    assert set(running.counted.of("gateway_requests")) == {"model=both target=one key=all status=ok"}


def test_a_shadow_gets_its_share_and_its_stream_is_read_to_the_end(
    running: Running, two: Backend, urls: tuple[str, str]
) -> None:
    shadow = {"name": "next", "url": f"{urls[1]}/v1", "model": "next-there", "share": 0.5}
    running.configure(route("both", target("one", urls[0]), shadow=shadow), shadow_in_flight=100)
    for _ in range(40):
        post(running, {**BODY, "stream": True})
    eventually(lambda: two.running == 0)
    assert 5 < len(two.seen) < 35
    eventually(
        lambda: running.counted.of("gateway_shadow").get("model=both target=next outcome=answered") == len(two.seen)
    )
    assert not two.left.is_set() or two.running == 0


def test_a_reload_under_load_fails_no_request_and_is_taken_at_once(running: Running, urls: tuple[str, str]) -> None:
    running.configure(both(urls, 0.05))
    seen: list[tuple[int, str]] = []
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(headers=AUTH, timeout=20) as client:
            while not stop.is_set():
                answer = client.post(f"{running.url}/v1/chat/completions", json={**BODY, "stream": len(seen) % 2 == 0})
                seen.append((answer.status_code, answer.headers.get("x-served-by", "")))

    def more(count: int) -> None:
        eventually(lambda: len(seen) > count + 30, 20)

    with ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(load) for _ in range(4)]
        for share in (0.5, 0.95, 0.05, 1.0):
            count = len(seen)
            more(count)
            running.configure(both(urls, share))
        count = len(seen)
        more(count)
        stop.set()
        for task in tasks:
            task.result()
    assert {status for status, _ in seen} == {200}
    assert {name for _, name in seen[count + 8 :]} == {"two"}


def test_a_stream_on_its_way_keeps_its_route(running: Running, one: Backend, urls: tuple[str, str]) -> None:
    running.configure(route("both", target("one", urls[0])))
    one.what = "slow"
    with httpx.stream(
        "POST", f"{running.url}/v1/chat/completions", json={**BODY, "stream": True}, headers=AUTH, timeout=20
    ) as answer:
        pieces = answer.iter_raw()
        assert b"Ray" in next(pieces)
        running.configure(route("both", target("two", urls[1])))
        assert post(running).headers["x-served-by"] == "two"
        assert one.running == 1, "it goes on"
    assert one.left.wait(5)


def test_wrong_routes_are_refused_and_the_old_ones_stay(
    args: GatewayArgs, urls: tuple[str, str], tmp_path: Path
) -> None:
    replica = GatewayIngress(args, None)
    good = {"routes": [both(urls, 0.5)]}
    replica.reconfigure(good)
    table = replica.gateway.table
    for wrong, field in (
        ({"routes": [{**both(urls, 0.5), "wieght": 1}]}, "routes.0.wieght"),
        ({"routes": [both(urls, 0.5)], "route": []}, "route"),
        ({"routes": [both(urls, 0.5, fallback=["x"])]}, "routes"),
    ):
        with pytest.raises(ValidationError, match=field):
            replica.reconfigure(wrong)
    with pytest.raises(FileNotFoundError):
        replica.reconfigure({"routes": [route("a", target("a", urls[0], api_key_file=str(tmp_path / "none")))]})
    assert replica.gateway.table is table
    assert replica.gateway.settings == IngressSettings.model_validate(good)


def test_a_backend_that_wants_a_key_gets_the_gateway_s_own(
    running: Running, one: Backend, urls: tuple[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "upstream-key"
    file.write_text("sk-upstream\n")
    running.configure(route("both", target("one", urls[0], api_key_file=str(file))))
    post(running)
    assert one.seen[-1].headers["authorization"] == "Bearer sk-upstream"
    replace(file, "sk-next")
    time.sleep(1.1)
    post(running)
    assert one.seen[-1].headers["authorization"] == "Bearer sk-next"


def test_what_was_asked_is_counted_by_model_target_and_key(running: Running, urls: tuple[str, str]) -> None:
    running.configure(both(urls, 1.0))
    post(running)
    post(running, {**BODY, "stream": True})
    who = "model=both target=two key=all"
    eventually(lambda: running.counted.of("gateway_requests") == {f"{who} status=ok": 2})
    assert running.counted.of("gateway_tokens_in") == {who: 14}
    assert running.counted.of("gateway_tokens_out") == {who: 6}
    assert running.counted.observed["gateway_first_byte_seconds model=both target=two"] == 2


def test_every_number_has_a_place_in_ray(monkeypatch: pytest.MonkeyPatch, urls: tuple[str, str]) -> None:
    """The tags that are given are those that were declared: Ray refuses others."""
    instruments = RayInstruments()
    given: list[str] = []

    def watch(name: str, metric: Any) -> None:
        final = metric._get_final_tags

        def watched(tags: Any) -> Any:
            given.append(name)
            return final(tags)

        monkeypatch.setattr(metric, "_get_final_tags", watched)

    for name, metric in {**instruments._counters, **instruments._histograms}.items():
        watch(name, metric)
    metrics = Metrics(instruments)
    (made,) = IngressSettings.model_validate({"routes": [route("m", target("t", urls[0]))]}).routes
    attempt = Attempt(made, made.targets[0], fallback=False)
    metrics.answered(attempt, "k", "ok", Usage(1, 1))
    metrics.first_byte(attempt, 0.1)
    metrics.failed(attempt, "connect")
    metrics.unanswered("m", "k", "503")
    metrics.fell_back("m", attempt)
    metrics.refused("k", "tokens")
    metrics.shadow("m", "t", "dropped")
    metrics.limiter_silent()
    assert set(given) == {*COUNTERS, "gateway_first_byte_seconds"}


@pytest.mark.parametrize(
    ("content", "usage"),
    [
        (b'{"usage": {"prompt_tokens": 5, "completion_tokens": 2, "d": {"x": 1}}, "more": 1}', Usage(5, 2)),
        (b'{"choices": [{"text": "\\"usage\\": {\\"prompt_tokens\\": 9}"}]}', None),
        (b'{"usage":null}', None),
        (b'{"usage": {"prompt_tokens": -5, "completion_tokens": "x"}}', Usage(0, 0)),
        (b'{"usage": {"prompt_tokens": 5', None),
        (b'{"usage": {"prompt_tokens": 1}} "usage": {"prompt_tokens": 3}\xff', Usage(3, 0)),
    ],
)
def test_usage_is_found_in_the_bytes_of_an_answer(content: bytes, usage: Usage | None) -> None:
    assert usage_in(content) == usage


EVENTS = [
    b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n',
    b'data: {"choices":[{"delta":{"content":"\\"choices\\": []"}}]}\r\n\r\n',
]
LAST = b'data: {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_the_usage_that_nobody_asked_for_is_held_back_however_the_bytes_come(size: int) -> None:
    sent = b"".join([*EVENTS, LAST, DONE])
    for hide, expected in ((True, b"".join([*EVENTS, DONE])), (False, sent)):
        meter = StreamMeter(hide)
        got = b"".join(meter.feed(sent[place : place + size]) for place in range(0, len(sent), size)) + meter.rest()
        assert got == expected
        assert meter.usage(400) == Usage(4, 2)


def test_a_stream_without_word_of_its_usage_is_guessed_and_nothing_of_it_is_lost() -> None:
    meter = StreamMeter(hide=True)
    got = meter.feed(b"".join(EVENTS) + b"data: half")
    assert got + meter.rest() == b"".join(EVENTS) + b"data: half"
    assert meter.usage(400) == Usage(100, 3, told=False)
    endless = StreamMeter(hide=True)
    assert endless.feed(b"x" * 2_000_000) == b"x" * 2_000_000, "not kept in memory"
