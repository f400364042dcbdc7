"""Metrics per model, where Ray's own agent exports them (port 8080 of every pod of the cluster)."""

import time
from dataclasses import dataclass, field
from typing import Any

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Meters:
    """The counters and histograms of one ingress replica."""

    def __init__(self) -> None:
        from ray.serve import metrics

        def counter(name: str, about: str, *tags: str) -> Any:
            return metrics.Counter(name, description=about, tag_keys=("model", *tags))

        def histogram(name: str, about: str) -> Any:
            return metrics.Histogram(name, description=about, boundaries=list(_SECONDS), tag_keys=("model",))

        self.requests = counter(
            "llm_requests_total", "Requests: answered, refused, failed, left.", "operation", "outcome"
        )
        self.tokens = counter("llm_tokens_total", "Tokens of prompts (in, cached) and answers (out).", "direction")
        self.first = histogram("llm_time_to_first_token_seconds", "From the request to the first piece of its answer.")
        self.whole = histogram("llm_request_seconds", "From the request to the end of its answer.")


@dataclass(slots=True)
class Meter:
    """One request, from when it is read to when it is over."""

    meters: Meters
    model: str
    operation: str
    started: float = field(default_factory=time.monotonic)

    def first_piece(self) -> None:
        """Book the time to the first piece."""
        self.meters.first.observe(time.monotonic() - self.started, tags={"model": self.model})

    def over(self, outcome: str, read: int, cached: int, written: int) -> None:
        """Book the request, with how it ended and the tokens it came to."""
        tags = {"model": self.model}
        self.meters.requests.inc(1, tags={**tags, "operation": self.operation, "outcome": outcome})
        self.meters.whole.observe(time.monotonic() - self.started, tags=tags)
        for direction, count in (("in", read), ("cached", cached), ("out", written)):
            if count:
                self.meters.tokens.inc(count, tags={**tags, "direction": direction})
