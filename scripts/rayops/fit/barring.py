"""Can a scheduler that moves nothing get stuck although everything would fit?

For each kind of item: can the others be laid out so that every bin which might take it is barred? Whoever reaches such
a layout, by whatever order and preference, is stuck. Where there is none, every scheduler that places an item wherever
it fits places them all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rayops.fit.devices import layouts, takes
from rayops.fit.packing import BUDGET, DEEPEST, Bin, Item, Named, Pattern, Problem, less, minus, plus


@dataclass(frozen=True)
class Stuck:
    """The item that finds no room, and the bins that bar it with what lies in them."""

    item: str
    bins: Named


def stuck(items: Sequence[Item], bins: Sequence[Bin], budget: int = BUDGET) -> Stuck | None:
    """An item that a scheduler may fail to place although all fit; None where that cannot happen (see `pack` first).

    GivenUp past the budget of steps.
    """
    problem = Problem(items, bins)
    problem.steps = budget if len(problem.bins) <= DEEPEST else 0
    for kind, count in enumerate(problem.counts):
        if not count:
            continue
        others = tuple(each - (number == kind) for number, each in enumerate(problem.counts))
        layout = _Barring(problem, kind).layout(others)
        if layout is not None:
            return Stuck(problem.items[kind].name, layout)
    return None


class _Barring:
    """Looks for a layout of other items in which one kind of item finds no room anywhere."""

    def __init__(self, problem: Problem, kind: int) -> None:
        self.problem, self.kind = problem, kind
        item = problem.items[kind]
        # Bins that would take it when they are empty; the rest are no choice anyway.
        self.places = [place for place, each in enumerate(problem.bins) if problem.alone[each][kind]]
        # Its siblings under STRICT_SPREAD bar the bins that they lie in.
        self.spare = item.apart
        self.failed: set[tuple[int, int, Pattern]] = set()

    def layout(self, others: Pattern) -> Named | None:
        """The bins that are barred, by name, with what bars them."""
        if not self.places:
            return None
        found = self._bar(0, self.spare, others)
        return None if found is None else self.problem.named(found)

    def _bar(self, number: int, spare: int, left: Pattern) -> list[tuple[int, Pattern]] | None:
        if number == len(self.places):
            return []
        if (number, spare, left) in self.failed or not self._enough(number, spare, left):
            return None
        place = self.places[number]
        for pattern in minimal(self.problem, self.problem.bins[place], self.kind, left):
            rest = self._bar(number + 1, spare, minus(left, pattern))
            if rest is not None:
                return [(place, pattern), *rest]
        for sibling in self._siblings(left) if spare else ():
            rest = self._bar(number + 1, spare - 1, less(left, sibling))
            if rest is not None:
                return [(place, plus((0,) * len(left), sibling)), *rest]
        self.failed.add((number, spare, left))
        return None

    def _siblings(self, left: Pattern) -> list[int]:
        """Pieces that may be of the same placement group, which bar a bin by lying there."""
        key = self.problem.items[self.kind].key
        return [each for each, count in enumerate(left) if count and self.problem.items[each].key == key]

    def _enough(self, number: int, spare: int, left: Pattern) -> bool:
        """Whether sums allow that so many bins are barred: each by one resource, its devices or a limit."""
        problem, item = self.problem, self.problem.items[self.kind]
        bins = [problem.bins[place] for place in self.places[number:]]
        barred = spare
        for resource, need in enumerate(problem.needs[self.kind]):
            missing = min(problem.rooms[each][resource] - need + 1 for each in bins)
            total = sum(count * each[resource] for count, each in zip(left, problem.needs, strict=True))
            barred += total // missing if need and missing > 0 else 0
        if item.gpus:
            barred += sum(count * len(each.gpus) for count, each in zip(left, problem.items, strict=True))
        if item.key:
            same = sum(count for count, each in zip(left, problem.items, strict=True) if each.key == item.key)
            barred += same // max(item.limit, 1)
        return barred >= len(bins)


def minimal(problem: Problem, kind: int, item: int, left: Pattern) -> Iterator[Pattern]:
    """Every pattern for a bin out of what is left that bars an item, and of which nothing can be spared."""

    def bars(pattern: Pattern) -> bool:
        return not always_room(problem, kind, pattern, item)

    def extend(number: int, pattern: Pattern) -> Iterator[Pattern]:
        if bars(pattern):
            if not any(bars(less(pattern, each)) for each, count in enumerate(pattern) if count):
                yield pattern
            return
        if number == len(left):
            return
        for count in range(min(left[number], problem.alone[kind][number]) + 1):
            wider = tuple(count if each == number else old for each, old in enumerate(pattern))
            if count and not problem.fits(kind, wider):
                return
            yield from extend(number + 1, wider)

    yield from extend(0, (0,) * len(left))


def always_room(problem: Problem, kind: int, pattern: Pattern, item: int) -> bool:
    """Whether one more piece of an item fits, in whatever order Ray has given the devices to those that are there."""
    if not problem.fits(kind, plus(pattern, item)):
        return False
    wanted = problem.items[item].gpus
    pieces = [piece for number, count in enumerate(pattern) for piece in problem.items[number].gpus * count]
    if not wanted or not pieces:
        return True
    return all(takes(state, wanted) for state in layouts(tuple(sorted(pieces)), problem.kinds[kind].devices))
