"""The one way to wait: look, pick, ask, until it is so or a named time-out is over.

ready = eventually(lambda: kube.get(POD, "web", "shop"), pod_phase, equals("Running"), Timeout.SHORT, "pod web runs")
"""

import time
from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from rayops.errors import RayopsError
from rayops.kube.errors import KubeError

T = TypeVar("T")
S = TypeVar("S")


class Timeout(Enum):
    """Named time-outs, in seconds."""

    SHORT = 60.0
    """One controller reacts: a status appears, a pod is deleted."""
    MEDIUM = 180.0
    """A RayCluster comes up with the image on the node."""
    LONG = 420.0
    """An upgrade: new cluster, switch, old one gone."""
    EXTENDED = 1200.0
    """Something is built or pulled first."""


class WaitError(RayopsError):
    """It did not become so in time. what: the thing waited for; waited_s: how long; last: what was seen last."""

    def __init__(self, what: str, waited_s: float, last: object, *, because: str = "") -> None:
        reason = f" ({because})" if because else ""
        super().__init__(f"waited {waited_s:.0f} s for: {what}{reason}; last seen: {_short(last)}")
        self.what = what
        self.waited_s = waited_s
        self.last = last


def _short(value: object, limit: int = 600) -> str:
    text = str(value) if isinstance(value, BaseException) else repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def eventually(
    getter: Callable[[], T],
    selector: Callable[[T], S],
    predicate: Callable[[S], bool],
    timeout: Timeout,
    what: str,
    *,
    every: float = 1.0,
    give_up: Callable[[S], str] | None = None,
) -> S:
    """Call `selector(getter())` until the predicate holds; the value for which it held.

    A KubeError of the getter counts as "not yet". give_up(value): a non-empty reason ends the wait at once.
    every: seconds between two looks. Raises WaitError with what was last seen.
    """
    started = time.monotonic()
    last: object = None
    while True:
        try:
            value = selector(getter())
        except KubeError as error:
            last = error
        else:
            last = value
            if predicate(value):
                return value
            if give_up and (reason := give_up(value)):
                raise WaitError(what, time.monotonic() - started, last, because=reason)
        waited = time.monotonic() - started
        if waited + every > timeout.value:
            raise WaitError(what, waited, last)
        time.sleep(every)


def itself(value: T) -> T:
    """The selector that picks the whole object."""
    return value


def equals(wanted: object) -> Callable[[object], bool]:
    """The predicate that asks for equality."""
    return lambda value: value == wanted


def is_so(value: object) -> bool:
    """The predicate that asks for a truthy value."""
    return bool(value)
