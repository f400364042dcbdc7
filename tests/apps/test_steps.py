"""Steps behind handles: retries, cancellation, and what a caller learns of an error."""

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError, RequestCancelledError

from apps.common import calls
from apps.common.errors import PipelineError, error_body, error_headers, overloaded, printable
from apps.common.handlers import translate
from apps.rag.steps import HandleSteps


class ActorDiedError(Exception):
    """Named as Ray names it."""


class Response:
    """A DeploymentResponse that fails, waits or answers."""

    def __init__(self, outcome: Any):
        self.outcome = outcome
        self.cancelled = False

    def __await__(self) -> Any:
        return self._run().__await__()

    async def _run(self) -> Any:
        if self.outcome == "wait":
            await asyncio.sleep(30)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def cancel(self) -> None:
        self.cancelled = True


class Handle:
    """Answers one call after the other with the given outcomes."""

    def __init__(self, *outcomes: Any):
        self.outcomes = list(outcomes)
        self.responses: list[Response] = []

    def __getattr__(self, name: str) -> Any:
        return self

    def remote(self, *_: Any) -> Response:
        self.responses.append(Response(self.outcomes.pop(0)))
        return self.responses[-1]


def steps_with(**handles: Any) -> HandleSteps:
    return HandleSteps(**{"normalizer": None, "retriever": None, "reranker": None, "generator": None, **handles})


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAUSES_S", (0.001, 0.001))


def test_a_call_to_a_dead_replica_goes_to_the_next() -> None:
    handle = Handle(ActorDiedError(), ActorDiedError(), "clean")
    assert asyncio.run(steps_with(normalizer=handle).clean_question("x")) == "clean"
    assert len(handle.responses) == 3


def test_a_replica_that_stays_dead_is_told() -> None:
    handle = Handle(*[ActorDiedError() for _ in range(9)])
    with pytest.raises(ActorDiedError):
        asyncio.run(steps_with(retriever=handle).retrieve("x", 1))
    assert len(handle.responses) == 3


@pytest.mark.parametrize("error", [ValueError("ours"), BackPressureError(1, 1), PipelineError(422, "a", "b")])
def test_other_errors_are_not_tried_again(error: Exception) -> None:
    handle = Handle(error, "never")
    with pytest.raises(type(error)):
        asyncio.run(steps_with(reranker=handle).rerank("x", [], 1))
    assert len(handle.responses) == 1


def test_a_cancelled_call_is_cancelled_in_the_replica() -> None:
    handle = Handle("wait")

    async def leave() -> None:
        async with asyncio.timeout(0.05):
            await steps_with(retriever=handle).ingest("a", "b")

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert handle.responses[0].cancelled


def test_a_cancellation_stays_one_whatever_ray_makes_of_it() -> None:
    class Stubborn(Response):
        async def _run(self) -> Any:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                raise RequestCancelledError("1") from None

    class StubbornHandle(Handle):
        def remote(self, *_: Any) -> Response:
            self.responses.append(Stubborn(None))
            return self.responses[-1]

    handle = StubbornHandle()

    async def leave() -> None:
        async with asyncio.timeout(0.05):
            await steps_with(retriever=handle).ingest("a", "b")

    with pytest.raises(TimeoutError):
        asyncio.run(leave())
    assert len(handle.responses) == 1


def test_a_stream_left_early_is_cancelled_in_the_replica() -> None:
    class Stream:
        cancelled = False

        async def __aiter__(self) -> Any:
            yield "a"
            yield "b"

        def cancel(self) -> None:
            self.cancelled = True

    stream = Stream()

    class StreamHandle(Handle):
        def options(self, **options: Any) -> Any:
            assert options == {"stream": True}
            return self

        def remote(self, *_: Any) -> Any:
            return stream

    async def leave() -> None:
        pieces = steps_with(generator=StreamHandle()).generate("q", [], 1)
        assert await anext(pieces) == "a"
        await pieces.aclose()

    asyncio.run(leave())
    assert stream.cancelled


class WrappedError(Exception):
    """As Ray wraps the error of another process."""

    def __init__(self, cause: Exception):
        self.cause = cause


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry_after"),
    [
        (PipelineError(422, "validation", "m", "f"), 422, "validation", None),
        (WrappedError(PipelineError(502, "generator", "m")), 502, "generator", None),
        (TimeoutError(), 504, "deadline_exceeded", None),
        (BackPressureError(10, 5), 503, "overloaded", "1"),
        (BackPressureError(10, 5, retry_after_s=9), 503, "overloaded", "9"),
        (DeploymentUnavailableError(None), 503, "unavailable", "1"),
        (WrappedError(ActorDiedError()), 503, "unavailable", "1"),
    ],
)
def test_errors_are_translated(error: Exception, status: int, kind: str, retry_after: str | None) -> None:
    known = translate(error)
    assert known is not None
    assert (known.status, known.kind) == (status, kind)
    assert error_headers(known).get("retry-after") == retry_after


def test_a_defect_is_not_translated() -> None:
    assert translate(ZeroDivisionError()) is None


@pytest.mark.parametrize("copy", [lambda error: error, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_an_error_keeps_its_meaning_across_processes(copy: Callable[[PipelineError], PipelineError]) -> None:
    error = copy(overloaded(2.4))
    assert error_body(error, "id") == {
        "error": {
            "type": "overloaded",
            "message": "the queue is full, try again later",
            "field": None,
            "request_id": "id",
        }
    }
    assert (str(error), error_headers(error)) == ("the queue is full, try again later", {"retry-after": "2"})


def test_what_cannot_be_written_as_utf_8_is_replaced() -> None:
    assert printable("a\ud800b" + "x" * 900) == "a?b" + "x" * 497


def test_readiness_asks_every_part_and_says_why_one_does_not_answer() -> None:
    steps_ready = steps_with(
        normalizer=Handle("ok"), retriever=Handle("wait"), reranker=Handle(overloaded(1)), generator=Handle(KeyError())
    ).ready(0.05)
    assert asyncio.run(steps_ready) == {
        "normalizer": "ok",
        "retriever": "no answer within 0.05 s",
        "reranker": "the queue is full, try again later",
        "generator": "KeyError",
    }
