"""The pods of one object before and after, as SVG: a row for each group, a square for each pod, GPUs inside it.

Filled squares are pods that are always there (minReplicas), outlined ones those that load may bring (maxReplicas). A
plus between the sides: both run while the change is made. A cross: the right side does not come about.
"""

import html
from collections.abc import Iterator

from rayops.fit import Capacity
from rayops.fit.capacity import GroupCapacity
from rayops.review.effects import Code
from rayops.review.model import Item

HALF, PAD, LABEL, ROW, SIDE, GAP = 480, 16, 96, 34, 20, 5
# As many squares as fit beside the label; the rest is a number.
MOST = 13
CPU_COLOUR, GPU_COLOUR = "#4c7fb8", "#3f9b52"


def drawing(item: Item) -> str:
    """One SVG, 960 wide, before on the left."""
    groups = list(dict.fromkeys(_names(item.before) + _names(item.after)))
    height = PAD * 2 + 30 + ROW * max(len(groups), 1) + 26
    style = 'font-family="system-ui, sans-serif" font-size="13" fill="currentColor"'
    parts = [f'<svg viewBox="0 0 {HALF * 2} {height}" role="img" aria-label="pods before and after" {style}>']
    for number, (title, side, other) in enumerate(
        (("before", item.before, item.after), ("after", item.after, item.before))
    ):
        parts += _side(title, side, other, groups, number * HALF, height)
    parts.append(_between(item, height))
    parts.append("</svg>")
    return "".join(parts)


def _names(found: Capacity | None) -> list[str]:
    return [group.name for group in found.groups if any(group.counts[:3])] if found else []


def _side(
    title: str, side: Capacity | None, other: Capacity | None, groups: list[str], left: int, height: int
) -> Iterator[str]:
    yield f'<text x="{left + PAD}" y="{PAD + 12}" font-weight="600">{title}</text>'
    if side is None:
        yield f'<text x="{left + PAD}" y="{PAD + 52}" opacity=".6">not there</text>'
        return
    known = {group.name: group for group in side.groups}
    for number, name in enumerate(groups):
        top = PAD + 30 + number * ROW
        if name in known:
            yield from _row(known[name], top, left, new=other is not None and name not in _names(other))
    total = f"{side.pods('min')} to {side.pods('max')} pods · {side.at('max')} at the most"
    yield f'<text x="{left + PAD}" y="{height - PAD}" opacity=".75">{html.escape(total)}</text>'


def _row(group: GroupCapacity, top: int, left: int, *, new: bool) -> Iterator[str]:
    label = group.name if len(group.name) <= 13 else f"{group.name[:12]}…"
    weight = ' font-weight="600"' if new else ""
    yield f'<text x="{left + PAD}" y="{top + 15}"{weight}>{html.escape(label)}</text>'
    fewest, most = group.pods("min"), max(group.pods("max"), group.pods("min"))
    colour = GPU_COLOUR if group.pod.gpus else CPU_COLOUR
    for number in range(min(most, MOST)):
        x = left + LABEL + PAD + number * (SIDE + GAP)
        there = f'fill="{colour}"' if number < fewest else f'fill="none" stroke="{colour}" stroke-dasharray="3 2"'
        yield f'<rect x="{x}" y="{top}" width="{SIDE}" height="{SIDE}" rx="4" {there}/>'
        if group.pod.gpus:
            ink = "#fff" if number < fewest else colour
            style = f'text-anchor="middle" font-size="11" fill="{ink}"'
            yield f'<text x="{x + SIDE / 2}" y="{top + 14}" {style}>{group.pod.gpus:g}</text>'
    if most > MOST or not group.bounded:
        x = left + LABEL + PAD + min(most, MOST) * (SIDE + GAP)
        said = f"… {most}" if group.bounded else "no limit"
        yield f'<text x="{x + 2}" y="{top + 15}">{said}</text>'


def _between(item: Item, height: int) -> str:
    """An arrow, or where both clusters run for a while a plus with how long."""
    middle = height / 2
    sign = "+" if item.verdict is Code.NEW_CLUSTER else "→"
    sign = "✕" if item.verdict in (Code.REJECTED, Code.IGNORED) else sign
    return (
        f'<line x1="{HALF}" y1="{PAD}" x2="{HALF}" y2="{height - PAD}" stroke="currentColor" opacity=".2"/>'
        f'<text x="{HALF}" y="{middle + 8}" text-anchor="middle" font-size="24" font-weight="600">{sign}</text>'
    )
