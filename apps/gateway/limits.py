"""Asking the Limiter without depending on it: whoever does not answer in time lets everybody through."""

import asyncio
import logging
from typing import Any

from apps.common.errors import PipelineError
from apps.common.openai.errors import rate_limit_exceeded
from apps.gateway.cooldown import Cooldown
from apps.gateway.keys import ApiKey
from apps.gateway.metrics import Metrics
from apps.gateway.rates import Verdict

logger = logging.getLogger("ray.serve")

TIMEOUT_S = 0.5
# After a silence: it is not asked, so that nobody waits, until it is tried again.
PAUSE_S = 2.0
_LIMITER = "limiter"
_LET_THROUGH = Verdict()


class Limits:
    """The limits of keys. handle: of the Limiter (deployments.py)."""

    def __init__(self, handle: Any, metrics: Metrics):
        self._handle = handle
        self._metrics = metrics
        self._cooldown = Cooldown(failures=1, seconds=PAUSE_S)
        self._booking: set[asyncio.Task[None]] = set()

    async def admit(self, key: ApiKey) -> dict[str, str]:
        """Count a request; return the headers that say how much is left.

        Raises:
            PipelineError: 429, the key is over one of its limits.
        """
        if key.requests_per_minute is None and key.tokens_per_minute is None:
            return {}
        arguments = (key.name, key.requests_per_minute, key.tokens_per_minute)
        verdict = await self._ask(self._handle.admit, *arguments) or _LET_THROUGH
        if verdict.over:
            self._metrics.refused(key.name, verdict.over)
            amount = getattr(key, f"{verdict.over}_per_minute")
            raise OverLimitError(f"over the limit of {amount} {verdict.over} a minute", verdict)
        return dict(verdict.headers)

    def spend(self, key: ApiKey, tokens: int) -> None:
        """Book the tokens of an answer; nobody waits for it."""
        if key.tokens_per_minute is None or tokens <= 0:
            return
        task = asyncio.create_task(self._book(key.name, tokens, key.tokens_per_minute))
        self._booking.add(task)
        task.add_done_callback(self._booking.discard)

    async def _book(self, name: str, tokens: int, amount: int) -> None:
        await self._ask(self._handle.spend, name, tokens, amount)

    async def _ask(self, method: Any, *arguments: Any) -> Any:
        """Return the Limiter's answer, or None when there is none."""
        if not self._cooldown.admits(_LIMITER):
            self._metrics.limiter_silent()
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await method.remote(*arguments)
        except Exception as error:
            self._cooldown.failed(_LIMITER)
            self._metrics.limiter_silent()
            logger.warning("the Limiter does not answer, requests are let through: %s", type(error).__name__)
            return None
        self._cooldown.succeeded(_LIMITER)
        return answer


class OverLimitError(PipelineError):
    """429, with what the key has left. It never leaves its process."""

    def __init__(self, message: str, verdict: Verdict):
        error = rate_limit_exceeded(message, max(1.0, verdict.retry_after_s))
        super().__init__(error.status, error.kind, error.message, error.field, error.retry_after_s)
        self.headers = verdict.headers
