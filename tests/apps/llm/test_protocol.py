"""OpenAI's own client and curl's bytes against the own server: what every operation answers."""

import asyncio
import base64
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from apps.llm.check import check
from apps.llm.settings import AdapterArgs, ModelArgs
from tests.apps.llm.local import LocalEngines, arguments
from tests.apps.serving import Served

SAMPLE = json.loads((Path(__file__).parents[3] / "apps/llm/sample.json").read_text())
HELLO: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]
# Two messages of four tokens and two and three words.
HELLO_TOKENS = 4 + 2 + 4 + 3


def events(answer: httpx.Response) -> list[Any]:
    """The data of each event; [DONE] as a text."""
    lines = [line for line in answer.text.split("\n\n") if line]
    assert all(line.startswith("data: ") and "\n" not in line for line in lines)
    return [line[6:] if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]


def test_the_sample_is_answered_through_serve_s_handles(served: Callable[..., Served]) -> None:
    llm = served("llm")
    answer = httpx.post(llm.url + SAMPLE["path"], json=SAMPLE["body"], headers={"x-request-id": "my-id.1"}, timeout=20)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == "my-id.1"
    assert answer.json()["choices"][0]["message"]["content"].startswith("I am stand-in, a stand-in engine")


def test_a_chat(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="stand-in", messages=HELLO)
    (choice,) = answer.choices
    assert (answer.object, answer.model, choice.index) == ("chat.completion", "stand-in", 0)
    assert answer.id.startswith("chatcmpl-")
    assert answer.system_fingerprint
    assert answer.system_fingerprint.startswith("stand-in-")
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert choice.message.content
    assert "without a language model" in choice.message.content
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (HELLO_TOKENS, 32)
    assert answer.usage.total_tokens == HELLO_TOKENS + 32


def test_the_same_request_has_the_same_answer_and_another_one_has_not(client: openai.OpenAI) -> None:
    def ask(text: str) -> str | None:
        messages: list[Any] = [{"role": "user", "content": text}]
        return client.chat.completions.create(model="stand-in", messages=messages).choices[0].message.content

    assert ask("one") == ask("one") != ask("two")


def test_a_streamed_chat_says_what_the_whole_one_says(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="stand-in", messages=HELLO)
    chunks = list(client.chat.completions.create(model="stand-in", messages=HELLO, stream=True))
    assert len({(chunk.id, chunk.created, chunk.system_fingerprint) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [*[None] * (len(chunks) - 1), "stop"]
    assert len(chunks) > 4, "it came in one piece"
    assert all(chunk.usage is None for chunk in chunks)


def test_the_usage_of_a_stream_comes_last_where_it_is_asked_for(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="stand-in", messages=HELLO, stream=True, stream_options={"include_usage": True}, max_tokens=7
    )
    *chunks, last = list(stream)
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.choices == []
    assert last.usage
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (HELLO_TOKENS, 7)


def test_the_bytes_of_a_stream(url: str) -> None:
    body = {"model": "stand-in", "messages": HELLO, "stream": True, "max_tokens": 2}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *chunks, done = events(answer)
    assert done == "[DONE]"
    first, last = chunks[0], chunks[-1]
    assert first["object"] == "chat.completion.chunk"
    assert first["choices"][0] == {
        "index": 0,
        "delta": {"role": "assistant", "content": ""},
        "logprobs": None,
        "finish_reason": None,
    }
    assert last["choices"][0]["delta"] == {}
    assert "usage" not in first


@pytest.mark.parametrize("prompt", ["Once upon a time", ["Once upon a time"], [11, 12, 13, 14], [[11, 12, 13, 14]]])
def test_a_completion(client: openai.OpenAI, prompt: Any) -> None:
    answer = client.completions.create(model="stand-in", prompt=prompt, max_tokens=5)
    (choice,) = answer.choices
    assert (answer.object, choice.finish_reason) == ("text_completion", "length")
    assert choice.text.startswith("I am stand-in")
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 5)


def test_a_streamed_completion(client: openai.OpenAI) -> None:
    whole = client.completions.create(model="stand-in", prompt="x")
    stream = client.completions.create(
        model="stand-in", prompt="x", stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
    assert last.usage == whole.usage


@pytest.mark.parametrize(("stop", "ends"), [("engine", "a stand-in "), (["I count", "digest"], "model. The ")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_sequence_ends_the_answer_before_it(client: openai.OpenAI, stop: Any, ends: str, stream: bool) -> None:
    if stream:
        chunks = list(client.chat.completions.create(model="stand-in", messages=HELLO, stop=stop, stream=True))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        choice = client.chat.completions.create(model="stand-in", messages=HELLO, stop=stop).choices[0]
        text, reason = str(choice.message.content), choice.finish_reason
    assert text.endswith(ends)
    assert reason == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_length_of_an_answer(client: openai.OpenAI, field: str) -> None:
    lengths: dict[str, Any] = {field: 3}
    answer = client.chat.completions.create(model="stand-in", messages=HELLO, **lengths)
    assert answer.usage
    assert (answer.usage.completion_tokens, answer.choices[0].finish_reason) == (3, "length")


def test_embeddings(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="vectors", input=["the cat", "the dog", "the cat"])
    assert [each.index for each in answer.data] == [0, 1, 2]
    cat, dog, again = (each.embedding for each in answer.data)
    assert cat == again != dog
    assert len(cat) == 64
    assert math.isclose(sum(value * value for value in cat), 1, rel_tol=1e-5)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 6
    assert len(client.embeddings.create(model="vectors", input="x", dimensions=8).data[0].embedding) == 8
    assert client.embeddings.create(model="vectors", input=[[1, 2], [3]]).usage.total_tokens == 3


def test_vectors_as_numbers_and_as_base64_are_the_same(url: str) -> None:
    def embed(encoding: str) -> Any:
        body = {"model": "vectors", "input": "x", "encoding_format": encoding}
        return httpx.post(f"{url}/v1/embeddings", json=body).json()["data"][0]["embedding"]

    numbers = embed("float")
    assert struct.unpack("<64f", base64.b64decode(embed("base64"))) == pytest.approx(numbers, rel=1e-6)


def test_models_and_adapters_are_listed_and_an_alias_means_one(serve_llm: Callable[..., str]) -> None:
    adapters = (AdapterArgs(id="stand-in-support", source="x"),)
    models = (ModelArgs(id="stand-in", source="x", aliases=("gpt-local",), adapters=adapters),)
    args = arguments().model_copy(update={"models": models})
    client = openai.OpenAI(base_url=f"{serve_llm(args)}/v1", api_key="x", max_retries=0)
    assert [model.id for model in client.models.list()] == ["stand-in", "stand-in-support"]
    assert client.models.retrieve("gpt-local").id == "stand-in"
    answer = client.chat.completions.create(model="stand-in-support", messages=HELLO)
    assert answer.model == "stand-in-support"
    assert client.chat.completions.create(model="gpt-local", messages=HELLO).model == "stand-in"


def test_parts_of_text_and_the_fields_that_change_nothing_are_taken(client: openai.OpenAI) -> None:
    parts: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "Who are "}, {"type": "text", "text": "you?"}]}
    ]
    plain: list[Any] = [{"role": "user", "content": "Who are you?"}]
    answer = client.chat.completions.create(
        model="stand-in",
        messages=parts,
        temperature=0.7,
        top_p=0.9,
        seed=7,
        presence_penalty=0.5,
        n=1,
        user="me",
        logprobs=False,
        tools=[],
        response_format={"type": "text"},
        metadata={"a": "b"},
        prompt_cache_key="me",
    )
    assert (
        answer.choices[0].message.content
        == client.chat.completions.create(model="stand-in", messages=plain).choices[0].message.content
    )


