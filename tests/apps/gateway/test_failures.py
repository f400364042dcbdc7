"""What goes wrong behind the gateway: dead, slow, busy and wrong backends, streams that break, clients that leave."""

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from apps.common.errors import PipelineError
from apps.gateway.cooldown import Cooldown
from apps.gateway.failures import BackendError, refusal
from apps.gateway.settings import GatewayArgs
from tests.apps.gateway.backend import KEY, MESSAGES, Backend, Running, eventually, route, start, target
from tests.apps.serving import Server

BODY = {"model": "one", "messages": MESSAGES}
STREAM = {**BODY, "stream": True}
AUTH = {"authorization": f"Bearer {KEY}"}
DEAD = "http://127.0.0.1:9"


def post(running: Running, body: Any, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
    return httpx.post(running.url + path, json=body, headers={**AUTH, **headers}, timeout=20)


@pytest.mark.parametrize("body", [BODY, STREAM])
def test_a_dead_backend_costs_no_request_where_a_fallback_is_declared(
    running: Running, two: Backend, urls: tuple[str, str], body: Any
) -> None:
    running.configure(
        route("one", target("one", DEAD), fallback=["two"]),
        route("two", target("two", urls[1])),
    )
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(running, body), range(40)))
    assert {(answer.status_code, answer.headers["x-served-by"]) for answer in answers} == {(200, "two")}
    assert len(two.seen) == 40
    assert {seen.body["model"] for seen in two.seen} == {"two-there"}
    assert running.counted.of("gateway_fallbacks") == {"model=one target=two": 40}
    failures = running.counted.of("gateway_failures")["model=one target=one reason=connect"]
    assert 3 <= failures < 20, "after three failures it is left out"


@pytest.mark.parametrize("status", [500, 502, 503, 429, 404, 401, 307])
@pytest.mark.parametrize("body", [BODY, STREAM])
def test_a_status_that_is_not_the_client_s_leads_to_the_fallback(
    running: Running, one: Backend, status: int, body: Any
) -> None:
    one.what, one.headers = status, {"location": "/elsewhere"}
    answer = post(running, body)
    assert (answer.status_code, answer.headers["x-served-by"]) == (200, "two")


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_status_that_is_the_client_s_is_its_answer(running: Running, one: Backend, two: Backend, status: int) -> None:
    one.what = status
    for body in (BODY, STREAM):
        answer = post(running, body)
        assert answer.status_code == (400 if status == 422 else status)
        assert answer.json()["error"]["code"] == "broken"
    assert not two.seen
    assert running.counted.of("gateway_requests") == {f"model=one target= key=all status={status}": 2}


def test_a_stream_that_does_not_begin_falls_back_and_a_whole_answer_has_its_time(
    running: Running, one: Backend, two: Backend, urls: tuple[str, str]
) -> None:
    first, second = urls
    running.configure(
        route("one", target("one", first), fallback=["two"], first_byte_timeout_s=0.5),
        route("two", target("two", second)),
    )
    one.delay_s = 0.9
    assert post(running, BODY).headers["x-served-by"] == "one"
    assert post(running, STREAM).headers["x-served-by"] == "two"
    assert running.counted.of("gateway_failures") == {"model=one target=one reason=timeout": 1}


def test_vectors_may_not_take_longer_than_a_first_byte(running: Running, one: Backend, urls: tuple[str, str]) -> None:
    running.configure(route("vectors", target("vectors", urls[0]), kind="embeddings", first_byte_timeout_s=0.3))
    one.what = "hang"
    answer = post(running, {"model": "vectors", "input": "a"}, "/v1/embeddings")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


