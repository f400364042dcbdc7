"""A model that takes texts or token ids, and its queue of batches."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.common.errors import PipelineError
from apps.common.onnx_text import Embedder, Vectors
from apps.common.serving import batched
from apps.common.settings import Device
from apps.embeddings.pace import Pace, blocks
from apps.embeddings.settings import EmbedderSettings, EncoderArgs

Texts = Sequence[str] | Sequence[Sequence[int]]

# Texts of one request that are in the queue at the same time; other requests find their place between them.
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Embedded:
    """vectors: (n, width) float32 of length 1. tokens: what the model read, [CLS] and [SEP] included."""

    vectors: Vectors
    tokens: int


class Encoder(Embedder):
    """An exported encoder whose inputs may be token ids as well."""

    def __init__(self, folder: Path, threads: int = 1, max_tokens: int = 256, device: Device = "cpu"):
        super().__init__(folder, threads, max_tokens, device)
        self.max_tokens = min(max_tokens, int(self.description["positions"]))
        self.width = int(self._session.get_outputs()[0].shape[1])
        self._vocabulary = int(self._tokenizer.get_vocab_size())
        self._first, self._last = self.tokenize([""])[0]

    def ids(self, inputs: Texts) -> list[list[int]]:
        """Return the ids that the model reads, cut to `max_tokens`; [CLS] and [SEP] are added where they are missing.

        Raises:
            PipelineError: 422, an id is not in the vocabulary.
        """
        if isinstance(inputs[0], str):
            return self.tokenize([str(text) for text in inputs])
        return [self._framed(number, [*row]) for number, row in enumerate(inputs)]  # type: ignore[list-item]

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has, what is cut included."""
        return [len(each.ids) + sum(len(rest.ids) - 2 for rest in each.overflowing) for each in self.encode(texts)]

    def _framed(self, number: int, row: list[int]) -> list[int]:
        for place in row:
            if not 0 <= place < self._vocabulary:
                message = f"item {number}: {place} is no token id of this model (0 to {self._vocabulary - 1})"
                raise PipelineError(422, "validation", message, "input")
        if row[0] == self._first:
            row = row[1:]
        if row and row[-1] == self._last:
            row = row[:-1]
        return [self._first, *row[: self.max_tokens - 2], self._last]


class BatchedEncoder:
    """One model behind a queue of `@serve.batch`: texts of all requests of the replica share batches.

    Up to `args.batches_in_flight` batches run at once, each in a thread of its own, and the next is gathered meanwhile:
    a short batch does not wait for a long one, and the CPU has work while results are handed out.
    """

    def __init__(self, encoder: Encoder, args: EncoderArgs):
        self.encoder = encoder
        self._pace = Pace()
        limits = self._pace.limits()
        decorate = batched(
            size=blocks, max_size=limits.blocks, wait_s=limits.wait_ms / 1000, in_flight=args.batches_in_flight
        )
        self._queue: Any = decorate(self._run)  # type: ignore[arg-type]

    def configure(self, settings: EmbedderSettings) -> None:
        """Take live settings; they hold from the next batch on."""
        self._pace.settings = settings
        self._apply()

    def _apply(self) -> None:
        limits = self._pace.limits()
        self._queue.set_max_batch_size(limits.blocks)
        self._queue.set_batch_wait_timeout_s(limits.wait_ms / 1000)

    async def _run(self, batch: list[list[int]]) -> list[Vectors]:
        started = time.perf_counter()
        rows = await asyncio.to_thread(self.encoder.run, batch)
        self._pace.took(blocks(batch), (time.perf_counter() - started) * 1000)
        self._apply()
        return list(rows)

    async def embed(self, inputs: Texts, dimensions: int | None) -> Embedded:
        """Embed texts or token ids, in their order.

        Raises:
            PipelineError: 422, an id is not in the vocabulary, or there are not so many dimensions.
        """
        width = self.encoder.width
        if dimensions is not None and dimensions > width:
            raise PipelineError(422, "validation", f"this model has {width} dimensions", "dimensions")
        ids = await asyncio.to_thread(self.encoder.ids, inputs)
        # Texts of like length share a batch: less padding.
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        vectors = np.empty((len(ids), width), np.float32)
        for start in range(0, len(order), _AT_ONCE):
            part = order[start : start + _AT_ONCE]
            vectors[part] = await asyncio.gather(*(self._queue(ids[number]) for number in part))
        return Embedded(shortened(vectors, dimensions), sum(map(len, ids)))


def shortened(vectors: Vectors, dimensions: int | None) -> Vectors:
    """Return the first `dimensions` of each vector, at length 1 again; a vector of zeros stays one."""
    if dimensions is None or dimensions == vectors.shape[1]:
        return vectors
    cut = vectors[:, :dimensions]
    lengths = np.linalg.norm(cut, axis=1, keepdims=True)
    return np.asarray(cut / np.where(lengths == 0, 1, lengths), np.float32)
