"""OpenAI's own client asks the real engine, in Ray's server and in ours."""

import json
from typing import Any

import httpx
import openai
import pytest

from tests.vllm.conftest import ADAPTER, ALIAS, CONTEXT, MODEL, OWN, RAY_LLM, App
from tests.vllm.serving import eventually

CHAT: list[Any] = [{"role": "user", "content": "Where does the wombat land?"}]


def test_the_models_are_listed(app: App) -> None:
    assert {model.id for model in app.client().models.list()} == {MODEL, ADAPTER}
    assert app.client().models.retrieve(ALIAS).id == MODEL


def test_healthy_and_ready(app: App) -> None:
    assert httpx.get(f"{app.url}/healthz", timeout=60).json()["settings"]["revision"] == "1"
    # Ray's router makes its actor at the first call, which imports vLLM: until then this says 503.
    ready = eventually(
        lambda: httpx.get(f"{app.url}/readyz", timeout=60), lambda answer: answer.status_code == 200, 120, "ready"
    )
    assert set(ready.json()["steps"].values()) == {"ok"}


@pytest.mark.parametrize("name", [MODEL, ALIAS])
def test_a_chat_is_answered_with_usage(app: App, name: str) -> None:
    answer = app.client().chat.completions.create(model=name, messages=CHAT, max_tokens=12, temperature=0)
    (choice,) = answer.choices
    assert answer.model == MODEL
    assert choice.message.content
    assert choice.finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 12
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 12


def test_a_streamed_chat_is_the_same_text_in_pieces(app: App) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": CHAT, "max_tokens": 40, "temperature": 0}
    whole = app.client().chat.completions.create(**asked).choices[0].message.content
    chunks = list(app.client().chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole
    assert len([text for text in texts if text]) > 2
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 40


def test_temperature_0_answers_the_same_every_time(app: App) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "The river", "max_tokens": 30, "temperature": 0}
    answers = {app.client().completions.create(**asked).choices[0].text for _ in range(3)}
    assert len(answers) == 1


def test_a_seed_answers_the_same_and_another_seed_does_not(app: App) -> None:
    def text(seed: int) -> str:
        asked: dict[str, Any] = {"model": MODEL, "prompt": "The river", "max_tokens": 30, "temperature": 1.5}
        return str(app.client().completions.create(**asked, seed=seed).choices[0].text)

    assert text(1) == text(1) != text(2)


def test_both_engines_give_the_same_text(app: App, request: pytest.FixtureRequest) -> None:
    """Template, sampling and end of both servers are vLLM's: the text of one is that of the other."""
    asked: dict[str, Any] = {"model": MODEL, "messages": CHAT, "max_tokens": 24, "temperature": 0}
    answer = app.client().chat.completions.create(**asked)
    found = (answer.choices[0].message.content, answer.usage.prompt_tokens if answer.usage else 0)
    kept: dict[str, Any] = request.session.stash.setdefault(TEXTS, {})
    kept[app.kind] = found
    assert len(set(kept.values())) == 1, kept


TEXTS = pytest.StashKey[dict[str, Any]]()


def test_a_stop_sequence_ends_the_answer_and_is_not_part_of_it(app: App) -> None:
    asked: dict[str, Any] = {"model": MODEL, "prompt": "Trains", "max_tokens": 40, "temperature": 0}
    whole = str(app.client().completions.create(**asked).choices[0].text)
    readable = [character for character in whole[5:] if character.isascii() and character.isalnum()]
    stop = readable[0]
    (choice,) = app.client().completions.create(**asked, stop=[stop]).choices
    assert choice.finish_reason == "stop"
    assert choice.text == whole[: whole.index(stop)]