def test_an_answer_can_be_sent_back(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="stand-in", messages=HELLO)
    messages: list[Any] = [*HELLO, answer.choices[0].message, {"role": "user", "content": "And again?"}]
    assert client.chat.completions.create(model="stand-in", messages=messages).choices[0].message.content


def test_a_prompt_of_before_is_cached_and_said_so(client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Never said before: " + "word " * 60}]
    first, second = (client.chat.completions.create(model="stand-in", messages=messages).usage for _ in range(2))
    cached = [
        each and each.prompt_tokens_details and each.prompt_tokens_details.cached_tokens for each in (first, second)
    ]
    assert cached == [0, 64]


def test_the_turns_of_a_conversation_have_one_routing_key(serve_llm: Callable[..., str]) -> None:
    engines = LocalEngines(arguments())
    client = openai.OpenAI(base_url=f"{serve_llm(arguments(), engines)}/v1", api_key="x", max_retries=0)
    turns: list[Any] = [*HELLO, {"role": "assistant", "content": "I am."}, {"role": "user", "content": "Really?"}]
    other: list[Any] = [{"role": "user", "content": "Something else"}]
    for messages in (HELLO, turns, other):
        client.chat.completions.create(model="stand-in", messages=messages)
    client.chat.completions.create(model="stand-in", messages=other, prompt_cache_key="mine")
    client.chat.completions.create(model="stand-in", messages=HELLO, prompt_cache_key="mine")
    first, second, third, fourth, fifth = engines.keys
    assert first == second != third != fourth == fifth


def test_health_readiness_and_stats(url: str) -> None:
    assert httpx.get(f"{url}/healthz").json()["settings"]["prefix_characters"] == 1024
    assert httpx.get(f"{url}/readyz").json() == {"status": "ready", "steps": {"engine": "ok"}}
    found = httpx.get(f"{url}/stats").json()
    (engine,), (ingress,) = found["engines"], found["ingresses"]
    assert engine["rss_bytes"] > 10_000_000
    assert ingress["rss_bytes"] > 10_000_000
    assert set(engine["models"]) == {"stand-in", "vectors"}


def test_the_check_of_the_image() -> None:
    assert str(asyncio.run(check())["text"]).startswith("I am stand-in")
