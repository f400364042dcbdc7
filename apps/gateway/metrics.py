"""What the gateway counts, by model, target and key name; Prometheus reads it from Ray as `ray_gateway_…`."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ray.serve import metrics as ray_metrics

from apps.gateway.routing import Attempt
from apps.gateway.usage import Usage

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_WHO = ("model", "target", "key")


class Instruments(Protocol):
    """Where numbers go."""

    def add(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Add to a counter."""

    def observe(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Put a value into a histogram."""


# name: (tags, what it is)
COUNTERS: Mapping[str, tuple[Sequence[str], str]] = {
    "gateway_requests": ((*_WHO, "status"), "Requests that were answered, and how."),
    "gateway_tokens_in": (_WHO, "Tokens read, as the backends say."),
    "gateway_tokens_out": (_WHO, "Tokens written, as the backends say; of streams cut short one an event."),
    "gateway_failures": (("model", "target", "reason"), "Asked backends that gave no answer."),
    "gateway_fallbacks": (("model", "target"), "Requests answered by a fallback: which model was asked, who answered."),
    "gateway_refused": (("key", "reason"), "Requests over a limit of their key."),
    "gateway_shadow": (("model", "target", "outcome"), "Copies of requests; dropped: too many at once."),
    "gateway_limiter_silent": ((), "Requests let through because the Limiter did not answer."),
}
HISTOGRAMS: Mapping[str, tuple[Sequence[str], str]] = {
    "gateway_first_byte_seconds": (("model", "target"), "From the request to the first byte of its answer."),
}


class RayInstruments:
    """Ray Serve's metrics. They are made in the replica: before, nothing knows its name."""

    def __init__(self) -> None:
        self._counters: dict[str, Any] = {
            name: ray_metrics.Counter(name, description=what, tag_keys=tuple(tags))
            for name, (tags, what) in COUNTERS.items()
        }
        self._histograms: dict[str, Any] = {
            name: ray_metrics.Histogram(name, description=what, boundaries=list(SECONDS), tag_keys=tuple(tags))
            for name, (tags, what) in HISTOGRAMS.items()
        }

    def add(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Add to a counter; Ray takes no zero."""
        if value > 0:
            self._counters[name].inc(value, tags=dict(tags))

    def observe(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Put a value into a histogram."""
        self._histograms[name].observe(value, tags=dict(tags))


class Metrics:
    """The gateway's numbers by name."""

    def __init__(self, instruments: Instruments):
        self._to = instruments

    def answered(self, attempt: Attempt, key: str, status: str, usage: Usage) -> None:
        """Count an answer and its tokens. status: ok, cut (the client left, or the backend broke off)."""
        who = {"model": attempt.route.model, "target": attempt.target.name, "key": key}
        self._to.add("gateway_requests", 1, {**who, "status": status})
        self._to.add("gateway_tokens_in", usage.read, who)
        self._to.add("gateway_tokens_out", usage.written, who)

    def first_byte(self, attempt: Attempt, seconds: float) -> None:
        """Put the time to the first byte."""
        self._to.observe("gateway_first_byte_seconds", seconds, _of(attempt))

    def failed(self, attempt: Attempt, reason: str) -> None:
        """Count a backend that gave no answer."""
        self._to.add("gateway_failures", 1, {**_of(attempt), "reason": reason})

    def unanswered(self, model: str, key: str, status: str) -> None:
        """Count a request that nobody answered, or that was refused by whoever was asked."""
        self._to.add("gateway_requests", 1, {"model": model, "target": "", "key": key, "status": status})

    def fell_back(self, model: str, attempt: Attempt) -> None:
        """Count a request for `model` that another one answered."""
        self._to.add("gateway_fallbacks", 1, {"model": model, "target": attempt.target.name})

    def refused(self, key: str, reason: str) -> None:
        """Count a request over a limit."""
        self._to.add("gateway_refused", 1, {"key": key, "reason": reason})

    def shadow(self, model: str, target: str, outcome: str) -> None:
        """Count a copy."""
        self._to.add("gateway_shadow", 1, {"model": model, "target": target, "outcome": outcome})

    def limiter_silent(self) -> None:
        """Count a request that went on without being counted."""
        self._to.add("gateway_limiter_silent", 1, {})


def _of(attempt: Attempt) -> dict[str, str]:
    return {"model": attempt.route.model, "target": attempt.target.name}
