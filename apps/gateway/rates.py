"""Requests and tokens of a minute, by key: the counting, by the library `limits`."""

import time
from dataclasses import dataclass, field

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on. over: the limit that it would break. headers: OpenAI's, with what is left."""

    over: str = ""
    retry_after_s: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


class Rates:
    """The counts of all keys, in memory: a restart begins a new minute.

    Requests are counted in a sliding window before they are answered. Tokens are known after the answer, so they are
    booked then, into fixed minutes: a key may go over its tokens with the requests in flight, and then has to wait.
    """

    def __init__(self) -> None:
        storage = MemoryStorage()
        self._requests = SlidingWindowCounterRateLimiter(storage)
        self._tokens = FixedWindowRateLimiter(storage)

    async def admit(self, name: str, requests: int | None, tokens: int | None) -> Verdict:
        """Count one request of the key `name`, unless it is over one of its limits (a minute's; None: no limit)."""
        headers: dict[str, str] = {}
        limits = (("tokens", self._tokens, tokens), ("requests", self._requests, requests))
        for what, limiter, amount in limits:
            if amount is None:
                continue
            item = RateLimitItemPerMinute(amount)
            allowed = await (limiter.test(item, name, what) if what == "tokens" else limiter.hit(item, name, what))
            reset_s = await _add_state(headers, what, limiter, item, name)
            if not allowed:
                return Verdict(what, reset_s, headers)
        return Verdict(headers=headers)

    async def spend(self, name: str, tokens: int, amount: int) -> None:
        """Book `tokens` on the minute of the key `name`, whose limit is `amount`."""
        await self._tokens.hit(RateLimitItemPerMinute(amount), name, "tokens", cost=tokens)


async def _add_state(headers: dict[str, str], what: str, limiter: RateLimiter, item: RateLimitItem, name: str) -> float:
    reset, remaining = await limiter.get_window_stats(item, name, what)
    seconds = max(0.0, reset - time.time())
    headers[f"x-ratelimit-limit-{what}"] = str(item.amount)
    headers[f"x-ratelimit-remaining-{what}"] = str(max(0, remaining))
    headers[f"x-ratelimit-reset-{what}"] = f"{seconds:.3f}s"
    return seconds
