"""What OpenAI's client raises, and what the bytes of every error say."""

import threading
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import openai
import pytest

from apps.common import calls
from apps.common.errors import PipelineError, overloaded
from apps.llm import service
from apps.llm.engine import Piece, Request
from tests.apps.llm.conftest import client_of
from tests.apps.llm.local import LocalEngines, arguments, at_rest, stats, until

HELLO: list[Any] = [{"role": "user", "content": "Who are you?"}]
SLOW = arguments(tpot_ms=50, answer_tokens=200)


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": "stand-in", "messages": HELLO, **fields})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "messages.0.content.0"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"max_tokens": 9000}, "messages"),
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, "messages"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"store": True}, "store"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"model": "vectors"}, "model"),
        ({"extra_body": {"top_k": 3}}, "top_k"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_bad_input_is_a_bad_request_that_names_the_field(
    client: openai.OpenAI, fields: dict[str, Any], param: str, stream: bool
) -> None:
    if stream and "stream_options" in fields:
        return  # that is where they belong
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, stream=stream, **fields)
    error = caught.value
    assert str(error.param).startswith(param)
    assert error.type == error.code == "invalid_request_error"
    assert error.request_id


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("completions", {"model": "stand-in", "prompt": ["a", "b"]}, "prompt"),
        ("completions", {"model": "stand-in", "prompt": ""}, "prompt"),
        ("completions", {"model": "stand-in", "prompt": "x", "echo": True}, "echo"),
        ("completions", {"model": "stand-in", "prompt": "x", "best_of": 2}, "best_of"),
        ("completions", {"model": "stand-in", "prompt": "x", "logprobs": 0}, "logprobs"),
        ("completions", {"model": "stand-in", "prompt": "x", "suffix": "y"}, "suffix"),
        ("embeddings", {"model": "stand-in", "input": "x"}, "model"),
        ("embeddings", {"model": "vectors", "input": []}, "input"),
        ("embeddings", {"model": "vectors", "input": "x", "dimensions": 65}, "dimensions"),
        ("chat/completions", {"model": "stand-in"}, "messages"),
        ("chat/completions", [], "body"),
    ],
)
def test_the_other_operations_name_the_field_too(url: str, path: str, body: Any, param: str) -> None:
    answer = httpx.post(f"{url}/v1/{path}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == error["field"] == param
    assert error["request_id"] == answer.headers["x-request-id"]


def test_every_error_has_both_sets_of_names(url: str) -> None:
    answer = httpx.post(f"{url}/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code", "field", "request_id"}


def test_half_of_a_surrogate_pair_is_bad_input(url: str) -> None:
    content = b'{"model": "stand-in", "messages": [{"role": "user", "content": "\\ud800"}]}'
    answer = httpx.post(f"{url}/v1/chat/completions", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 400


@pytest.mark.parametrize("name", ["gpt-4o", "stand-in ", "x/y"])
def test_an_unknown_model_is_not_found(client: openai.OpenAI, name: str) -> None:
    for call in (lambda: ask(client, model=name), lambda: client.models.retrieve(name)):
        with pytest.raises(openai.NotFoundError) as caught:
            call()
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


class Failing(LocalEngines):
    """Engines that give some pieces and then raise; `error` None: they work."""

    def __init__(self, error: Exception | None, pieces: int = 0, times: int = 1000):
        super().__init__(arguments())
        self.error, self.pieces, self.times = error, pieces, times

    async def generate(
        self, request: Request, timeout_s: float, routing_key: str
    ) -> AsyncGenerator[tuple[str, Piece], None]:
        self.times -= 1
        given = 0
        async for piece in super().generate(request, timeout_s, routing_key):
            if self.error and self.times >= 0 and given == self.pieces:
                raise self.error
            given += 1
            yield piece


class ActorDiedError(Exception):
    """Named as Ray names it."""


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (overloaded(3), 503, "overloaded"),
        (TimeoutError(), 504, "deadline_exceeded"),
        (ValueError("a defect"), 500, "internal"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_fails_before_the_first_piece_is_a_status(
    serve_llm: Callable[..., str], error: Exception, status: int, code: str, stream: bool
) -> None:
    url = serve_llm(arguments(), Failing(error))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client_of(url), stream=stream)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert caught.value.type == "server_error"
    assert caught.value.response.headers.get("retry-after") == ("3" if status == 503 else None)
    assert "defect" not in str(caught.value)


def test_what_fails_in_the_middle_is_an_error_of_the_stream(serve_llm: Callable[..., str]) -> None:
    url = serve_llm(arguments(), Failing(ValueError("a defect"), pieces=2))
    stream = iter(ask(client_of(url), stream=True))
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "I "]
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert (caught.value.code, caught.value.type) == ("internal", "server_error")
    assert "defect" not in str(caught.value)


def test_a_replica_that_dies_before_the_first_piece_costs_nothing(
    serve_llm: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAUSES_S", (0.01, 0.01))
    url = serve_llm(arguments(), Failing(ActorDiedError(), times=2))
    assert ask(client_of(url)).choices[0].finish_reason == "stop"
    dead = serve_llm(arguments(), Failing(ActorDiedError()))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client_of(dead))
    assert (caught.value.status_code, caught.value.code) == (503, "unavailable")
    assert calls.PAUSES_S


def test_the_client_tries_again_when_there_is_no_room(serve_llm: Callable[..., str]) -> None:
    engines = Failing(overloaded(1), times=1)
    url = serve_llm(arguments(), engines)
    assert ask(client_of(url, max_retries=1)).choices[0].finish_reason == "stop"
    assert engines.times == -1


def test_a_full_queue_is_503_with_retry_after(serve_llm: Callable[..., str]) -> None:
    url = serve_llm(arguments(tpot_ms=30, max_running=1, max_waiting=1))
    threads = [threading.Thread(target=ask, args=(client_of(url),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: (stats(url)["total"]["running"], stats(url)["total"]["waiting"]) == (1, 1), lambda: str(stats(url)))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(client_of(url))
    assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
    assert int(caught.value.response.headers["retry-after"]) >= 1
    for thread in threads:
        thread.join()
    total = at_rest(url)
    assert (total["finished"], total["refused"]) == (2, 1)


def test_a_full_ingress_is_503_with_retry_after(serve_llm: Callable[..., str]) -> None:
    url = serve_llm(arguments(limits={"in_flight": 1}, tpot_ms=30))
    with ask(client_of(url), stream=True):
        with pytest.raises(openai.InternalServerError) as caught:
            ask(client_of(url))
        assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
        assert caught.value.response.headers["retry-after"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_deadline_of_a_request_aborts_it(serve_llm: Callable[..., str], stream: bool) -> None:
    url = serve_llm(SLOW)
    started = time.monotonic()
    with pytest.raises(openai.APIError) as caught:
        list(ask(client_of(url), stream=stream, extra_headers={"x-request-timeout-ms": "300"}))
    assert caught.value.code == "deadline_exceeded"
    assert isinstance(caught.value, openai.InternalServerError) != stream, "the status is sent with the first piece"
    assert time.monotonic() - started < 10, "it waited for the answer"
    assert at_rest(url)["aborted"] == 1


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_waits_no_longer_aborts_its_request(serve_llm: Callable[..., str], stream: bool) -> None:
    url = serve_llm(arguments(ttft_ms=30_000))
    with pytest.raises(openai.APITimeoutError):
        ask(client_of(url, timeout=0.3), stream=stream)
    assert at_rest(url)["aborted"] == 1


def test_a_pipeline_error_of_the_house_keeps_its_code(serve_llm: Callable[..., str]) -> None:
    url = serve_llm(arguments(), Failing(PipelineError(422, "validation", "no", "prompt")))
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client_of(url))
    assert (caught.value.param, caught.value.code) == ("prompt", "invalid_request_error")
