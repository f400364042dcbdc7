"""Hold a pipeline back from "running" until a request could reach it.

KubeRay turns the Service to a new cluster as soon as Serve calls the applications running, and does not look whether
a pod of that cluster is an endpoint yet (KubeRay 1.6, reconcileServicesToReadyCluster). Serve starts its proxies beside
the replicas, so on a busy node they may come last: then the Service has no endpoint, and a second or two of requests is
refused. A replica that waits here lets the proxies come first. It must not be the ingress: the proxies wait for that.
"""

import http.client
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("ray.serve")

# Set by whoever runs Ray (base/components/disruption); without it nothing waits.
PORT_VARIABLE = "PIPELINE_PROXY_PORT"
HEALTH_PATH = "/-/healthz"
# After the first good answer: the next readiness probe, and the Service's endpoints with it.
SETTLE_S = 2.0
LIMIT_S = 30.0
_PERIOD_S = 0.25


class ProxyGate:
    """Watches the proxies from the moment it is made.

    Args:
        answers: whether any proxy that takes traffic would answer a request now.
        settle_s: how long after its first yes the way is open; a proxy that answers at the first look is long there.
        limit_s: the way opens in any case this long after the start: a gate may delay a pipeline, never stop it.
    """

    def __init__(self, answers: Callable[[], bool], settle_s: float = SETTLE_S, limit_s: float = LIMIT_S):
        self._answers = answers
        self._settle_s = settle_s
        self._limit_s = limit_s
        self._limit = time.monotonic() + limit_s
        self._open_at = self._limit
        self._seen = threading.Event()
        threading.Thread(target=self._watch, name="proxy-gate", daemon=True).start()

    @classmethod
    def of_environment(cls) -> "ProxyGate":
        """Return the gate for the proxies on PIPELINE_PROXY_PORT; an open one where that is not set.

        Raises:
            ValueError: the variable is not a port.
        """
        given = os.environ.get(PORT_VARIABLE)
        if given is None:
            return cls(lambda: True)
        if not (given.isdecimal() and 0 < int(given) < 65536):
            raise ValueError(f"{PORT_VARIABLE} must be the port of Serve's proxies (8000 with KubeRay), not {given!r}")
        return cls(lambda: any_answers(proxy_hosts(), int(given)))

    @classmethod
    @contextmanager
    def around_loading(cls) -> Iterator[None]:
        """Run a block that loads something heavy: after the proxies came first, and held back until the way is open."""
        gate = cls.of_environment()
        gate.wait_for_answer()
        yield
        gate.wait()

    def wait_for_answer(self) -> None:
        """Return when a proxy has answered; before heavy work, so that the proxies get the CPUs first."""
        if not self._seen.wait(max(0.0, self._limit - time.monotonic())):
            logger.warning(
                "no proxy of Serve answered %s within %g s, starting all the same; is %s=%s its port?",
                HEALTH_PATH,
                self._limit_s,
                PORT_VARIABLE,
                os.environ.get(PORT_VARIABLE),
            )

    def wait(self) -> None:
        """Return when the way is open; blocks the thread."""
        self.wait_for_answer()
        time.sleep(max(0.0, self._open_at - time.monotonic()))

    def _watch(self) -> None:
        settle_s = 0.0
        while time.monotonic() < self._limit:
            if self._answers():
                self._open_at = min(self._limit, time.monotonic() + settle_s)
                self._seen.set()
                return
            settle_s = self._settle_s
            time.sleep(_PERIOD_S)


def proxy_hosts() -> list[str]:
    """Return the addresses of this Ray cluster's nodes that take traffic: all but the head, or the head when alone."""
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    workers = [node for node in alive if "node:__internal_head__" not in node["Resources"]]
    return [node["NodeManagerAddress"] for node in workers or alive]


def any_answers(hosts: Iterable[str], port: int) -> bool:
    """Return whether the proxy of any host says 200 on its health path."""
    return any(_answers(host, port) for host in hosts)


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=1)
    try:
        connection.request("GET", HEALTH_PATH)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
