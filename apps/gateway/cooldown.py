"""Which backends are left out for a while, because they failed several times in a row."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

FAILURES = 3
SECONDS = 5.0


@dataclass(slots=True)
class _State:
    failures: int = 0
    until: float = 0.0


class Cooldown:
    """Counts failures in a row by key; not thread-safe, one event loop uses it.

    Args:
        failures: in a row, until a key is left out.
        seconds: how long; then one request tries it, and it is in again as soon as one succeeds.
        clock: seconds, monotonic.
    """

    def __init__(self, failures: int = FAILURES, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic):
        self._failures = failures
        self._seconds = seconds
        self._clock = clock
        self._states: dict[Hashable, _State] = {}

    def admits(self, key: Hashable) -> bool:
        """Return whether to ask it. The yes after a pause is for this one request: the next must wait for its end."""
        state = self._states.get(key)
        if state is None or state.failures < self._failures:
            return True
        now = self._clock()
        if now < state.until:
            return False
        state.until = now + self._seconds
        return True

    def succeeded(self, key: Hashable) -> None:
        """Forget its failures."""
        self._states.pop(key, None)

    def failed(self, key: Hashable) -> None:
        """Count a failure."""
        state = self._states.setdefault(key, _State())
        state.failures += 1
        state.until = self._clock() + self._seconds

    def keep(self, keys: set[Hashable]) -> None:
        """Forget the keys that are not among these."""
        for key in self._states.keys() - keys:
            del self._states[key]
