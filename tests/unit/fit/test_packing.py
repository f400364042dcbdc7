"""Packing and getting stuck: against brute force over small cases, and what must hold of any case."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayops.fit.barring import stuck
from rayops.fit.devices import UNIT, devices
from rayops.fit.packing import Bin, GivenUp, Item, pack

NAMES = ("a", "b")
GPUS = st.sampled_from([(), (), (), (UNIT,), (5000,), (3000,), (6000,), (2 * UNIT,), (UNIT, UNIT)])


@st.composite
def items(draw: st.DrawFn, most: int = 4) -> list[Item]:
    """Sizes from a half to an eighth of a bin: most sums are about what the bins of `bins` hold."""
    found = []
    for number in range(draw(st.integers(2, most))):
        need = {"CPU": draw(st.integers(1, 5)), "memory": draw(st.integers(0, 4))}
        on = frozenset(draw(st.sampled_from([("a", "b"), ("a", "b"), ("a",), ("b",)])))
        limit = draw(st.sampled_from([99, 99, 1, 2]))
        count = draw(st.integers(1, 3))
        found.append(Item(f"i{number}", count, need, draw(GPUS), on, key=f"i{number}", limit=limit))
    return found


@st.composite
def bins(draw: st.DrawFn, most: int = 2) -> list[Bin]:
    found = []
    for name in NAMES:
        room = {"CPU": draw(st.integers(6, 12)), "memory": draw(st.integers(6, 12))}
        found.append(Bin(name, draw(st.integers(1, most)), room, draw(st.integers(1, 3))))
    return found


def holds(kind: Bin, inside: Sequence[Item]) -> bool:
    """Written without the code under test: every rule on its own."""
    if any(kind.name not in item.on for item in inside):
        return False
    if any(sum(item.need[name] for item in inside) > kind.room[name] for name in kind.room):
        return False
    if any(
        count > next(i.limit for i in inside if i.key == key) for key, count in Counter(i.key for i in inside).items()
    ):
        return False
    pieces = [piece for item in inside for piece in item.gpus]
    whole, parts = sum(p // UNIT for p in pieces if p >= UNIT), [p for p in pieces if p < UNIT]
    for free in range(kind.devices - whole + 1):
        for places in itertools.product(range(max(free, 1)), repeat=len(parts)):
            loads = Counter[int]()
            for place, part in zip(places, parts, strict=True):
                loads[place] += part
            if len(loads) <= free and all(load <= UNIT for load in loads.values()):
                return True
    return False


def singles(found: Sequence[Bin]) -> list[Bin]:
    return [kind for kind in found for _ in range(kind.count)]


def by_brute_force(asked: Sequence[Item], there: Sequence[Bin]) -> bool:
    every = singles(there)
    pieces = [item for item in asked for _ in range(item.count)]
    if not every:
        return not pieces

    def place(number: int, inside: list[list[Item]]) -> bool:
        if number == len(pieces):
            return True
        for bin_number, kind in enumerate(every):
            inside[bin_number].append(pieces[number])
            if holds(kind, inside[bin_number]) and place(number + 1, inside):
                return True
            inside[bin_number].pop()
        return False

    return place(0, [[] for _ in every])


@settings(max_examples=400, deadline=None)
@given(items(), bins())
def test_a_packing_is_found_exactly_where_there_is_one(asked: list[Item], there: list[Bin]) -> None:
    assert pack(asked, there).ok == by_brute_force(asked, there)


def valid(found: Sequence[tuple[str, Mapping[str, int]]], asked: Sequence[Item], there: Sequence[Bin]) -> None:
    """Every bin holds what lies in it; nothing lies twice; no bin is used twice."""
    by_name = {item.name: item for item in asked}
    kinds = {kind.name: kind for kind in there}
    assert all(count <= kinds[name].count for name, count in Counter(name for name, _ in found).items())
    for name, inside in found:
        assert holds(kinds[name], [by_name[item] for item, count in inside.items() for _ in range(count)])


@settings(max_examples=300, deadline=None)
@given(items(6), bins(4))
def test_a_witness_is_valid_and_complete(asked: list[Item], there: list[Bin]) -> None:
    found = pack(asked, there)
    valid(found.bins, asked, there)
    placed = Counter[str]()
    for _, inside in found.bins:
        placed.update(inside)
    assert all(placed[item.name] + found.unplaced.get(item.name, 0) == item.count for item in asked)
    assert found.ok is None or found.ok == (not found.unplaced)


@settings(max_examples=300, deadline=None)
@given(items(), bins(3), st.data())
def test_one_worker_more_or_one_replica_less_never_breaks_a_fit(
    asked: list[Item], there: list[Bin], data: st.DataObject
) -> None:
    if pack(asked, there).ok:
        number = data.draw(st.integers(0, len(there) - 1))
        assert pack(asked, [replace(b, count=b.count + (n == number)) for n, b in enumerate(there)]).ok
        number = data.draw(st.integers(0, len(asked) - 1))
        assert pack([replace(i, count=i.count - (n == number)) for n, i in enumerate(asked)], there).ok


def take(free: tuple[int, ...], pieces: Sequence[int]) -> tuple[int, ...] | None:
    """Devices after pieces, largest first, each to the fullest that takes it."""
    left = list(free)
    for piece in sorted(pieces, reverse=True):
        for part in [UNIT] * (piece // UNIT) if piece >= UNIT else [piece]:
            there = sorted(room for room in left if (room == UNIT if piece >= UNIT else room >= part))
            if not there:
                return None
            left.remove(there[0])
            left.append(there[0] - part)
    return tuple(sorted(left))


# Of each bin: pieces of each item, and what is free on its devices.
State = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def may_get_stuck(asked: Sequence[Item], there: Sequence[Bin]) -> bool:
    """Every order and every choice of a scheduler that places one after the other."""
    every = singles(there)
    seen: set[tuple[State, tuple[int, ...]]] = set()

    def room(kind: Bin, pattern: tuple[int, ...], free: tuple[int, ...], item: int) -> tuple[int, ...] | None:
        inside = [each for number, each in enumerate(asked) for _ in range(pattern[number] + (number == item))]
        plain = [replace(each, gpus=()) for each in inside]
        return take(free, asked[item].gpus) if holds(kind, plain) else None

    def walk(state: State, left: tuple[int, ...]) -> bool:
        if (state, left) in seen:
            return False
        seen.add((state, left))
        for item in [number for number, count in enumerate(left) if count]:
            after = [room(kind, *state[place], item) for place, kind in enumerate(every)]
            if all(free is None for free in after):
                return True
            for place, free in enumerate(after):
                if free is not None:
                    pattern = tuple(c + (n == item) for n, c in enumerate(state[place][0]))
                    following = (*state[:place], (pattern, free), *state[place + 1 :])
                    if walk(following, tuple(c - (n == item) for n, c in enumerate(left))):
                        return True
        return False

    empty = tuple(((0,) * len(asked), (UNIT,) * kind.devices) for kind in every)
    return walk(empty, tuple(item.count for item in asked))


@settings(max_examples=250, deadline=None)
@given(items(), bins())
def test_stuck_is_said_exactly_where_some_order_leaves_an_item_over(asked: list[Item], there: list[Bin]) -> None:
    if pack(asked, there).ok:
        found = stuck(asked, there)
        assert (found is not None) == may_get_stuck(asked, there), found
        if found:
            valid(found.bins, asked, there)


@pytest.mark.parametrize(
    ("pieces", "fewest"),
    [((), 0), ((5000, 5000), 1), ((5000, 6000), 2), ((3000, 3000, 4000), 1), ((2 * UNIT,), 2), ((4000,) * 5, 3)],
)
def test_fractions_share_a_device_and_lie_on_one(pieces: tuple[int, ...], fewest: int) -> None:
    assert devices(tuple(sorted(pieces))) == fewest


def test_more_than_one_gpu_is_a_whole_number() -> None:
    assert not pack([Item("i", 1, {}, (15_000,), frozenset("a"))], [Bin("a", 1, {}, 4)]).ok


def test_what_costs_too_much_to_know_is_not_claimed() -> None:
    asked = [Item(f"i{size}", 11, {"CPU": size}, (), frozenset("a")) for size in (35, 34, 29, 23, 19)]
    there = [Bin("a", 16, {"CPU": 97})]
    assert pack(asked, there, budget=50).ok is None
    with pytest.raises(GivenUp):
        stuck(asked, there, budget=5)


def test_the_sum_of_fractions_is_not_enough() -> None:
    three = [Item("i", 3, {}, (6000,), frozenset("a"))]
    assert not pack(three, [Bin("a", 1, {}, 2)]).ok
    assert pack(three, [Bin("a", 1, {}, 3)]).ok


def test_fractions_that_came_first_may_leave_no_device_for_another() -> None:
    """Two of 0.4 lie on one device: then only one of 0.6 finds another."""
    asked = [Item("less", 2, {}, (4000,), frozenset("a")), Item("more", 2, {}, (6000,), frozenset("a"))]
    assert pack(asked, [Bin("a", 1, {}, 2)]).ok
    found = stuck(asked, [Bin("a", 1, {}, 2)])
    assert found
    assert found.item == "more"
    assert stuck(asked, [Bin("a", 1, {}, 3)]) is None
