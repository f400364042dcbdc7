"""OpenAI's own client and curl through the gateway to servers on real ports; errors, headers, limits of the front."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from apps.common.settings import LimitArgs
from apps.gateway.check import check
from apps.gateway.settings import GatewayArgs
from tests.apps.gateway.backend import (
    KEY,
    MESSAGES,
    NARROW,
    WORDS,
    Backend,
    Running,
    eventually,
    route,
    start,
    stream_events,
    target,
)

BODY = {"model": "one", "messages": MESSAGES}
AUTH = {"authorization": f"Bearer {KEY}"}


def post(running: Running, body: Any, path: str = "/v1/chat/completions", **headers: str) -> httpx.Response:
    return httpx.post(running.url + path, json=body, headers={**AUTH, **headers}, timeout=20)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"type", "message", "field", "request_id", "code", "param"}
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_the_official_client_chats(client: openai.OpenAI, one: Backend) -> None:
    answer = client.chat.completions.create(model="first", messages=MESSAGES, temperature=0.5, user="somebody")
    assert answer.choices[0].message.content == "".join(WORDS)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3)
    (seen,) = one.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.body == {"model": "one-there", "messages": MESSAGES, "temperature": 0.5, "user": "somebody"}


@pytest.mark.parametrize("include", [True, False, None])
def test_the_official_client_streams(client: openai.OpenAI, running: Running, include: bool | None) -> None:
    options: Any = {} if include is None else {"stream_options": {"include_usage": include}}
    pieces, usages = [], []
    for chunk in client.chat.completions.create(model="one", messages=MESSAGES, stream=True, **options):
        pieces += [choice.delta.content for choice in chunk.choices]
        usages += [chunk.usage.completion_tokens] if chunk.usage else []
    assert pieces == list(WORDS)
    assert usages == ([3] if include else []), "the usage that nobody asked for is not sent"
    eventually(lambda: running.counted.of("gateway_tokens_out") == {"model=one target=one key=all": 3})


def test_the_official_client_completes_and_embeds(client: openai.OpenAI, one: Backend) -> None:
    assert client.completions.create(model="one", prompt="Ray is").choices[0].text == "".join(WORDS)
    streamed = client.completions.create(model="one", prompt="Ray is", stream=True)
    assert [choice.text for chunk in streamed for choice in chunk.choices] == list(WORDS)
    answer = client.embeddings.create(model="vectors", input=["a"], encoding_format="float")
    assert (answer.data[0].embedding, answer.usage.prompt_tokens) == ([0.25, 0.5], 7)
    assert [seen.path for seen in one.seen] == ["/v1/completions"] * 2 + ["/v1/embeddings"]


def test_models_are_those_of_the_key_and_aliases_lead_to_them(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["one", "two", "vectors"]
    assert client.models.retrieve("first").id == "one"
    narrow = client.with_options(api_key=NARROW)
    assert [model.id for model in narrow.models.list()] == ["one"]
    with pytest.raises(openai.NotFoundError):
        narrow.models.retrieve("two")
    with pytest.raises(openai.NotFoundError, match="known: one"):
        narrow.chat.completions.create(model="two", messages=MESSAGES)


def test_curl_sees_a_stream_as_the_backend_sent_it(running: Running, one: Backend) -> None:
    body = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    call = ["curl", "-sN", f"{running.url}/v1/chat/completions", "-H", f"authorization: Bearer {KEY}", "--json"]
    found = subprocess.run([*call, json.dumps(body)], capture_output=True, timeout=20, check=True)
    assert found.stdout == b"".join(stream_events(one.seen[-1]))


def test_fields_that_nobody_knows_go_on(running: Running, one: Backend) -> None:
    extra = {"top_k": 4, "chat_template_kwargs": {"thinking": False}, "guided_json": None, "seed": 2**60}
    assert post(running, {**BODY, **extra}).status_code == 200
    assert one.seen[-1].body == {**BODY, **extra, "model": "one-there"}


def test_the_answer_says_who_served_and_ids_go_both_ways(running: Running, one: Backend) -> None:
    answer = post(running, BODY, **{"x-request-id": "mine.1"})
    assert (answer.headers["x-served-by"], answer.headers["x-request-id"]) == ("one", "mine.1")
    assert one.seen[-1].headers["x-request-id"] == "mine.1"


def test_no_key_cookie_or_connection_header_goes_on(running: Running, one: Backend) -> None:
    given = {
        "cookie": "session=1",
        "x-api-key": KEY,
        "connection": "keep-alive, x-secret",
        "x-secret": "1",
        "te": "trailers",
        "traceparent": "00-1",
        "accept-encoding": "gzip",
    }
    post(running, BODY, **given)
    seen = one.seen[-1].headers
    assert not {"authorization", "cookie", "x-api-key", "x-secret", "te"} & set(seen)
    assert KEY not in str(seen)
    assert (seen["traceparent"], seen["accept-encoding"], seen["content-type"]) == (
        "00-1",
        "identity",
        "application/json",
    )


def test_what_a_backend_says_of_itself_stays_behind(running: Running, one: Backend) -> None:
    one.headers = {"set-cookie": "a=1", "x-ratelimit-limit-requests": "1", "x-served-by": "z", "connection": "x-hop",
                   "x-hop": "1", "x-engine": "kept"}  # fmt: skip
    answer = post(running, BODY)
    assert answer.headers["x-engine"] == "kept"
    assert answer.headers["x-served-by"] == "one"
    assert not {"set-cookie", "x-ratelimit-limit-requests", "x-hop"} & set(answer.headers)
    assert len(answer.headers.get_list("server")) <= 1


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer wrong",
        b"Basic sk-everything",
        b"sk-everything",
        b"Bearer sk-everythingx",
        b"Bearer \xff",
    ],
)
def test_another_key_is_401_before_anything_is_read(running: Running, one: Backend, given: bytes) -> None:
    shown = [(b"authorization", given)]
    answer = httpx.post(
        f"{running.url}/v1/chat/completions",
        content=b'{"model": 5}',
        headers=[*shown, (b"content-type", b"application/json")],
    )
    assert (answer.status_code, error_of(answer)["code"]) == (401, "invalid_api_key")
    assert httpx.get(f"{running.url}/v1/models", headers=shown).status_code == 401
    assert not one.seen


def test_errors_are_the_classes_of_the_official_client(client: openai.OpenAI, one: Backend) -> None:
    with pytest.raises(openai.AuthenticationError) as stranger:
        client.with_options(api_key="no").chat.completions.create(model="one", messages=MESSAGES)
    assert stranger.value.code == "invalid_api_key"
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="for embeddings, not for chat"):
        client.chat.completions.create(model="vectors", messages=MESSAGES)
    one.what, one.error = (
        400,
        {"error": {"message": "too hot", "type": "BadRequestError", "param": "temperature", "code": 400}},
    )
    with pytest.raises(openai.BadRequestError, match="too hot") as hot:
        client.chat.completions.create(model="one", messages=MESSAGES, temperature=9)
    assert (hot.value.param, hot.value.type, hot.value.code) == (
        "temperature",
        "invalid_request_error",
        "BadRequestError",
    )
    one.what = "hang"
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.2).chat.completions.create(model="one", messages=MESSAGES)
    assert one.left.wait(5)
    one.left.clear()
    with pytest.raises(openai.InternalServerError) as late:
        client.chat.completions.create(model="one", messages=MESSAGES, extra_headers={"x-request-timeout-ms": "100"})
    assert (late.value.status_code, late.value.code) == (504, "deadline_exceeded")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "model"),
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({**BODY, "stream": "yes"}, "stream"),
        ({**BODY, "user": 5}, "user"),
        ([], "body"),
    ],
)
def test_a_wrong_field_is_400_and_named(running: Running, given: Any, field: str) -> None:
    answer = post(running, given)
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["param"]) == (400, "invalid_request_error", field)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_nasty_bodies_are_400(running: Running, path: str) -> None:
    for content in (b"", b"{", b"null", b'{"model": "\\ud800"}', b"[" * 5000):
        headers = {**AUTH, "content-type": "application/json"}
        answer = httpx.post(running.url + path, content=content, headers=headers)
        assert answer.status_code == 400, content
        error_of(answer)


def test_half_of_a_surrogate_pair_in_an_unknown_field_is_passed_on(running: Running, one: Backend) -> None:
    content = b'{"model": "one", "messages": [], "extra": "\\ud83d", "large": 1e999}'
    answer = httpx.post(
        f"{running.url}/v1/chat/completions", content=content, headers={**AUTH, "content-type": "application/json"}
    )
    assert answer.status_code == 200
    assert one.seen[-1].body["extra"] == "\ud83d"


def test_a_header_that_is_no_text_is_passed_on(running: Running, one: Backend) -> None:
    given = [(b"authorization", f"Bearer {KEY}".encode()), (b"x-name", b"caf\xe9")]
    answer = httpx.post(f"{running.url}/v1/chat/completions", json=BODY, headers=given)
    assert answer.status_code == 200
    assert one.seen[-1].headers["x-name"] == "caf\xe9"


def test_live_settings_and_readiness_are_shown_without_addresses(running: Running, one: Backend) -> None:
    health = httpx.get(f"{running.url}/healthz").json()
    assert health["settings"] == {"revision": "1", "models": ["one", "two", "vectors"]}
    ready = httpx.get(f"{running.url}/readyz").json()
    assert ready == {"status": "ready", "steps": {"routes": "ok", "keys": "ok"}, "remarks": {}}
    one.what = 500
    running.configure(
        route("one", target("one", running.gateway.table.routes[0].targets[0].url.removesuffix("/v1"))),
        route("gone", target("gone", "http://127.0.0.1:9")),
    )
    ready = httpx.get(f"{running.url}/readyz").json()
    assert ready["remarks"] == {"one": "status 500", "gone": "ConnectError"}
    assert ready["status"] == "ready", "one dead backend keeps nobody out"
    running.configure()
    answer = httpx.get(f"{running.url}/readyz")
    assert (answer.status_code, error_of(answer)["message"]) == (503, "routes: there are no routes")


def test_a_full_gateway_says_when_to_come_back(serving: Callable[[Any], str], args: GatewayArgs, one: Backend) -> None:
    full = start(serving, args.model_copy(update={"limits": LimitArgs(in_flight=1, retry_after_s=7)}))
    full.configure(route("one", target("one", serving(one))))
    one.what = "hang"
    first = threading.Thread(target=post, args=(full, BODY), kwargs={"x-request-timeout-ms": "1500"})
    first.start()
    eventually(lambda: one.seen)
    answer = post(full, BODY)
    assert (answer.status_code, error_of(answer)["code"], answer.headers["retry-after"]) == (503, "overloaded", "7")
    first.join()


def test_the_check_of_the_image_passes() -> None:
    assert asyncio.run(check()) == {"served_by": "t", "remaining": "8"}


def test_the_check_sees_another_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.gateway.check._ANSWER", {"choices": []})
    monkeypatch.setattr("apps.gateway.headers.downstream", lambda _: {})
    monkeypatch.setattr("apps.gateway.ingress.SERVED_BY", "x-other")
    with pytest.raises(AssertionError, match="not what the backend said"):
        asyncio.run(check())
