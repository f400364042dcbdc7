"""Copies of requests for a model that is being tried: nobody waits for them, and nobody reads their answers."""

import asyncio
import random
from collections.abc import Callable

import httpx

from apps.common.errors import PipelineError
from apps.gateway.backends import Asked, Backends
from apps.gateway.failures import BackendError
from apps.gateway.metrics import Metrics
from apps.gateway.routing import Attempt
from apps.gateway.settings import Route


class Shadows:
    """The copies that are on their way. They have connections of their own: they can take none from a request.

    Args:
        backends: the connections.
        most: how many at once, now.
    """

    def __init__(self, backends: Backends, most: Callable[[], int], metrics: Metrics, rng: random.Random):
        self._backends = backends
        self._most = most
        self._metrics = metrics
        self._rng = rng
        self._running: set[asyncio.Task[None]] = set()

    def offer(self, route: Route, asked: Asked) -> None:
        """Send a copy for the route's share of requests, unless too many are on their way; returns at once."""
        shadow = route.shadow
        if shadow is None or self._rng.random() >= shadow.share:
            return
        if len(self._running) >= self._most():
            self._metrics.shadow(route.model, shadow.name, "dropped")
            return
        task = asyncio.create_task(self._ask(Attempt(route, shadow, fallback=False), asked))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _ask(self, attempt: Attempt, asked: Asked) -> None:
        outcome = "answered"
        try:
            opened = await self._backends.open(attempt, asked)
            try:
                async for _ in opened.chunks():
                    pass
            finally:
                await opened.close()
        except BackendError as failure:
            outcome = failure.reason
        except (PipelineError, TimeoutError, httpx.HTTPError):
            outcome = "failed"
        self._metrics.shadow(attempt.route.model, attempt.target.name, outcome)
