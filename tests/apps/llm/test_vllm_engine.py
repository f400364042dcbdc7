"""What the engine on AsyncLLM makes of arguments and answers, without vLLM; tests/vllm runs it on the real engine."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest

from apps.common.errors import PipelineError
from apps.llm import vllm_engine
from apps.llm.engine import Counts, Piece, Request
from apps.llm.settings import AsyncVllm, ModelArgs
from apps.llm.vllm_engine import VllmEngine

SETTINGS = AsyncVllm(kind="async-vllm", engine_args={"max_model_len": 1, "dtype": "half"}, max_waiting=2)


def test_arguments_are_the_model_s_over_the_application_s_over_what_it_needs() -> None:
    model = ModelArgs(id="m", source="/m", engine_args={"max_model_len": 2})
    assert vllm_engine.engine_arguments(model, SETTINGS) == {"max_model_len": 2, "dtype": "half", "model": "/m"}
    adapted = ModelArgs(id="m", source="/m", adapters=({"id": "a", "source": "/a"},))  # type: ignore[arg-type]
    found = vllm_engine.engine_arguments(adapted, SETTINGS)
    assert (found["enable_lora"], found["max_loras"]) == (True, 1)
    vectors = ModelArgs(id="m", source="/m", kind="embeddings")
    assert vllm_engine.engine_arguments(vectors, SETTINGS)["runner"] == "pooling"


def output(text: str, finish: str | None, tokens: int = 1, cached: int | None = None) -> Any:
    answer = SimpleNamespace(text=text, token_ids=[1] * tokens, finish_reason=finish)
    return SimpleNamespace(outputs=[answer], prompt_token_ids=[1, 2, 3], num_cached_tokens=cached)


def test_an_output_is_a_piece() -> None:
    assert vllm_engine.piece_of(output("a", None, 2)) == Piece("a", 2, 3, 0, None)
    assert vllm_engine.piece_of(output("", "length", 1, 2)) == Piece("", 1, 3, 2, "length")
    with pytest.raises(PipelineError, match="abort") as caught:
        vllm_engine.piece_of(output("", "abort"))
    assert caught.value.status == 503
    assert caught.value.retry_after_s > 0


def test_biases_are_by_token_id() -> None:
    assert vllm_engine.token_bias(None) is None
    assert vllm_engine.token_bias({"5": -100}) == {5: -100}
    with pytest.raises(PipelineError) as caught:
        vllm_engine.token_bias({"the": 1})
    assert (caught.value.status, caught.value.field) == (400, "logit_bias")


def test_vectors_have_length_1_and_as_many_numbers_as_were_asked_for() -> None:
    assert vllm_engine.shortened([3.0, 4.0, 12.0], 2) == pytest.approx([0.6, 0.8])
    assert vllm_engine.shortened([0.0, 0.0], None) == [0.0, 0.0]
    with pytest.raises(PipelineError, match="the model has 2 dimensions"):
        vllm_engine.shortened([1.0, 2.0], 3)


class Engine(VllmEngine):
    """With what vLLM would do in place of it."""

    def __init__(self, outputs: list[Any]) -> None:
        super().__init__(SETTINGS, ModelArgs(id="m", source="/m"))
        self.closed = 0

        async def generate(*_: Any, **__: Any) -> AsyncGenerator[Any, None]:
            try:
                for each in outputs:
                    await asyncio.sleep(0)
                    if isinstance(each, Exception):
                        raise each
                    yield each
            finally:
                self.closed += 1

        self._llm = SimpleNamespace(generate=generate, get_num_unfinished_requests=lambda: 0, shutdown=lambda: None)

    def _parameters(self, *_: Any) -> Any:
        return SimpleNamespace(max_tokens=0)

    async def _rendered(self, *_: Any) -> Any:
        return {"prompt_token_ids": [1, 2, 3]}

    def _room(self, *_: Any) -> int:
        return 5


@pytest.fixture(autouse=True)
def no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exceptions cannot be named here."""
    from contextlib import nullcontext

    monkeypatch.setattr(vllm_engine, "_refusals", lambda _: nullcontext())


REQUEST = Request("1", "m", prompt="x")
GOOD = [output("a", None), output("b", None), output("", "stop")]


def test_a_request_that_is_read_to_its_end_is_finished() -> None:
    async def ask() -> Counts:
        engine = Engine(GOOD)
        assert [piece.text async for piece in engine.generate(REQUEST)] == ["a", "b", ""]
        assert engine.closed == 1
        return engine.counts()

    assert asyncio.run(ask()) == Counts(finished=1)


def test_a_request_whose_reader_leaves_is_aborted_and_closed_in_vllm() -> None:
    async def ask() -> None:
        engine = Engine(GOOD)
        pieces = engine.generate(REQUEST)
        await anext(pieces)
        assert engine.counts() == Counts(running=1)
        await pieces.aclose()
        assert engine.closed == 1
        assert engine.counts() == Counts(aborted=1)

    asyncio.run(ask())


def test_a_request_that_fails_is_counted_so() -> None:
    async def ask() -> None:
        engine = Engine([output("a", None), RuntimeError("x")])
        with pytest.raises(RuntimeError):
            [piece async for piece in engine.generate(REQUEST)]
        assert engine.counts() == Counts(failed=1)

    asyncio.run(ask())


def test_beyond_those_that_may_wait_it_is_503() -> None:
    async def ask() -> None:
        engine = Engine(GOOD)
        waiting = [asyncio.ensure_future(anext(engine.generate(REQUEST))) for _ in range(2)]
        await asyncio.sleep(0)
        assert engine.counts().waiting == 2
        with pytest.raises(PipelineError) as caught:
            await anext(engine.generate(REQUEST))
        assert (caught.value.status, caught.value.retry_after_s > 0) == (503, True)
        await asyncio.gather(*waiting)
        assert engine.counts().refused == 1

    asyncio.run(ask())


def test_what_vllm_holds_and_nobody_reads_counts_as_running() -> None:
    engine = Engine([])
    engine._llm.get_num_unfinished_requests = lambda: 3
    assert engine.counts().running == 3


def test_a_model_that_it_has_not_is_404_and_a_field_that_it_does_not_do_is_400() -> None:
    engine = VllmEngine(SETTINGS, ModelArgs(id="m", source="/m"))
    with pytest.raises(PipelineError) as caught:
        engine._lora("other")
    assert caught.value.status == 404
    with pytest.raises(PipelineError) as caught:
        engine._parameters(Request("1", "m", prompt="x", fields={"tools": [1]}))
    assert (caught.value.status, caught.value.field) == (400, "tools")
