"""How large a batch may be and how long it may wait, so that a target latency is kept.

A text waits until its batch is full or the wait is over (at most w), then for the batch before it that has the slot,
then for its own batch. With batches of b blocks and t milliseconds a block, that is w + 2·b·t. From the target T:

    b = (T - w) / 2t, within 4 and `batch_blocks`        w = T - 2·b·t, within 0 and `batch_wait_ms`

So the wait is what the target leaves over: it is `batch_wait_ms` as long as batches of the wanted size are fast enough,
then the batches shrink, and when even the smallest are too slow nothing waits any more. t is the 95th percentile of
the last batches. Beyond this the queue grows, and the autoscaler (target_ongoing_requests) has to bring replicas.
"""

from collections import deque
from dataclasses import dataclass

from apps.embeddings.settings import EmbedderSettings

TOKENS_PER_BLOCK = 128
# One text of 512 tokens, the longest that a model reads, is a batch.
LEAST_BLOCKS = 4
_REMEMBERED = 64


def blocks(batch: list[list[int]]) -> int:
    """Return the size of a batch of token ids once padded: ceil(longest * count / 128)."""
    return -(-max(map(len, batch)) * len(batch) // TOKENS_PER_BLOCK)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the next batch may be: padded blocks, and milliseconds to wait for more texts."""

    blocks: int
    wait_ms: float


class Pace:
    """Turns settings and measured batches into limits."""

    def __init__(self, settings: EmbedderSettings | None = None):
        self.settings = settings or EmbedderSettings()
        self._block_ms: deque[float] = deque(maxlen=_REMEMBERED)

    def took(self, size: int, milliseconds: float) -> None:
        """Remember a batch of `size` blocks."""
        self._block_ms.append(milliseconds / size)

    def limits(self) -> Limits:
        """Return the limits of the next batch; without a measurement those of the settings."""
        settings = self.settings
        if not self._block_ms:
            return Limits(settings.batch_blocks, settings.batch_wait_ms)
        ordered = sorted(self._block_ms)
        block_ms = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
        fitting = int((settings.target_p95_ms - settings.batch_wait_ms) / (2 * block_ms))
        size = min(settings.batch_blocks, max(LEAST_BLOCKS, fitting))
        left = settings.target_p95_ms - 2 * size * block_ms
        return Limits(size, min(settings.batch_wait_ms, max(0.0, left)))
