"""What capacity costs: per group, hour and month, and GPU-hours.

A pod costs the largest part of a node that it takes: who asks for all the memory of a node and half of its CPU leaves
nothing that another pod could use. Of the pools that take a pod the one where it is cheapest counts. Nodes that a
cluster keeps half empty cost more than this; `rayops.fit.peak` says how many nodes the pods need.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rayops.fit.capacity import LEVELS, At, Capacity, GroupCapacity
from rayops.fit.nodes import admits, holds, share
from rayops.fit.prices import Pool, Prices

HOURS_PER_MONTH = 730


@dataclass(frozen=True)
class GroupCost:
    """A group on its cheapest pool. pool: None where no pool takes its pod. pod: the price of one in an hour."""

    name: str
    pool: str | None
    pod: float
    counts: tuple[int, int, int, int]
    gpus: float

    def hour(self, at: At) -> float:
        """The price of an hour, in the currency of the prices."""
        return self.pod * self.counts[LEVELS.index(at)]

    def month(self, at: At) -> float:
        """Of 730 hours."""
        return self.hour(at) * HOURS_PER_MONTH

    def gpu_hours(self, at: At) -> float:
        """GPU-hours in an hour: the GPUs of all its pods."""
        return self.gpus * self.counts[LEVELS.index(at)]


@dataclass(frozen=True)
class Cost:
    """Of an object, by group. currency and date: of the prices. month is 730 hours."""

    obj: str
    currency: str
    date: str
    groups: tuple[GroupCost, ...]

    def hour(self, at: At) -> float:
        """The price of an hour."""
        return sum(group.hour(at) for group in self.groups)

    def month(self, at: At) -> float:
        """The price of a month."""
        return sum(group.month(at) for group in self.groups)

    def gpu_hours(self, at: At) -> float:
        """GPU-hours in an hour; times 730 in a month."""
        return sum(group.gpu_hours(at) for group in self.groups)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The groups that no pool takes: their pods are missing in every sum."""
        return tuple(group.name for group in self.groups if group.pool is None and any(group.counts))


def cost(capacity: Capacity, prices: Prices) -> Cost:
    """The capacity's price at each size."""
    groups = tuple(_of_group(group, prices) for group in capacity.groups)
    return Cost(capacity.obj, prices.currency, prices.date.isoformat(), groups)


def over_budget(costs: Iterable[Cost], prices: Prices, place: str) -> tuple[str, float, float] | None:
    """(budget's name, month's cost, month's budget) where objects of a place such as `overlays/prod` cost more."""
    found = prices.budget(place)
    if found is None:
        return None
    name, budget = found
    month = sum(each.month(_level(budget.at)) for each in costs)
    return (name, month, budget.month) if month > budget.month else None


def cheapest(group: GroupCapacity, prices: Prices) -> Pool | None:
    """The pool on which a pod of a group costs least; None where none takes it."""
    there = [pool for pool in prices.pools if admits(pool, group.spec) and holds(pool, group.requests)]
    return min(there, key=lambda pool: (share(pool, group.requests) * pool.price_per_hour, pool.name), default=None)


def _of_group(group: GroupCapacity, prices: Prices) -> GroupCost:
    pool = cheapest(group, prices)
    price = share(pool, group.requests) * pool.price_per_hour if pool else 0.0
    return GroupCost(group.name, pool.name if pool else None, price, group.counts, group.pod.gpus)


def _level(name: str) -> At:
    return next(level for level in LEVELS if level == name)
