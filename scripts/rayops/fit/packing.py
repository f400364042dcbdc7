"""Items into bins: replicas into worker pods, worker pods onto nodes. Exact where it can be, honest where it cannot.

Amounts are whole numbers (Ray counts resources in ten-thousandths: FixedPoint, kResourceUnitScaling). GPUs are counted
device by device, as Ray gives them away: a fraction lies on one device, a whole number takes whole devices.

Is there any assignment of all items? A bin is filled with what leaves room for nothing else that is left (any solution
can be made such), bin after bin, and what has failed is remembered; cheap orders are tried first, and sums that cannot
be say no at once. Past a budget of steps the answer is None: not known. `rayops.fit.barring` asks the other question,
whether a scheduler that places one after the other finds such an assignment.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rayops.fit.devices import UNIT, devices

# Looks at a bin, before a search is given up: about a second.
BUDGET = 100_000
# Bins that a search may go through, one inside the other.
DEEPEST = 300
UNLIMITED = 10**24

# How many pieces of each item lie in a bin.
Pattern = tuple[int, ...]
# (bin's name, {item's name: pieces})
Named = tuple[tuple[str, Mapping[str, int]], ...]


class GivenUp(Exception):  # noqa: N818 - no error: a search that costs too much
    """The budget is spent."""


@dataclass(frozen=True)
class Item:
    """`count` equal pieces. need: by resource, GPUs left out; gpus: what it takes of devices, each in ten-thousandths.

    on: the names of bins that it may go to. limit: at most so many pieces with this `key` in one bin. apart: the other
    pieces that must lie in other bins than this one (a placement group's bundles under STRICT_SPREAD).
    """

    name: str
    count: int
    need: Mapping[str, int]
    gpus: tuple[int, ...] = ()
    on: frozenset[str] = frozenset()
    key: str = ""
    limit: int = UNLIMITED
    apart: int = 0


@dataclass(frozen=True)
class Bin:
    """`count` equal bins with room for resources and with GPU devices. What room does not name is 0."""

    name: str
    count: int
    room: Mapping[str, int]
    devices: int = 0


@dataclass(frozen=True)
class Packing:
    """ok: everything lies somewhere; None: the search was given up. bins: each one with what lies in it.

    unplaced: pieces by item that the best attempt left over, where it is not ok.
    """

    ok: bool | None
    bins: Named = ()
    unplaced: Mapping[str, int] = field(default_factory=dict)


def pack(items: Sequence[Item], bins: Sequence[Bin], budget: int = BUDGET) -> Packing:
    """An assignment of all items, or that there is none."""
    problem = Problem(items, bins)
    best = problem.greedy()
    if best.ok or problem.hopeless(0, problem.counts):
        return best
    problem.steps = budget if len(problem.bins) <= DEEPEST else 0
    try:
        found = _Search(problem).fill(0, problem.counts)
    except GivenUp:
        return Packing(None, best.bins, best.unplaced)
    return problem.packing(found) if found is not None else best


class Problem:
    """Items and bins in index form. Everything of the same number belongs together."""

    def __init__(self, items: Sequence[Item], bins: Sequence[Bin]) -> None:
        self.items = sorted(items, key=_size, reverse=True)
        self.counts: Pattern = tuple(item.count for item in self.items)
        names = sorted({name for item in self.items for name in item.need})
        self.needs = [tuple(item.need.get(name, 0) for name in names) for item in self.items]
        self.kinds = [kind for kind in bins if kind.count > 0]
        self.rooms = [tuple(kind.room.get(name, 0) for name in names) for kind in self.kinds]
        # Every single bin, as the number of its kind.
        self.bins = [number for number, kind in enumerate(self.kinds) for _ in range(kind.count)]
        self.steps = float("inf")
        self.alone = [[self._alone(kind, item) for item in range(len(items))] for kind in range(len(self.kinds))]

    def fits(self, kind: int, pattern: Pattern) -> bool:
        """Whether one bin of a kind holds so many pieces of each item. GivenUp when the budget is spent."""
        self.steps -= 1
        if self.steps < 0:
            raise GivenUp
        there = [(number, count) for number, count in enumerate(pattern) if count]
        if any(self.kinds[kind].name not in self.items[number].on for number, _ in there):
            return False
        for resource, room in enumerate(self.rooms[kind]):
            if sum(self.needs[number][resource] * count for number, count in there) > room:
                return False
        return self._within_limits(there) and self._on_devices(kind, there)

    def hopeless(self, first: int, left: Pattern) -> bool:
        """Whether sums alone show that the bins from `first` on cannot hold what is left."""
        rest = self.bins[first:]
        per_kind = [(kind, rest.count(kind)) for kind in set(rest)]
        for number, count in enumerate(left):
            if count and count > sum(self.alone[kind][number] * bins for kind, bins in per_kind):
                return True
        for resource in range(len(self.needs[0]) if self.needs else 0):
            asked = sum(self.needs[number][resource] * count for number, count in enumerate(left))
            if asked > sum(self.rooms[kind][resource] * bins for kind, bins in per_kind):
                return True
        asked = sum(sum(self.items[number].gpus) * count for number, count in enumerate(left))
        return asked > sum(self.kinds[kind].devices * bins for kind, bins in per_kind) * UNIT

    def greedy(self) -> Packing:
        """The best of some orders: first fit and tightest fit of the largest first, and of the choosiest first."""
        by_size = list(range(len(self.items)))
        choosy = sorted(by_size, key=lambda number: (sum(1 for row in self.alone if row[number]), number))
        best: list[Pattern] | None = None
        for order in (by_size, choosy):
            for tight in (True, False):
                filled = self._place(order, tight)
                if best is None or _total(filled) > _total(best):
                    best = filled
                if _total(filled) == sum(self.counts):
                    return self.packing(filled)
        return self.packing(best or [])

    def packing(self, filled: Sequence[Pattern]) -> Packing:
        """The filled bins by name, and what is left."""
        left = {}
        for number, item in enumerate(self.items):
            if missing := item.count - sum(pattern[number] for pattern in filled):
                left[item.name] = missing
        return Packing(not left, self.named(enumerate(filled)), left)

    def named(self, filled: Iterable[tuple[int, Pattern]]) -> Named:
        """Bins by their number in `bins`, by name."""
        return tuple(
            (
                self.kinds[self.bins[number]].name,
                {item.name: count for item, count in zip(self.items, pattern, strict=True) if count},
            )
            for number, pattern in filled
        )

    def _place(self, order: Sequence[int], tight: bool) -> list[Pattern]:
        filled = [(0,) * len(self.items) for _ in self.bins]
        for number in order:
            for _ in range(self.counts[number]):
                there = [place for place in range(len(filled)) if self._takes(place, filled[place], number)]
                if not there:
                    break
                place = min(there, key=lambda place: self._space(place, filled[place])) if tight else there[0]
                filled[place] = plus(filled[place], number)
        return filled

    def _takes(self, place: int, pattern: Pattern, number: int) -> bool:
        return self.fits(self.bins[place], plus(pattern, number))

    def _space(self, place: int, pattern: Pattern) -> tuple[float, ...]:
        """How empty a bin is: free GPUs first, then the fullest resource."""
        kind = self.bins[place]
        gpus = sum(sum(self.items[number].gpus) * count for number, count in enumerate(pattern))
        parts = 0.0
        for resource, room in enumerate(self.rooms[kind]):
            used = sum(need[resource] * count for need, count in zip(self.needs, pattern, strict=True))
            parts += 1 - used / room if 0 < room < UNLIMITED else 0
        return (self.kinds[kind].devices * UNIT - gpus, parts)

    def _alone(self, kind: int, number: int) -> int:
        """How many pieces of one item an empty bin holds."""
        low, high = 0, self.counts[number]
        while low < high:
            middle = (low + high + 1) // 2
            pattern = tuple(middle if each == number else 0 for each in range(len(self.counts)))
            low, high = (middle, high) if self.fits(kind, pattern) else (low, middle - 1)
        return low

    def _within_limits(self, there: Sequence[tuple[int, int]]) -> bool:
        by_key: dict[str, int] = {}
        for number, count in there:
            if key := self.items[number].key:
                by_key[key] = by_key.get(key, 0) + count
        return all(by_key.get(self.items[number].key, 0) <= self.items[number].limit for number, _ in there)

    def _on_devices(self, kind: int, there: Sequence[tuple[int, int]]) -> bool:
        pieces = [piece for number, count in there for piece in self.items[number].gpus * count]
        return not pieces or devices(tuple(sorted(pieces))) <= self.kinds[kind].devices


class _Search:
    """Fills bin after bin with patterns that leave no room for more."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.failed: set[tuple[int, Pattern]] = set()

    def fill(self, place: int, left: Pattern) -> list[Pattern] | None:
        """Patterns for the bins from `place` on that take all that is left."""
        if not any(left):
            return []
        if place == len(self.problem.bins) or (place, left) in self.failed or self.problem.hopeless(place, left):
            return None
        for pattern in maximal(self.problem, self.problem.bins[place], left):
            rest = self.fill(place + 1, minus(left, pattern))
            if rest is not None:
                return [pattern, *rest]
        self.failed.add((place, left))
        return None


def maximal(problem: Problem, kind: int, left: Pattern) -> Iterator[Pattern]:
    """Every pattern for a bin out of what is left that leaves room for nothing more of it; the fullest first."""

    def extend(number: int, pattern: Pattern) -> Iterator[Pattern]:
        if number == len(left):
            yield pattern
            return
        most = min(left[number], problem.alone[kind][number])
        for count in range(most, -1, -1):
            wider = tuple(count if each == number else old for each, old in enumerate(pattern))
            if not count or problem.fits(kind, wider):
                yield from extend(number + 1, wider)

    for pattern in extend(0, (0,) * len(left)):
        more = (number for number, count in enumerate(left) if count > pattern[number])
        if not any(problem.fits(kind, plus(pattern, number)) for number in more):
            yield pattern


def plus(pattern: Pattern, number: int) -> Pattern:
    """One piece more of an item."""
    return (*pattern[:number], pattern[number] + 1, *pattern[number + 1 :])


def less(pattern: Pattern, number: int) -> Pattern:
    """One piece less of an item."""
    return (*pattern[:number], pattern[number] - 1, *pattern[number + 1 :])


def minus(one: Pattern, other: Pattern) -> Pattern:
    """What is left of one without the other."""
    return tuple(left - right for left, right in zip(one, other, strict=True))


def _total(filled: Sequence[Pattern]) -> int:
    return sum(map(sum, filled))


def _size(item: Item) -> tuple[int, int, int, int]:
    """Serve's own order (deployment_scheduler.py, Resources.__lt__): GPU, CPU, memory, then the rest."""
    rest = sum(value for name, value in item.need.items() if name not in ("CPU", "memory"))
    return (sum(item.gpus), item.need.get("CPU", 0), item.need.get("memory", 0), rest)
