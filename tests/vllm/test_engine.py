"""The engine of the own server without Serve: vectors, and what vLLM refuses. And vLLM's own server as a child."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest
from openai import OpenAI

from apps.common.errors import PipelineError
from apps.llm.engine import Request
from apps.llm.settings import AsyncVllm, ModelArgs
from apps.llm.vllm_engine import VllmEngine
from apps.support_assistant.settings import VllmArgs
from apps.support_assistant.vllm_server import VllmServer
from tests.vllm.conftest import Weights
from tests.vllm.serving import VLLM

SMALL = {"dtype": "bfloat16", "max_model_len": 256, "max_num_seqs": 4, "enforce_eager": True}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in VLLM.items():
        monkeypatch.setenv(name, value)


def test_a_model_of_vectors(weights: Weights) -> None:
    async def ask() -> None:
        model = ModelArgs(id="vectors", source=str(weights.model), kind="embeddings")
        engine = VllmEngine(AsyncVllm(kind="async-vllm", engine_args=SMALL), model)
        await engine.start()
        try:
            found = await engine.embed(["The wombat", "The river", "The wombat"], None)
            assert [len(row) for row in found.rows] == [128, 128, 128]
            assert found.rows[0] == pytest.approx(found.rows[2], abs=1e-2)
            assert found.rows[0] != pytest.approx(found.rows[1], abs=1e-2)
            assert all(sum(value * value for value in row) == pytest.approx(1) for row in found.rows)
            assert found.tokens > 0
            short = await engine.embed([[10, 11, 12]], 16)
            assert (len(short.rows[0]), short.tokens) == (16, 3)
            with pytest.raises(PipelineError, match="128 dimensions"):
                await engine.embed(["x"], 129)
            with pytest.raises(PipelineError) as caught:
                await anext(engine.generate(Request("1", "vectors", prompt="x")))
            assert caught.value.status == 400
            now = engine.counts()
            assert (now.waiting, now.running, now.aborted) == (0, 0, 0)
            assert now.finished == 2
        finally:
            engine.close()

    asyncio.run(ask())


def test_an_argument_that_vllm_does_not_know_is_named(weights: Weights) -> None:
    model = ModelArgs(id="tiny", source=str(weights.model), engine_args={"max_modle_len": 1})
    with pytest.raises(ValueError, match=r"engine_args\.max_modle_len of tiny: vLLM .* has no such argument"):
        asyncio.run(VllmEngine(AsyncVllm(kind="async-vllm"), model).start())


def test_vllm_s_own_server_as_a_child(weights: Weights) -> None:
    options = ("--dtype", "bfloat16", "--max-model-len", "256", "--max-num-seqs", "2", "--enforce-eager")
    model = str(weights.model)
    with closing(VllmServer(model, VllmArgs(arguments=options, start_timeout_s=900))) as server:
        client = OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60)
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Where?"}], max_tokens=5, temperature=0
        )
        assert answer.choices[0].message.content
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 5
        server.check()
        child = server._process.pid
    assert not Path(f"/proc/{child}").exists()
    with pytest.raises(RuntimeError, match="ended with status"):
        server.check()