@pytest.mark.parametrize(
    ("what", "headers", "status", "code"),
    [
        (500, {}, 502, "upstream_error"),
        (503, {}, 503, "unavailable"),
        (503, {"retry-after": "9"}, 503, "overloaded"),
        (429, {"retry-after": "9"}, 503, "overloaded"),
        (504, {}, 504, "deadline_exceeded"),
        (404, {}, 502, "upstream_error"),
        (401, {}, 502, "upstream_error"),
    ],
)
def test_when_nobody_answers_the_client_is_told_and_no_more(
    running: Running, two: Backend, what: int, headers: dict[str, str], status: int, code: str
) -> None:
    two.what, two.headers = what, headers
    answer = post(running, {**BODY, "model": "two"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert "secret" not in answer.text
    if headers:
        assert answer.headers["retry-after"] == "9"


def test_a_stream_that_breaks_ends_with_an_error_and_nobody_else_is_asked(
    running: Running, one: Backend, two: Backend, client: openai.OpenAI
) -> None:
    one.what = "die"
    chunks = client.chat.completions.create(model="one", messages=MESSAGES, stream=True)
    words = [choice.delta.content for choice in next(chunks).choices]
    with pytest.raises(openai.APIError) as broken:
        next(chunks)
    assert words == ["Ray"]
    assert broken.value.code == "unavailable"
    assert not two.seen, "a byte had gone out"
    assert running.counted.of("gateway_requests") == {"model=one target=one key=all status=cut": 1}


def test_a_stream_that_stops_ends_at_its_time(running: Running, one: Backend) -> None:
    one.what = "slow"
    started = time.monotonic()
    answer = post(running, STREAM, **{"x-request-timeout-ms": "700"})
    assert time.monotonic() - started < 5
    last = answer.text.strip().rpartition("data: ")[2]
    assert json.loads(last)["error"]["code"] == "deadline_exceeded"
    assert one.left.wait(5)


@pytest.mark.parametrize("what", ["slow", "hang"])
def test_when_the_client_leaves_a_stream_the_backend_sees_it_at_once(running: Running, one: Backend, what: str) -> None:
    one.what = what
    with socket.create_connection(("127.0.0.1", int(running.url.rpartition(":")[2]))) as connection:
        content = json.dumps(STREAM).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        eventually(lambda: one.seen)
        if what == "slow":
            got = b""
            while b"data:" not in got:
                got += connection.recv(65536)
    assert one.left.wait(5)
    eventually(lambda: one.running == 0)


def test_the_work_stops_when_the_client_leaves_before_a_whole_answer(running: Running, one: Backend) -> None:
    one.what = "hang"
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{running.url}/v1/chat/completions", json=BODY, headers=AUTH, timeout=0.3)
    assert one.left.wait(5)


def test_an_answer_that_is_too_large_is_cut_off(serving: Callable[[Any], str], args: GatewayArgs, one: Backend) -> None:
    small = start(serving, args.model_copy(update={"answer_bytes": 200}))
    small.configure(route("one", target("one", serving(one))))
    answer = post(small, BODY)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")


def test_a_backend_that_comes_back_is_asked_again(
    serving: Callable[[Any], str], args: GatewayArgs, one: Backend, two: Backend
) -> None:
    found = start(serving, args)
    now = [0.0]
    found.gateway.cooldown = Cooldown(clock=lambda: now[0])
    found.configure(
        route("one", target("one", serving(one)), fallback=["two"]), route("two", target("two", serving(two)))
    )
    one.what = 500
    for _ in range(3):
        post(found, BODY)
    one.what = "ok"
    assert post(found, BODY).headers["x-served-by"] == "two"
    assert len(one.seen) == 3
    now[0] = 5.1
    assert post(found, BODY).headers["x-served-by"] == "one"
    assert post(found, BODY).headers["x-served-by"] == "one"


def test_without_another_a_dead_backend_is_asked_all_the_same(running: Running, two: Backend) -> None:
    two.what = 500
    for _ in range(5):
        assert post(running, {**BODY, "model": "two"}).status_code == 502
    assert len(two.seen) == 5
    two.what = "ok"
    assert post(running, {**BODY, "model": "two"}).status_code == 200


def test_a_busy_backend_is_not_dead(running: Running, one: Backend) -> None:
    one.what = 429
    for _ in range(5):
        post(running, BODY)
    assert len(one.seen) == 5


def test_cooldown_lets_one_request_try() -> None:
    now = [0.0]
    cooldown = Cooldown(failures=2, seconds=5, clock=lambda: now[0])
    assert cooldown.admits("a")
    cooldown.failed("a")
    assert cooldown.admits("a")
    cooldown.failed("a")
    assert [cooldown.admits("a"), cooldown.admits("b")] == [False, True]
    now[0] = 5.0
    assert [cooldown.admits("a"), cooldown.admits("a")] == [True, False]
    now[0] = 10.0
    assert cooldown.admits("a")
    cooldown.failed("a")
    assert not cooldown.admits("a")
    cooldown.succeeded("a")
    assert cooldown.admits("a")
    cooldown.failed("a")
    cooldown.failed("a")
    cooldown.keep({"b"})
    assert cooldown.admits("a")


@pytest.mark.parametrize(
    ("content", "message", "field"),
    [
        (b"not json", "the model's server refused the request", None),
        (b"[]", "the model's server refused the request", None),
        (b'{"message": "old shape", "param": "n"}', "old shape", "n"),
        (b'{"error": "text"}', "the model's server refused the request", None),
        (b'{"error": {"message": "m", "field": "f", "type": "t"}}', "m", "f"),
    ],
)
def test_refusals_of_any_shape_become_the_house_s(content: bytes, message: str, field: str | None) -> None:
    error = refusal(400, {}, content)
    assert isinstance(error, PipelineError)
    assert (error.status, error.message, error.field) == (400, message, field)


def test_a_date_to_retry_after_is_not_guessed() -> None:
    assert isinstance(refusal(503, {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT"}, b""), BackendError)


def test_a_backend_that_restarted_between_two_requests_is_asked_on_a_new_connection(
    serving: Callable[[Any], str], args: GatewayArgs
) -> None:
    """The pool holds a connection that its server has closed without a word."""
    found = start(serving, args)
    listener = socket.create_server(("127.0.0.1", 0))
    body = b'{"choices": []}'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)

    def serve() -> None:
        with listener:
            for number in range(3):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    if number != 1:
                        connection.sendall(head + body)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    found.configure(route("one", target("one", f"http://127.0.0.1:{listener.getsockname()[1]}")))
    assert [post(found, BODY).status_code for _ in range(2)] == [200, 200]
    thread.join(5)


def test_a_whole_gateway_outlives_the_end_of_its_backend(
    serving: Callable[[Any], str], args: GatewayArgs, one: Backend, two: Backend
) -> None:
    """Under load the backend's server goes away: no request fails, by the fallback."""
    found, server = start(serving, args), Server(one)
    found.configure(
        route("one", target("one", server.url), fallback=["two"]), route("two", target("two", serving(two)))
    )
    statuses: list[int] = []

    def load(_: int) -> None:
        with httpx.Client(headers=AUTH, timeout=20) as client:
            for _ in range(25):
                answer = client.post(f"{found.url}/v1/chat/completions", json=BODY)
                statuses.append(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(load, number) for number in range(4)]
        eventually(lambda: len(statuses) > 20)
        server.stop()
        for each in done:
            each.result()
    assert statuses == [200] * 100
    assert two.seen
