"""Look at a RayService in a cluster, and wait until it is healthy, telling each step."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from rayops.kube.client import Kube
from rayops.kube.closer import Surroundings, assess_closely
from rayops.kube.objects import POD, RAY_SERVICE
from rayops.kube.verdict import Health, Layer, Status
from rayops.kube.wait import Timeout, eventually, itself

# Degraded may pass (an image pull tried again, a deployment that recovers): it is believed after this long.
PATIENCE_S: Final = 20.0


def look(kube: Kube, namespace: str, name: str) -> Health:
    """The health of a RayService now; NotFoundError when there is none."""
    service = kube.get(RAY_SERVICE, name, namespace)
    around = Surroundings(kube.list(POD, namespace), kube.events(namespace), datetime.now(UTC))
    return assess_closely(service, around)


def wait_healthy(
    kube: Kube,
    namespace: str,
    name: str,
    *,
    timeout: Timeout = Timeout.LONG,
    tell: Callable[[Health], None] = lambda _: None,
    patience_s: float = PATIENCE_S,
) -> Health:
    """Wait until the health rule says Healthy. tell: called when the layer or the message has changed.

    Raises WaitError, at once when Degraded lasted for patience_s. The data path is the caller's to probe.
    """
    steps = _Steps(tell, patience_s)
    return eventually(
        lambda: look(kube, namespace, name), itself, steps.done, timeout, f"RayService {namespace}/{name} healthy",
        give_up=steps.hopeless,
    )  # fmt: skip


class _Steps:
    """Remembers what was told and since when it is bad."""

    def __init__(self, tell: Callable[[Health], None], patience_s: float) -> None:
        self._tell, self._patience_s = tell, patience_s
        self._told: tuple[Status, Layer, str] | None = None
        self._bad_since: float | None = None

    def done(self, health: Health) -> bool:
        told = (health.status, health.layer, health.message)
        if told != self._told:
            self._told = told
            self._tell(health)
        return health.healthy

    def hopeless(self, health: Health) -> str:
        if health.status is not Status.DEGRADED:
            self._bad_since = None
            return ""
        self._bad_since = self._bad_since or time.monotonic()
        lasted = time.monotonic() - self._bad_since
        return f"Degraded for {lasted:.0f} s" if lasted >= self._patience_s else ""
