"""Rerankers and generators, the latter against a server that speaks the OpenAI protocol."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from apps.common.errors import PipelineError
from apps.common.retrieval.generate import NOTHING_FOUND, ExtractiveGenerator, Generator, make_generator
from apps.common.retrieval.rerank import CrossReranker, HybridReranker, make_reranker
from apps.common.retrieval.settings import GeneratorArgs, GeneratorSettings, RerankerArgs, RerankerSettings
from apps.common.retrieval.types import Chunk, Hit

HITS = [
    Hit(Chunk("a.md", "Pods", 1, 2, "A pod restarts. The wombat restarts every pod at noon."), 0.9),
    Hit(Chunk("b.md", "Nodes", 5, 6, "A node is a machine. It carries pods."), 0.8),
    Hit(Chunk("c.md", "Cheese", 1, 1, "Cheese is made of milk."), 0.1),
]


def answer(generator: Generator, question: str, hits: list[Hit], timeout_s: float = 5) -> list[str]:
    async def collect() -> list[str]:
        return [piece async for piece in generator.stream(question, hits, timeout_s)]

    return asyncio.run(collect())


def test_the_extract_cites_the_source_of_each_sentence() -> None:
    pieces = answer(ExtractiveGenerator(), "When does the wombat restart a pod?", HITS)
    assert (
        pieces
        == ["The wombat restarts every pod at noon. [1]", " A node is a machine. [2]", " It carries pods. [2]"][:2]
    )
    assert "Cheese" not in "".join(pieces), "a source that hardly fits takes no part"


def test_the_number_of_sentences_is_a_live_setting() -> None:
    generator = ExtractiveGenerator()
    generator.configure(GeneratorSettings(sentences=1))
    assert answer(generator, "Who restarts the pod at noon? The wombat?", HITS) == [
        "The wombat restarts every pod at noon. [1]"
    ]


def test_without_sources_the_extract_says_so() -> None:
    assert answer(make_generator(GeneratorArgs()), "anything", []) == [NOTHING_FOUND]


def test_hybrid_weights_shift_the_order() -> None:
    reranker = HybridReranker()
    reranker.configure(RerankerSettings(embedding_weight=1, lexical_weight=0))
    assert [hit.chunk.document for hit in reranker.rerank("milk cheese", HITS, 3)] == ["a.md", "b.md", "c.md"]
    reranker.configure(RerankerSettings(embedding_weight=0, lexical_weight=1))
    best = reranker.rerank("milk cheese", HITS, 2)
    assert [hit.chunk.document for hit in best] == ["c.md", "a.md"]
    assert best[0].score == 1.0
    assert reranker.rerank("milk", [], 3) == []


def test_the_cross_encoder_orders_by_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Model:
        def __init__(self, folder: Path, threads: int, max_tokens: int, device: str):
            assert (folder, threads, max_tokens, device) == (tmp_path / "x", 3, 512, "cuda")

        def score(self, question: str, passages: list[str]) -> list[float]:
            assert question == "milk"
            return [float("milk" in passage) for passage in passages]

    monkeypatch.setattr("apps.common.onnx_text.CrossEncoder", Model)
    reranker = make_reranker(RerankerArgs(kind="cross-encoder", model="x", threads=3, device="cuda"), tmp_path)
    assert isinstance(reranker, CrossReranker)
    reranker.configure(RerankerSettings())
    assert [hit.chunk.document for hit in reranker.rerank("milk", HITS, 1)] == ["c.md"]
    assert reranker.rerank("milk", [], 1) == []


class FakeServer:
    """Speaks `/chat/completions` with streaming; fails as told before it answers."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.failures: list[int] = []
        self.delay_s = 0.0
        self.left = False
        self.app = Starlette(routes=[Route("/v1/chat/completions", self.complete, methods=["POST"])])

    async def complete(self, request: Request) -> Response:
        self.requests.append(json.loads(await request.body()) | {"authorization": request.headers["authorization"]})
        if self.failures:
            return JSONResponse({"error": {"message": "no"}}, self.failures.pop(0), {"retry-after-ms": "1"})
        return StreamingResponse(self.chunks(), media_type="text/event-stream")

    async def chunks(self) -> AsyncIterator[str]:
        try:
            for piece in ("The wombat", " lands [1].", ""):
                choice = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
                event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
                yield f"data: {json.dumps(event)}\n\n"
                await asyncio.sleep(self.delay_s)
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left = True
            raise


@pytest.fixture
def fake(serving: Callable[[Any], str]) -> tuple[FakeServer, str]:
    server = FakeServer()
    return server, serving(server.app)


def generator_for(url: str, **more: Any) -> Generator:
    return make_generator(GeneratorArgs(kind="openai", base_url=f"{url}/v1", model="m", **more))


def test_a_language_model_answers_in_pieces(fake: tuple[FakeServer, str], monkeypatch: pytest.MonkeyPatch) -> None:
    server, url = fake
    monkeypatch.setenv("MY_KEY", "secret")
    generator = generator_for(url, api_key_variable="MY_KEY", max_tokens=7)
    generator.configure(GeneratorSettings())
    assert answer(generator, "When?", HITS) == ["The wombat", " lands [1]."]
    asked = server.requests[0]
    assert (asked["model"], asked["max_tokens"], asked["stream"]) == ("m", 7, True)
    assert asked["authorization"] == "Bearer secret"
    prompt = asked["messages"][1]["content"]
    assert "[2] b.md, Nodes\nA node is a machine." in prompt
    assert prompt.endswith("Question: When?")


def test_a_passing_failure_is_tried_again(fake: tuple[FakeServer, str]) -> None:
    server, url = fake
    server.failures = [500, 503]
    assert "".join(answer(generator_for(url, max_retries=2), "When?", HITS)) == "The wombat lands [1]."
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("failure", "status", "kind"), [(500, 502, "generator"), (429, 503, "overloaded"), (404, 502, "generator")]
)
def test_a_lasting_failure_is_told(fake: tuple[FakeServer, str], failure: int, status: int, kind: str) -> None:
    server, url = fake
    server.failures = [failure] * 5
    with pytest.raises(PipelineError) as caught:
        answer(generator_for(url, max_retries=1), "When?", HITS)
    assert (caught.value.status, caught.value.kind) == (status, kind)
    assert len(server.requests) == (1 if failure == 404 else 2)


def test_no_server_is_told() -> None:
    with pytest.raises(PipelineError) as caught:
        answer(generator_for("http://127.0.0.1:9", max_retries=0), "When?", HITS)
    assert (caught.value.status, caught.value.kind) == (502, "generator")


def test_a_slow_server_ends_with_the_deadline(fake: tuple[FakeServer, str]) -> None:
    server, url = fake
    server.delay_s = 5
    with pytest.raises(PipelineError) as caught:
        answer(generator_for(url, max_retries=0), "When?", HITS, timeout_s=0.3)
    assert caught.value.status == 504


def test_leaving_the_stream_closes_the_connection(fake: tuple[FakeServer, str]) -> None:
    server, url = fake
    server.delay_s = 0.2

    async def leave() -> None:
        stream = generator_for(url).stream("When?", HITS, 5)
        assert await anext(stream) == "The wombat"
        await stream.aclose()  # type: ignore[attr-defined]
        for _ in range(50):
            if server.left:
                return
            await asyncio.sleep(0.05)

    asyncio.run(leave())
    assert server.left
