"""Questions that people ask find the passages that answer them: recall@3 over the repository's own documents."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.common.onnx_text import Embedder
from apps.common.retrieval.rerank import make_reranker
from apps.common.retrieval.search import SearchService, open_store
from apps.common.retrieval.types import Hit
from apps.rag.settings import IngressSettings, RagArgs

ROOT = Path(__file__).resolve().parents[2]
WANTED = 0.9


@pytest.fixture(scope="module")
def questions() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load(
        (Path(__file__).parent / "data" / "questions.yaml").read_text("utf-8")
    )
    return listed


def _answers(hit: Hit, question: dict[str, Any]) -> bool:
    sections = question.get("sections") or [question["section"]]
    return hit.chunk.document == question["document"] and hit.chunk.section in sections


def test_recall_at_3(model: Path, corpus_data: Path, embedder: Embedder, questions: list[dict[str, Any]]) -> None:
    args = RagArgs()
    service = SearchService(open_store(args.store), embedder.digest, corpus_data / args.index)
    reranker = make_reranker(args.reranker, model.parent)
    missed = []
    for question, vector in zip(questions, embedder.embed([q["question"] for q in questions]), strict=True):
        hits = service.search(vector, IngressSettings().candidates).hits
        best = reranker.rerank(question["question"], hits, 3)
        if not any(_answers(hit, question) for hit in best):
            missed.append((question["question"], [(hit.chunk.document, hit.chunk.section) for hit in best]))
    service.close()
    recall = 1 - len(missed) / len(questions)
    print(f"recall@3 {recall:.3f} over {len(questions)} questions")
    assert len(questions) >= 30
    assert recall >= WANTED, missed
