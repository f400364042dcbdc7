"""Serve's default autoscaling policy, as in ray.serve.autoscaling_policy of Ray 2.60 (a test compares the two)."""

import math
from collections import deque
from collections.abc import Generator

from simpy import Environment, Event, Timeout

from rayops.simulate.model import Scaling
from rayops.simulate.stations import Desk

TINY = 1e-6


class Policy:
    """Replicas wanted, from the mean number of ongoing calls; a wish acts when it has lasted its delay."""

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self._up_since: float | None = None
        self._down_since: float | None = None

    def decide(self, now: float, running: int, target: int, ongoing: float) -> int:
        """The new target. now: seconds; running: ready replicas; ongoing: calls in replicas and queues, averaged."""
        least, most = self.scaling.min_replicas, self.scaling.max_replicas
        if running == 0 and ongoing > 0:  # from zero at once
            return min(most, max(math.ceil(self.scaling.upscaling_factor), target, least))
        wanted = self._wanted(running, target, ongoing)
        decided = self._delayed(now, wanted, target)
        return min(most, max(least, decided))

    def _wanted(self, running: int, target: int, ongoing: float) -> int:
        if running == 0:
            return target
        exact = ongoing / self.scaling.target_ongoing_requests
        factor = self.scaling.upscaling_factor if exact > running else self.scaling.downscaling_factor
        wanted = math.ceil(running + factor * (exact - running))
        if math.ceil(exact) < running and wanted == running:
            wanted -= 1  # a small factor must not stop the way down
        return max(0, wanted)

    def _delayed(self, now: float, wanted: int, target: int) -> int:
        if wanted > target:
            self._down_since = None
            self._up_since = now if self._up_since is None else self._up_since
            if now - self._up_since + TINY < self.scaling.upscale_delay_s:
                return target
        elif wanted < target:
            self._up_since = None
            self._down_since = now if self._down_since is None else self._down_since
            if now - self._down_since + TINY < self.scaling.downscale_delay_s:
                return target
            wanted = max(wanted, 1 if target > 1 else 0)
        self._up_since = self._down_since = None
        return wanted


def autoscale(env: Environment, desk: Desk, scaling: Scaling) -> Generator[Event, None, None]:
    """Decide each time that metrics arrive (metrics_interval_s), on the mean over look_back_period_s."""
    policy, seen = Policy(scaling), deque([(env.now, desk.area_until_now())])
    while True:
        yield Timeout(env, scaling.metrics_interval_s)
        now, area = env.now, desk.area_until_now()
        seen.append((now, area))
        while len(seen) > 2 and seen[1][0] <= now - scaling.look_back_period_s + TINY:
            seen.popleft()
        since, before = seen[0]
        target = policy.decide(now, len(desk.replicas), desk.target, (area - before) / (now - since))
        if target != desk.target:
            desk.scale(target)
