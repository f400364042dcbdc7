"""The HTTP interface on a real socket: the whole application, and the same with steps that fail, wait or vanish."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common import calls
from apps.common.errors import PipelineError, overloaded
from apps.common.language import Language, LanguageIdentifier
from apps.common.onnx_text import Embedder
from apps.common.settings import LimitArgs
from apps.common.text import Counts
from apps.text_analysis import api
from apps.text_analysis.check import check
from apps.text_analysis.ingress import build_asgi
from apps.text_analysis.pipeline import Pipeline
from apps.text_analysis.settings import IngressSettings
from apps.text_analysis.steps import LocalSteps
from apps.text_analysis.summary import Summarizer
from apps.text_analysis.types import CentralSentence, Prepared, TextSentiment, TextSummary
from tests.apps.serving import Served

SAMPLE = json.loads((Path(__file__).parents[3] / "apps/text_analysis/sample.json").read_text())
TEXT = {"text": "One. Two."}


class ActorDiedError(Exception):
    """Named as Ray names it."""


@pytest.fixture(scope="module")
def real(served: Callable[..., Served]) -> Served:
    return served("text-analysis")


def post(url: str, body: Any, path: str = "/analyze", **headers: str) -> httpx.Response:
    return httpx.post(url + path, json=body, headers=headers, timeout=20)


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_the_sample_is_analysed(real: Served) -> None:
    answer = post(real.url, SAMPLE["body"], SAMPLE["path"], **{"x-request-id": "my-id.1"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["complete"], body["errors"]) == (True, [])
    assert body["language"]["code"] == "en"
    assert (body["counts"]["sentences"], body["counts"]["words"]) == (7, 62)
    assert "love" in body["sentiment"]["most_positive"]["text"]
    assert "terrible" in body["sentiment"]["most_negative"]["text"]
    assert body["sentiment"]["labels"] == {"positive": 1, "neutral": 5, "negative": 1}
    assert len(body["summary"]["sentences"]) == 2
    assert all("library" in sentence["text"] for sentence in body["summary"]["sentences"])
    assert set(body["timings_ms"]) == {"preprocess", "sentiment", "summary", "total"}
    assert body["request_id"] == answer.headers["x-request-id"] == "my-id.1"


def test_another_language_lacks_its_sentiment_and_says_so(real: Served) -> None:
    body = post(real.url, {"text": "Der Wombat landet auf dem Mond. Niemand weiß, warum er das tut."}).json()
    assert (body["complete"], body["sentiment"], body["language"]["code"]) == (False, None, "de")
    (error,) = body["errors"]
    assert (error["branch"], error["type"]) == ("sentiment", "unsupported_language")
    assert "English" in error["message"]
    assert len(body["summary"]["sentences"]) == 2


def test_a_stated_language_is_taken(real: Served) -> None:
    assert post(real.url, {"text": "Hello."}).json()["complete"] is False, "one word is no evidence"
    body = post(real.url, {"text": "Hello.", "language": "en"}).json()
    assert (body["complete"], body["language"]) == (True, {"code": "en", "confidence": 1.0})


def test_a_batch_answers_in_order_each_for_itself(real: Served) -> None:
    texts = [
        "I love this garden very much.",
        "\u200b",
        "Das Essen war leider kalt und schlecht.",
        "This soup is awful.",
    ]
    answer = post(real.url, {"texts": texts, "sentences": 1}, "/analyze/batch")
    assert answer.status_code == 200
    body = answer.json()
    first, blank, german, last = body["results"]
    assert body["complete"] is False
    assert (first["complete"], first["sentiment"]["label"]) == (True, "positive")
    assert (blank["complete"], blank["counts"], blank["summary"]) == (False, None, None)
    assert blank["errors"] == [{"branch": "preprocess", "type": "validation", "message": "must contain text"}]
    assert [error["type"] for error in german["errors"]] == ["unsupported_language"]
    assert (last["complete"], last["sentiment"]["label"]) == (True, "negative")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert post(real.url, {"texts": texts[:1]}, "/analyze/batch").json()["complete"] is True


def test_the_longest_batch_is_taken_however_it_is_written(real: Served) -> None:
    texts = ["🙂" * api.TEXT_CHARACTERS] * (api.BATCH_CHARACTERS // api.TEXT_CHARACTERS)
    content = json.dumps({"texts": texts, "language": "de"})
    assert len(content) > 12 * api.BATCH_CHARACTERS
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{real.url}/analyze/batch", content=content, headers=headers, timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/analyze", {}, "text"),
        ("/analyze", {"text": ""}, "text"),
        ("/analyze", {"text": " \u200b\n"}, "text"),
        ("/analyze", {"text": 5}, "text"),
        ("/analyze", {"text": "x" * 50_001}, "text"),
        ("/analyze", {**TEXT, "sentences": 0}, "sentences"),
        ("/analyze", {**TEXT, "sentences": 11}, "sentences"),
        ("/analyze", {**TEXT, "sentences": "3"}, "sentences"),
        ("/analyze", {**TEXT, "language": "english"}, "language"),
        ("/analyze", {**TEXT, "language": "en\n"}, "language"),
        ("/analyze", {**TEXT, "timeout_s": 0}, "timeout_s"),
        ("/analyze", {**TEXT, "txt": "typo"}, "txt"),
        ("/analyze", [], "body"),
        ("/analyze/batch", {"texts": []}, "texts"),
        ("/analyze/batch", {"texts": ["a"] * 65}, "texts"),
        ("/analyze/batch", {"texts": ["a", ""]}, "texts.1"),
        ("/analyze/batch", {"texts": ["x" * 50_001]}, "texts.0"),
        ("/analyze/batch", {"texts": ["x" * 50_000] * 4 + ["x"]}, "texts"),
        ("/analyze/batch", {"texts": ["\u200b", "\n"]}, "texts"),
        ("/analyze/batch", {"texts": "a"}, "texts"),
    ],
)
def test_a_wrong_field_is_named(real: Served, path: str, body: Any, field: str) -> None:
    answer = post(real.url, body, path)
    assert (answer.status_code, error_of(answer)["type"].split("_")[0], error_of(answer)["field"]) == (
        422,
        "validation",
        field,
    )


def test_live_settings_are_taken_at_once(real: Served) -> None:
    kept = real.ingress.pipeline.settings
    text = {"text": SAMPLE["body"]["text"]}
    assert len(post(real.url, text).json()["summary"]["sentences"]) == 3
    real.ingress.reconfigure({"revision": "blue", "sentences": 1})
    assert len(post(real.url, text).json()["summary"]["sentences"]) == 1
    assert httpx.get(f"{real.url}/healthz").json()["settings"]["revision"] == "blue"
    real.ingress.reconfigure(kept.model_dump())
    with pytest.raises(ValueError, match="Extra inputs"):
        real.ingress.reconfigure({"sentence": 1})


def test_a_short_branch_timeout_leaves_the_slow_branch_out(real: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stuck(*_: Any) -> None:
        await asyncio.sleep(30)

    monkeypatch.setattr(Summarizer, "summarize", stuck)
    real.ingress.reconfigure({"branch_timeout_ms": 200})
    body = post(real.url, SAMPLE["body"]).json()
    real.ingress.reconfigure({})
    assert body["sentiment"]["label"] == "neutral"
    assert body["errors"] == [{"branch": "summary", "type": "deadline_exceeded", "message": "no answer within 200 ms"}]


class FakeSteps:
    """Steps that answer, fail with what they are told, or wait until they are cancelled ("wait")."""

    def __init__(self) -> None:
        self.outcome: dict[str, Any] = {}
        self.started = threading.Event()
        self.cancelled: Counter[str] = Counter()
        self.running = self.most = 0

    async def _do(self, step: str, answer: Any) -> Any:
        self.running += 1
        self.most = max(self.most, self.running)
        self.started.set()
        try:
            await asyncio.sleep(0.01)
            outcome = self.outcome.get(step)
            if isinstance(outcome, float):
                await asyncio.sleep(outcome)
            if outcome == "wait":
                await asyncio.sleep(30)
            if isinstance(outcome, Exception):
                raise outcome
            return answer
        except asyncio.CancelledError:
            self.cancelled[step] += 1
            raise
        finally:
            self.running -= 1

    async def ready(self, timeout_s: float) -> dict[str, str]:
        return {"preprocessor": "ok", "summary": f"no answer within {timeout_s:g} s"}

    async def prepare(self, text: str, language: str | None) -> Prepared:  # noqa: ARG002
        prepared = Prepared(text.split(), Counts(len(text), 2, 2, 1), Language("en", 1))
        found: Prepared = await self._do(f"preprocess {text}" if "fail" in text else "preprocess", prepared)
        return found

    async def sentiment(self, sentences: list[str], language: str) -> TextSentiment:  # noqa: ARG002
        found: TextSentiment = await self._do("sentiment", TextSentiment("neutral", 0, {}, None, None))
        return found

    async def summary(self, sentences: list[str], wanted: int) -> TextSummary:  # noqa: ARG002
        chosen = [CentralSentence(sentences[0], 0, 1)]
        found: TextSummary = await self._do("summary", TextSummary(chosen, 1, 1, 0))
        return found


@pytest.fixture(scope="module")
def shared(serving: Callable[[Any], str]) -> tuple[FakeSteps, str]:
    steps = FakeSteps()
    pipeline = Pipeline(steps, IngressSettings(branch_timeout_ms=400, batch_concurrency=3))
    return steps, serving(build_asgi(pipeline, LimitArgs(in_flight=2, retry_after_s=7)))


@pytest.fixture
def fake(shared: tuple[FakeSteps, str]) -> tuple[FakeSteps, str]:
    """Fresh steps behind the one server."""
    shared[0].__init__()  # type: ignore[misc]
    return shared


@pytest.mark.parametrize("branch", ["sentiment", "summary"])
@pytest.mark.parametrize(
    ("outcome", "kind", "message"),
    [
        (ZeroDivisionError("secret"), "internal", "the branch failed"),
        (overloaded(3), "overloaded", "the queue is full"),
        (ActorDiedError(), "unavailable", "restarting"),
        ("wait", "deadline_exceeded", "no answer within 400 ms"),
    ],
)
def test_one_branch_that_fails_costs_only_itself(
    fake: tuple[FakeSteps, str], branch: str, outcome: Any, kind: str, message: str
) -> None:
    steps, url = fake
    steps.outcome[branch] = outcome
    answer = post(url, TEXT)
    assert answer.status_code == 200
    assert "secret" not in answer.text
    body = answer.json()
    other = "summary" if branch == "sentiment" else "sentiment"
    assert (body["complete"], body[branch], body[other] is None) == (False, None, False)
    (error,) = body["errors"]
    assert (error["branch"], error["type"]) == (branch, kind)
    assert message in error["message"]
    assert steps.cancelled == ({branch: 1} if outcome == "wait" else {})
    assert set(body["timings_ms"]) == {"preprocess", "sentiment", "summary", "total"}


def test_the_branches_run_side_by_side_and_a_failure_cancels_nothing(fake: tuple[FakeSteps, str]) -> None:
    steps, url = fake
    steps.outcome = {"sentiment": 0.25, "summary": 0.25}
    timings = post(url, TEXT).json()["timings_ms"]
    assert timings["total"] < timings["sentiment"] + timings["summary"] - 150
    steps.outcome = {"sentiment": KeyError("x"), "summary": 0.2}
    body = post(url, TEXT).json()
    assert body["summary"] is not None
    assert body["timings_ms"]["sentiment"] < 150 < body["timings_ms"]["summary"]


LANGUAGE = PipelineError(422, "unsupported_language", "not English", "language")


@pytest.mark.parametrize(
    ("sentiment", "summary", "status", "kind", "retry_after"),
    [
        (overloaded(2), overloaded(5), 503, "overloaded", "5"),
        (ActorDiedError(), ActorDiedError(), 503, "unavailable", "1"),
        (LANGUAGE, overloaded(5), 503, "overloaded", "5"),
        ("wait", "wait", 504, "deadline_exceeded", None),
        (overloaded(2), "wait", 504, "deadline_exceeded", None),
        (KeyError(), overloaded(2), 500, "internal", None),
        (KeyError(), ZeroDivisionError("secret"), 500, "internal", None),
    ],
)
def test_nothing_at_all_is_an_error(
    fake: tuple[FakeSteps, str], sentiment: Any, summary: Any, status: int, kind: str, retry_after: str | None
) -> None:
    steps, url = fake
    steps.outcome = {"sentiment": sentiment, "summary": summary}
    answer = post(url, TEXT)
    assert (answer.status_code, error_of(answer)["type"]) == (status, kind)
    assert answer.headers.get("retry-after") == retry_after
    assert "summary: " in error_of(answer)["message"]
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("outcome", "status"), [(overloaded(2), 503), (ActorDiedError(), 503), ("wait", 504), (KeyError(), 500)]
)
def test_without_the_first_step_there_is_nothing(fake: tuple[FakeSteps, str], outcome: Any, status: int) -> None:
    steps, url = fake
    steps.outcome["preprocess"] = outcome
    assert post(url, {**TEXT, "timeout_s": 0.2}).status_code == status


@pytest.mark.parametrize("way", ["header", "body"])
def test_the_deadline_of_the_request_bounds_the_branches_too(fake: tuple[FakeSteps, str], way: str) -> None:
    steps, url = fake
    steps.outcome["summary"] = "wait"
    body, headers = dict(TEXT), {}
    if way == "header":
        headers["x-request-timeout-ms"] = "150"
    else:
        body["timeout_s"] = 0.15  # type: ignore[assignment]
    answer = post(url, body, **headers).json()
    assert (answer["complete"], answer["sentiment"] is None) == (False, False)
    assert answer["timings_ms"]["total"] < 300
    assert steps.cancelled == {"summary": 1}


@pytest.mark.parametrize(("path", "body"), [("/analyze", TEXT), ("/analyze/batch", {"texts": ["a", "b"]})])
def test_both_branches_stop_when_the_client_leaves(serving: Callable[[Any], str], path: str, body: Any) -> None:
    steps = FakeSteps()
    url = serving(build_asgi(Pipeline(steps), LimitArgs()))  # nothing but the client ends a branch before 10 seconds
    steps.outcome = {"sentiment": "wait", "summary": "wait"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(url + path, json=body, timeout=0.2)
    texts = len(body.get("texts", [1]))
    end = time.monotonic() + 5
    while sum(steps.cancelled.values()) < 2 * texts and time.monotonic() < end:
        time.sleep(0.01)
    assert steps.cancelled == {"sentiment": texts, "summary": texts}
    assert steps.running == 0


def test_a_batch_runs_a_few_at_once(fake: tuple[FakeSteps, str]) -> None:
    steps, url = fake
    texts = [f"text{number} end." for number in range(12)]
    body = post(url, {"texts": texts}, "/analyze/batch").json()
    assert [result["summary"]["sentences"][0]["text"] for result in body["results"]] == [t.split()[0] for t in texts]
    assert 3 <= steps.most <= 2 * 3


def test_a_batch_at_its_deadline_gives_what_is_there(fake: tuple[FakeSteps, str]) -> None:
    steps, url = fake
    steps.outcome["preprocess fail"] = "wait"
    body = post(url, {"texts": ["one", "fail", "fail", "two"], "timeout_s": 0.3}, "/analyze/batch").json()
    assert [result["complete"] for result in body["results"]] == [True, False, False, True]
    assert {error["type"] for result in body["results"] for error in result["errors"]} == {"deadline_exceeded"}


def test_a_batch_of_which_nothing_is_there_is_an_error(fake: tuple[FakeSteps, str]) -> None:
    steps, url = fake
    steps.outcome["preprocess"] = overloaded(4)
    answer = post(url, {"texts": ["one", "two"]}, "/analyze/batch")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "4")
    assert error_of(answer)["message"].count("the queue is full") == 1


def test_a_full_ingress_says_when_to_come_back(fake: tuple[FakeSteps, str]) -> None:
    steps, url = fake
    steps.outcome["preprocess"] = "wait"
    threads = [threading.Thread(target=post, args=(url, {**TEXT, "timeout_s": 1})) for _ in range(2)]
    for thread in threads:
        steps.started.clear()
        thread.start()
        assert steps.started.wait(5)
    answer = post(url, TEXT)
    assert (answer.status_code, error_of(answer)["type"], answer.headers["retry-after"]) == (503, "overloaded", "7")
    for thread in threads:
        thread.join()


def test_not_ready_names_the_part(fake: tuple[FakeSteps, str]) -> None:
    answer = httpx.get(f"{fake[1]}/readyz")
    assert (answer.status_code, error_of(answer)["message"]) == (503, "summary: no answer within 2 s")


def test_a_replica_that_is_gone_is_asked_again_then_left_out(real: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def gone(*_: Any) -> None:
        asked.append(1)
        raise ActorDiedError

    monkeypatch.setattr(calls, "PAUSES_S", (0.001, 0.001))
    monkeypatch.setattr(Summarizer, "summarize", gone)
    body = post(real.url, SAMPLE["body"]).json()
    assert len(asked) == 3
    assert [(error["branch"], error["type"]) for error in body["errors"]] == [("summary", "unavailable")]
    assert body["sentiment"] is not None


def test_the_check_of_the_image_passes(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_MODELS", str(model.parent))
    found: Any = asyncio.run(check())
    assert found["sentiment"]["label"] == "positive"


def test_the_check_sees_another_answer(model: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_MODELS", str(model.parent))
    monkeypatch.setattr("apps.text_analysis.check.Embedder", lambda *_, **__: embedder)
    monkeypatch.setattr(LanguageIdentifier, "__init__", lambda _: None)
    monkeypatch.setattr(LanguageIdentifier, "identify", lambda *_: Language("en", 1))
    monkeypatch.setattr("apps.text_analysis.check.TEXT", "I hate my aunt. She keeps bees.")
    with pytest.raises(AssertionError, match="not what is in the text"):
        asyncio.run(check())


def test_local_steps_have_nobody_to_ask() -> None:
    assert asyncio.run(LocalSteps(None, None, None).ready(1)) == {}  # type: ignore[arg-type]