def test_an_adapter_answers_otherwise_than_its_model(app: App) -> None:
    asked: dict[str, Any] = {"messages": CHAT, "max_tokens": 24, "temperature": 0}
    base = app.client().chat.completions.create(model=MODEL, **asked)
    adapted = app.client().chat.completions.create(model=ADAPTER, **asked)
    assert adapted.model == ADAPTER
    assert adapted.choices[0].message.content != base.choices[0].message.content
    again = app.client().chat.completions.create(model=ADAPTER, **asked)
    assert again.choices[0].message.content == adapted.choices[0].message.content


def test_a_schema_bounds_the_answer(app: App) -> None:
    yes = {"yes": {"type": "boolean"}}
    schema = {"type": "object", "properties": yes, "required": ["yes"], "additionalProperties": False}
    answer = app.client().chat.completions.create(
        model=MODEL, messages=CHAT, max_tokens=200, temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
    )  # fmt: skip
    text = str(answer.choices[0].message.content)
    if answer.choices[0].finish_reason == "stop":
        assert set(json.loads(text)) == {"yes"}
    else:  # a random model may choose white space for ever
        assert text.lstrip().startswith("{")


REFUSED: list[tuple[str, dict[str, Any], type[openai.APIStatusError], str]] = [
    ("unknown model", {"model": "nobody", "messages": CHAT}, openai.NotFoundError, "model_not_found"),
    ("too many tokens", {"messages": CHAT, "max_tokens": CONTEXT}, openai.BadRequestError, "invalid_request_error"),
    ("too long", {"messages": [{"role": "user", "content": "a " * CONTEXT}]}, openai.BadRequestError, ""),
    ("temperature", {"messages": CHAT, "temperature": 9}, openai.BadRequestError, ""),
    ("no messages", {"messages": []}, openai.BadRequestError, ""),
]


@pytest.mark.parametrize(("asked", "kind", "code"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_cannot_be_answered_is_an_error_of_openai_s_form(
    app: App, asked: dict[str, Any], kind: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        app.client().chat.completions.create(**{"model": MODEL, **asked})
    error = caught.value.response.json()["error"]
    assert {"message", "type", "param", "code", "field", "request_id"} <= set(error)
    assert error["type"] == "invalid_request_error"
    assert not code or error["code"] == code
    assert "Traceback" not in error["message"]
    # The engine took no harm.
    assert app.client().completions.create(model=MODEL, prompt="On", max_tokens=1).usage


def test_the_request_id_comes_back(app: App) -> None:
    body = {"model": MODEL, "prompt": "x", "max_tokens": 1}
    answer = httpx.post(f"{app.url}/v1/completions", json=body, headers={"x-request-id": "mine-1"}, timeout=60)
    assert answer.headers["x-request-id"] == "mine-1"


@pytest.mark.parametrize("app", [RAY_LLM], indirect=True)
def test_a_chat_without_text_does_not_reach_ray_s_router(app: App) -> None:
    """It divides by the length of the text (Ray 2.60)."""
    with pytest.raises(openai.BadRequestError) as caught:
        app.client().chat.completions.create(model=MODEL, messages=[{"role": "user", "content": ""}])
    assert caught.value.param == "messages"


@pytest.mark.parametrize("app", [RAY_LLM], indirect=True)
def test_ray_s_server_gives_log_probabilities(app: App) -> None:
    asked: dict[str, Any] = {"model": MODEL, "messages": CHAT, "max_tokens": 3, "temperature": 0}
    (choice,) = app.client().chat.completions.create(**asked, logprobs=True, top_logprobs=2).choices
    assert choice.logprobs is not None
    tokens = choice.logprobs.content or []
    assert [len(token.top_logprobs) for token in tokens] == [2, 2, 2]
    assert all(token.logprob == max(each.logprob for each in token.top_logprobs) for token in tokens)


@pytest.mark.parametrize("app", [OWN], indirect=True)
@pytest.mark.parametrize("field", [{"logprobs": True}, {"tools": [{"type": "function", "function": {"name": "x"}}]}])
def test_our_server_says_what_it_does_not_do(app: App, field: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        app.client().chat.completions.create(model=MODEL, messages=CHAT, **field)
    assert caught.value.param == next(iter(field))
