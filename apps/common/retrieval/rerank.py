"""Order the retrieved passages by what the question asks."""

from pathlib import Path
from typing import Protocol

from apps.common.retrieval.settings import RerankerArgs, RerankerSettings
from apps.common.retrieval.types import Hit
from apps.common.settings import Device
from apps.common.text import lexical_scores


class Reranker(Protocol):
    """Scores passages for a question."""

    def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Return the best `limit` of `hits` with new scores, best first."""

    def configure(self, settings: RerankerSettings) -> None:
        """Take new live settings."""


class HybridReranker:
    """Weighted mean of the cosine and the lexical score; both lie between 0 and 1 for passages worth showing."""

    def __init__(self) -> None:
        self._settings = RerankerSettings()

    def configure(self, settings: RerankerSettings) -> None:
        """Take new weights."""
        self._settings = settings

    def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Return the best passages; a tie keeps the order of the store."""
        near, lexical = self._settings.embedding_weight, self._settings.lexical_weight
        words = lexical_scores(question, [_passage(hit) for hit in hits])
        total = (near + lexical) or 1.0
        scored = [
            hit.with_score((near * hit.score + lexical * word) / total) for hit, word in zip(hits, words, strict=True)
        ]
        return sorted(scored, key=lambda hit: -hit.score)[:limit]


class CrossReranker:
    """A cross-encoder, on the device that the arguments name."""

    def __init__(self, folder: Path, threads: int, device: Device):
        from apps.common.onnx_text import CrossEncoder

        self._model = CrossEncoder(folder, threads, max_tokens=512, device=device)

    def configure(self, settings: RerankerSettings) -> None:
        """Ignore the weights: they belong to the hybrid score."""

    def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        """Return the best passages by the model's score."""
        if not hits:
            return []
        scores = self._model.score(question, [_passage(hit) for hit in hits])
        scored = [hit.with_score(float(score)) for hit, score in zip(hits, scores, strict=True)]
        return sorted(scored, key=lambda hit: -hit.score)[:limit]


def _passage(hit: Hit) -> str:
    """Return what is weighed: the names of document and section carry words that the text may lack."""
    return f"{hit.chunk.document} {hit.chunk.section}\n{hit.chunk.text}"


def make_reranker(args: RerankerArgs, models: Path) -> Reranker:
    """Return the reranker that `args` names."""
    if args.kind == "hybrid":
        return HybridReranker()
    return CrossReranker(models / args.model, args.threads, args.device)
