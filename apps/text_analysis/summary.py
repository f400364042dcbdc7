"""Extractive summary: the sentences of a text that most others resemble.

Centrality is continuous LexRank (Erkan and Radev, "LexRank: Graph-based Lexical Centrality as Salience in Text
Summarization", JAIR 22, 2004, https://doi.org/10.1613/jair.1523) with the cosine of sentence embeddings in place of
that of word counts, so that sentences resemble each other by what they say.
"""

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apps.common.onnx_text import Embedder, Vectors
from apps.text_analysis.settings import SummarySettings
from apps.text_analysis.types import CentralSentence, TextSummary

# The paper's chance to leave the walk for any sentence.
_JUMP = 0.15
_TOLERANCE = 1e-9
_MOST_STEPS = 200


class Summarizer:
    """Chooses sentences; one batch of the encoder at a time, so that requests take turns and a cancelled one stops."""

    def __init__(self, embedder: Embedder):
        self.settings = SummarySettings()
        self._embedder = embedder
        self._turn = asyncio.Lock()

    async def summarize(self, sentences: Sequence[str], wanted: int) -> TextSummary:
        """Return up to `wanted` of one or more sentences."""
        settings = self.settings
        places = spread(len(sentences), settings.most_sentences)
        vectors = await self._embed([sentences[place] for place in places], settings.batch)
        return await asyncio.to_thread(_summary, sentences, places, vectors, wanted, settings.duplicate_cosine)

    async def _embed(self, texts: Sequence[str], batch: int) -> Vectors:
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        rows = []
        for start in range(0, len(order), batch):
            part = [texts[number] for number in order[start : start + batch]]
            async with self._turn:
                rows.append(await asyncio.to_thread(self._embedder.embed, part, batch))
        vectors: Vectors = np.concatenate(rows)[np.argsort(order)]
        return vectors


def _summary(
    sentences: Sequence[str], places: Sequence[int], vectors: Vectors, wanted: int, duplicate_cosine: float
) -> TextSummary:
    kept = distinct(vectors, duplicate_cosine)
    scores = centrality(vectors[kept])
    # A stable sort: of two that are equally central, the earlier.
    best = sorted(np.argsort(-scores, kind="stable")[:wanted])
    chosen = [(places[kept[number]], float(scores[number])) for number in best]
    return TextSummary(
        sentences=[CentralSentence(sentences[place], place, round(score, 4)) for place, score in chosen],
        compared=len(places),
        of=len(sentences),
        duplicates=len(places) - len(kept),
    )


def spread(count: int, most: int) -> list[int]:
    """Return the numbers 0 to `count` - 1, or `most` of them spread evenly, the first and the last among them."""
    return [int(place) for place in np.linspace(0, count - 1, min(count, most)).round()]


def distinct(vectors: Vectors, duplicate_cosine: float) -> list[int]:
    """Return the rows, in order, without those as near as `duplicate_cosine` to an earlier one.

    vectors: (n, width), rows of length 1. What is said ten times would else be the most central, ten times.
    """
    cosines = vectors @ vectors.T
    kept: list[int] = []
    for number in range(len(vectors)):
        if not kept or cosines[number, kept].max() < duplicate_cosine:
            kept.append(number)
    return kept


def centrality(vectors: Vectors) -> NDArray[np.float64]:
    """Return the LexRank of each row of (n, width), rows of length 1, as (n,) with 1 for the greatest."""
    cosines = np.clip(vectors.astype(np.float64) @ vectors.T, 0, None)
    walk = cosines / cosines.sum(axis=1, keepdims=True)
    rank: NDArray[np.float64] = np.full(len(walk), 1 / len(walk))
    for _ in range(_MOST_STEPS):
        before, rank = rank, _JUMP / len(walk) + (1 - _JUMP) * rank @ walk
        if np.abs(rank - before).max() < _TOLERANCE:
            break
    greatest: NDArray[np.float64] = rank / rank.max()
    return greatest
