"""HTTP on a real socket: the official client, token ids, errors, and work that stops."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest

from apps.common.errors import PipelineError, overloaded
from apps.common.onnx_text import Embedder
from apps.common.settings import LimitArgs
from apps.embeddings.ingress import build_asgi
from apps.embeddings.service import Service
from apps.embeddings.settings import FP32, INT8, EmbeddingsArgs
from apps.embeddings.zero_shot import Label
from tests.apps.serving import Held, Served

CAT = "A cat sits on the mat."
BODY = {"model": FP32, "input": CAT}


@pytest.fixture(scope="session")
def pipeline(served: Callable[..., Served]) -> Served:
    return served("embeddings")


@pytest.fixture
def client(pipeline: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{pipeline.url}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def ask(pipeline: Served, body: dict[str, Any], path: str = "/v1/embeddings", **given: Any) -> httpx.Response:
    return httpx.post(f"{pipeline.url}{path}", json=body, timeout=30, **given)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"type", "message", "field", "request_id", "code", "param"}
    assert (error["code"], error["param"]) == (error["type"], error["field"])
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_the_official_client_gets_the_vectors_of_the_model(client: openai.OpenAI, embedder: Embedder) -> None:
    texts = [CAT, "The dog barks.", "Stocks fell on Monday, and bonds with them, as nobody had thought."]
    default = client.embeddings.create(model=FP32, input=texts)  # asks for base64
    floats = client.embeddings.create(model=FP32, input=texts, encoding_format="float")
    wanted = embedder.embed(texts)
    for answer in (default, floats):
        assert [item.index for item in answer.data] == [0, 1, 2]
        np.testing.assert_allclose([item.embedding for item in answer.data], wanted, atol=1e-5)
        tokens = sum(map(len, embedder.tokenize(texts)))
        assert (answer.usage.prompt_tokens, answer.usage.total_tokens, answer.model) == (tokens, tokens, FP32)


def test_base64_is_little_endian_float32(pipeline: Served) -> None:
    (item,) = ask(pipeline, {**BODY, "encoding_format": "base64"}).json()["data"]
    (plain,) = ask(pipeline, BODY).json()["data"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(item["embedding"]), "<f4"), plain["embedding"], rtol=1e-6)


def test_fewer_dimensions_have_length_one_again(client: openai.OpenAI) -> None:
    whole = client.embeddings.create(model=FP32, input=CAT).data[0].embedding
    short = client.embeddings.create(model=FP32, input=CAT, dimensions=64).data[0].embedding
    assert len(short) == 64
    assert np.linalg.norm(short) == pytest.approx(1)
    assert np.dot(short, whole[:64]) / np.linalg.norm(whole[:64]) == pytest.approx(1)
    same = client.embeddings.create(model=FP32, input=CAT, dimensions=384).data[0].embedding
    np.testing.assert_allclose(same, whole, atol=1e-6)


def test_token_ids_give_the_vector_of_their_text(client: openai.OpenAI, embedder: Embedder) -> None:
    (ids,) = embedder.tokenize([CAT])
    text = client.embeddings.create(model=FP32, input=CAT).data[0].embedding
    for given in (ids, ids[1:-1], [ids, ids[1:]]):
        answer = client.embeddings.create(model=FP32, input=given)
        for item in answer.data:
            np.testing.assert_allclose(item.embedding, text, atol=1e-5)
    long = client.embeddings.create(model=FP32, input=[1037] * 1000)
    assert long.usage.prompt_tokens == 256


def test_models_are_listed_and_aliases_lead_to_them(client: openai.OpenAI, embedder: Embedder) -> None:
    assert [model.id for model in client.models.list()] == [FP32, INT8]
    assert client.models.retrieve("sentence-transformers/all-MiniLM-L6-v2").id == FP32
    answer = client.embeddings.create(model="all-MiniLM-L6-v2-int8", input=CAT, user="somebody")
    assert answer.model == INT8
    cosine = float(np.dot(answer.data[0].embedding, embedder.embed([CAT])[0]))
    assert 0.95 < cosine < 0.99999, "the other model's vector, and near"


def test_errors_are_those_of_the_official_client(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="text-embedding-9") as missing:
        client.embeddings.create(model="text-embedding-9", input=CAT)
    assert (missing.value.code, missing.value.param, missing.value.type) == (
        "model_not_found",
        "model",
        "model_not_found",
    )
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("x")
    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        client.embeddings.create(model=FP32, input=CAT, dimensions=385)
    assert (invalid.value.param, "384" in invalid.value.message) == ("dimensions", True)
    with pytest.raises(openai.BadRequestError):
        client.post("/embeddings", content=b"{", options={"headers": {"content-type": "application/json"}}, cast_to=str)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "1 to 32768 characters"),
        ("x" * 32769, "not 32769"),
        ([], "not empty"),
        (None, "must be a text"),
        (5, "must be a text"),
        ({"a": 1}, "must be a text"),
        ([CAT, ""], "item 1 must have"),
        ([CAT, 5], "item 1 must be a text"),
        ([CAT, None], "item 1 must be a text"),
        ([None], "item 0 must be"),
        ([True], "item 0 must be"),
        ([1.5], "item 0 must be"),
        ([1, "a"], "token ids only"),
        ([1, -1], "token ids only"),
        ([1, True], "token ids only"),
        ([[1], []], "item 1 must have 1 to 8192 token ids"),
        ([[1], CAT], "item 1 must be a text or a list"),
        ([[1], [30522]], "item 1: 30522 is no token id of this model (0 to 30521)"),
        ([1] * 8193, "not 8193"),
        ([CAT] * 2049, "2048 are the most"),
        ("half \ud83d", "surrogate"),
    ],
)
def test_a_wrong_input_is_422_and_says_where(pipeline: Served, given: Any, message: str) -> None:
    answer = httpx.post(
        f"{pipeline.url}/v1/embeddings",
        content=json.dumps({"model": FP32, "input": given}),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 422
    error = error_of(answer)
    assert (error["type"], error["field"]) == ("validation", "input")
    assert message in error["message"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"model": ""}, "model"),
        ({"model": 1}, "model"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "3"}, "dimensions"),
        ({"dimensions": 1.0}, "dimensions"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"inputs": "x"}, "inputs"),
        ({"user": 5}, "user"),
    ],
)
def test_other_wrong_fields_are_named(pipeline: Served, changed: dict[str, Any], field: str) -> None:
    answer = ask(pipeline, {**BODY, **changed})
    assert (answer.status_code, error_of(answer)["field"]) == (422, field)


def test_the_house_s_other_errors_keep_their_shape(pipeline: Served) -> None:
    for answer, status in (
        (httpx.post(f"{pipeline.url}/v1/embeddings", content=b"x", headers={"content-type": "text/plain"}), 415),
        (httpx.get(f"{pipeline.url}/nowhere"), 404),
        (httpx.get(f"{pipeline.url}/v1/embeddings"), 405),
        (ask(pipeline, BODY, headers={"x-request-timeout-ms": "soon"}), 422),
    ):
        assert answer.status_code == status
        assert int(answer.headers["content-length"]) == len(answer.content)
        error_of(answer)


def test_many_texts_come_back_in_their_order(pipeline: Served) -> None:
    texts = [f"{number % 7} apples" for number in range(300)]
    data = ask(pipeline, {"model": INT8, "input": texts}).json()["data"]
    vectors = np.array([item["embedding"] for item in data])
    for number in range(7):
        np.testing.assert_allclose(vectors[number::7], np.tile(vectors[number], (len(texts[number::7]), 1)), atol=0.05)
    assert np.argmax(vectors @ vectors[3]) % 7 == 3


def test_labels_of_texts(pipeline: Served) -> None:
    body = {
        "texts": ["The striker scored twice in the last minute.", "Stir the onions until they are golden."],
        "labels": ["sports", {"name": "cooking", "description": "recipes and food"}, "politics"],
    }
    answer = ask(pipeline, body, "/classify").json()
    assert [row[0]["label"] for row in answer["results"]] == ["sports", "cooking"]
    for row in answer["results"]:
        values = [score["probability"] for score in row]
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1, abs=1e-5)
    assert answer["model"] == FP32
    surer = ask(pipeline, {**body, "temperature": 0.01}, "/classify").json()
    assert surer["results"][0][0]["probability"] > answer["results"][0][0]["probability"]
    both = ask(pipeline, {**body, "texts": ["Football players eat pasta."], "multi_label": True}, "/classify").json()
    by_name = {score["label"]: score["probability"] for score in both["results"][0]}
    assert by_name["sports"] > by_name["politics"]
    assert sum(by_name.values()) != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"texts": []}, "texts"),
        ({"texts": [CAT] * 65}, "texts"),
        ({"texts": [""]}, "texts.0"),
        ({"labels": ["one"]}, "labels"),
        ({"labels": [str(number) for number in range(51)]}, "labels"),
        ({"labels": ["a", "a"]}, "body"),
        ({"labels": ["a", {"name": "a"}]}, "body"),
        ({"temperature": 0}, "temperature"),
        ({"multi_label": "yes"}, "multi_label"),
    ],
)
def test_a_wrong_classification_is_422(pipeline: Served, changed: dict[str, Any], field: str) -> None:
    answer = ask(pipeline, {"texts": [CAT], "labels": ["a", "b"], **changed}, "/classify")
    assert (answer.status_code, error_of(answer)["field"]) == (422, field), answer.text


def test_a_label_that_is_wrong_in_both_ways_is_422(pipeline: Served) -> None:
    answer = ask(pipeline, {"texts": [CAT], "labels": ["a", {"label": "b"}]}, "/classify")
    assert answer.status_code == 422
    assert error_of(answer)["field"].startswith("labels.1")


def test_half_of_a_surrogate_pair_is_422_in_texts_and_labels(pipeline: Served) -> None:
    for body in (
        {"texts": ["\ud83d"], "labels": ["a", "b"]},
        {"texts": [CAT], "labels": ["a", "\ud83d"]},
        {"texts": [CAT], "labels": ["a", {"name": "b", "description": "\ud83d"}]},
    ):
        content = json.dumps(body)
        answer = httpx.post(
            f"{pipeline.url}/classify", content=content, headers={"content-type": "application/json"}, timeout=10
        )
        assert answer.status_code == 422, body


class SlowSteps(Held):
    """Every step is held."""

    async def embed(self, *_: Any) -> Any:
        await self._hold()

    async def classify(self, *_: Any) -> Any:
        await self._hold()

    async def ready(self, timeout_s: float) -> dict[str, str]:
        return {"embedder": f"no answer within {timeout_s:g} s"}


CALLS = {"/v1/embeddings": BODY, "/classify": {"texts": [CAT], "labels": ["a", "b"]}}


@pytest.fixture
def slow(serving: Callable[[Any], str]) -> tuple[SlowSteps, str]:
    steps = SlowSteps()
    service = Service(steps, EmbeddingsArgs().names(), FP32)
    return steps, serving(build_asgi(service, LimitArgs(in_flight=1, retry_after_s=7)))


@pytest.mark.parametrize("path", CALLS)
def test_the_work_stops_at_the_deadline_and_when_the_client_leaves(slow: tuple[SlowSteps, str], path: str) -> None:
    steps, url = slow
    answer = httpx.post(f"{url}{path}", json=CALLS[path], headers={"x-request-timeout-ms": "150"})
    assert (answer.status_code, error_of(answer)["type"]) == (504, "deadline_exceeded")
    assert steps.cancelled.wait(5)
    steps.cancelled.clear()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}{path}", json=CALLS[path], timeout=0.3)
    assert steps.cancelled.wait(5)


def test_full_is_503_with_retry_after_and_the_official_client_may_come_again(slow: tuple[SlowSteps, str]) -> None:
    steps, url = slow
    body = {**BODY, "timeout_s": 1.5}
    thread = threading.Thread(target=httpx.post, args=(f"{url}/v1/embeddings",), kwargs={"json": body})
    thread.start()
    assert steps.started.wait(5)
    answer = httpx.post(f"{url}/v1/embeddings", json=BODY)
    assert (answer.status_code, error_of(answer)["type"], answer.headers["retry-after"]) == (503, "overloaded", "7")
    with (
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as full,
    ):
        client.embeddings.create(model=FP32, input=CAT)
    assert full.value.code == "overloaded"
    thread.join()


@pytest.mark.parametrize(
    ("failure", "status"),
    [(overloaded(3), 503), (PipelineError(422, "validation", "m", "input"), 422), (ZeroDivisionError("secret"), 500)],
)
def test_failures_of_the_steps(slow: tuple[SlowSteps, str], failure: Exception, status: int) -> None:
    steps, url = slow
    steps.failure = failure
    answer = httpx.post(f"{url}/v1/embeddings", json=BODY)
    assert answer.status_code == status
    assert "secret" not in answer.text
    error_of(answer)


def test_not_ready_names_the_part_and_the_classifier_is_not_asked(
    slow: tuple[SlowSteps, str], pipeline: Served
) -> None:
    _, url = slow
    answer = httpx.get(f"{url}/readyz")
    assert (answer.status_code, "embedder: no answer" in error_of(answer)["message"]) == (503, True)
    assert httpx.get(f"{pipeline.url}/readyz").json()["steps"] == {"embedder": "ok"}


def test_a_label_says_its_description_to_the_model() -> None:
    assert Label("a").text == "a"
    assert Label("a", "b c").text == "a: b c"
