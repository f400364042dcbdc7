"""GPUs of one worker as Ray gives them away: a fraction lies on one device, a whole number takes whole devices."""

from collections.abc import Sequence
from functools import lru_cache

# Ray counts resources in ten-thousandths (FixedPoint, kResourceUnitScaling).
UNIT = 10_000
NEVER = 10**6

Pieces = tuple[int, ...]


@lru_cache(maxsize=65_536)
def devices(pieces: Pieces) -> int:
    """The fewest devices for pieces (sorted): whole ones take as many, fractions share. A piece of 1.5 fits nowhere."""
    if any(piece > UNIT and piece % UNIT for piece in pieces):
        return NEVER
    whole = sum(piece // UNIT for piece in pieces)
    parts = tuple(sorted((piece for piece in pieces if 0 < piece < UNIT), reverse=True))
    fewest = -(-sum(parts) // UNIT)
    count = fewest
    while not _shared(parts, (UNIT,) * count):
        count += 1
    return whole + count


@lru_cache(maxsize=65_536)
def _shared(parts: Pieces, free: Pieces) -> bool:
    """Whether fractions, largest first, fit on devices with so much free."""
    if not parts:
        return True
    first, rest = parts[0], parts[1:]
    for number, room in enumerate(free):
        if room >= first and (number == 0 or free[number - 1] != room):
            left = tuple(sorted((*free[:number], room - first, *free[number + 1 :]), reverse=True))
            if _shared(rest, left):
                return True
    return False


@lru_cache(maxsize=65_536)
def layouts(pieces: Pieces, count: int) -> frozenset[Pieces]:
    """What may be free on a worker's devices after pieces came in any order, each to the fullest device that takes it.

    That is what a raylet does (LocalResourceManager, NodeResourceInstanceSet::TryAllocate: best fit).
    """
    if not pieces:
        return frozenset({(UNIT,) * count})
    found: set[Pieces] = set()
    for number, piece in enumerate(pieces):
        if number and pieces[number - 1] == piece:
            continue
        for state in layouts((*pieces[:number], *pieces[number + 1 :]), count):
            if (after := _take(state, piece)) is not None:
                found.add(after)
    return frozenset(found)


def takes(state: Pieces, wanted: Sequence[int]) -> bool:
    """Whether devices with so much free take some pieces, each the fullest device that has room."""
    for piece in sorted(wanted, reverse=True):
        after = _take(state, piece)
        if after is None:
            return False
        state = after
    return True


def _take(state: Pieces, piece: int) -> Pieces | None:
    """The devices (free, sorted) after a piece; None where it does not fit."""
    left = list(state)
    if piece >= UNIT:
        whole = piece // UNIT
        if piece % UNIT or left.count(UNIT) < whole:
            return None
        for _ in range(whole):
            left.remove(UNIT)
            left.append(0)
    elif piece:
        there = [room for room in left if room >= piece]
        if not there:
            return None
        left.remove(min(there))
        left.append(min(there) - piece)
    return tuple(sorted(left))
