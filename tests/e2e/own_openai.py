"""OpenAI's own Python client, unchanged, against a compatible address: what it can ask, and its error classes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import openai
import pytest

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [
    {"role": "system", "content": "Answer shortly."},
    {"role": "user", "content": "What does a RayService do when its Serve config changes?"},
]
TEXTS = ["A cat sits on the mat.", "The dog barks."]


@contextmanager
def client(url: str, key: str = "unused") -> Iterator[openai.OpenAI]:
    """A client of the address, without retries: each failure must be seen."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) as made:
        yield made


def check(asked: openai.OpenAI, chat: str, embeddings: str | None) -> dict[str, object]:
    """All of it with one chat model and, where there is one, a model of embeddings; the figures seen."""
    found = chat_as_a_whole_and_streamed(asked, chat)
    completions(asked, chat)
    models(asked, {chat, embeddings} - {None})
    if embeddings:
        vectors(asked, embeddings)
    errors(asked, chat)
    return found


def chat_as_a_whole_and_streamed(asked: openai.OpenAI, model: str) -> dict[str, object]:
    """The pieces of a stream are the whole answer; usage comes with both."""
    whole = asked.chat.completions.create(model=model, messages=MESSAGES, max_tokens=24, temperature=0)
    (choice,) = whole.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 24
    started, first_ms, pieces, reasons, usage = time.monotonic(), 0.0, [], [], None
    stream = asked.chat.completions.create(
        model=model, messages=MESSAGES, max_tokens=24, temperature=0, stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    for chunk in stream:
        first_ms = first_ms or (time.monotonic() - started) * 1000
        usage = chunk.usage or usage
        for delta in chunk.choices:
            pieces.append(delta.delta.content or "")
            reasons += [delta.finish_reason] if delta.finish_reason else []
    assert "".join(pieces) == choice.message.content
    assert reasons == ["length"]
    # What of the prompt was cached may differ: the second has the first one's.
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, 24)
    assert len([piece for piece in pieces if piece]) > 1, "the stream came in one piece"
    return {"first_chunk_ms": round(first_ms, 1), "chunks": len(pieces)}


def completions(asked: openai.OpenAI, model: str) -> None:
    """The older endpoint, as a whole and streamed."""
    whole = asked.completions.create(model=model, prompt="Ray Serve is", max_tokens=8, temperature=0)
    streamed = asked.completions.create(model=model, prompt="Ray Serve is", max_tokens=8, temperature=0, stream=True)
    assert whole.choices[0].text
    assert "".join(choice.text for chunk in streamed for choice in chunk.choices) == whole.choices[0].text


def models(asked: openai.OpenAI, wanted: set[str | None]) -> None:
    """The list has what is served, each entry can be asked for, and no other."""
    assert wanted <= {model.id for model in asked.models.list()}
    for name in wanted:
        assert name is not None
        assert asked.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        asked.models.retrieve("nobody-serves-this")


def vectors(asked: openai.OpenAI, model: str) -> None:
    """Vectors by number and in base64 (the client's default) are the same; each has its place."""
    plain = asked.embeddings.create(model=model, input=TEXTS, encoding_format="float")
    packed = asked.embeddings.create(model=model, input=TEXTS)
    assert [row.index for row in plain.data] == [0, 1]
    for one, other in zip(plain.data, packed.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)


def errors(asked: openai.OpenAI, model: str) -> None:
    """Each kind of failure is the class that programs catch, with code, field and request id."""
    with pytest.raises(openai.NotFoundError) as unknown:
        asked.chat.completions.create(model="nobody-serves-this", messages=MESSAGES)
    assert unknown.value.code == "model_not_found"
    assert unknown.value.request_id
    with pytest.raises(openai.BadRequestError) as wrong:
        asked.chat.completions.create(model=model, messages=MESSAGES, temperature=-1)
    assert wrong.value.param is not None
    assert "temperature" in wrong.value.param
    with pytest.raises(openai.BadRequestError):
        asked.chat.completions.create(model=model, messages=[])
    with pytest.raises(openai.APITimeoutError):
        asked.with_options(timeout=0.05).chat.completions.create(model=model, messages=MESSAGES, max_tokens=200)
    with pytest.raises(openai.InternalServerError) as late:
        asked.chat.completions.create(
            model=model, messages=MESSAGES, max_tokens=400, extra_headers={"x-request-timeout-ms": "50"}
        )
    assert late.value.status_code == 504


def asks_who_is_there(url: str, model: str) -> None:
    """A key that nobody gave is the client's AuthenticationError, whatever is asked."""
    with client(url, "nobody-gave-this-key") as stranger:
        with pytest.raises(openai.AuthenticationError) as refused:
            stranger.chat.completions.create(model=model, messages=MESSAGES)
        assert refused.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()
