"""Words that every form of a review shares."""

import json
from collections.abc import Sequence
from typing import Any

from rayops.review.changes import MISSING
from rayops.review.effects import Code, Effect
from rayops.review.model import Item, Review

SECRET = "(hidden)"  # noqa: S105 - what stands in place of one
VERDICTS = {
    Code.REJECTED: "rejected by the operator",
    Code.DELETED: "deleted",
    Code.RECREATE_PODS: "all pods recreated",
    Code.NEW_CLUSTER: "new cluster",
    Code.IGNORED: "ignored until the next new cluster",
    Code.CLUSTER_IN_PLACE: "in-place cluster edit",
    Code.SERVE_IN_PLACE: "in-place Serve update",
    Code.CREATED: "created",
    Code.NONE: "no effect",
}


def hidden(obj: str) -> bool:
    """Whether an object's values are nobody's business."""
    return obj.startswith("Secret ")


def value(given: Any) -> str:
    """A value on one line, "" where there is none."""
    if given is MISSING:
        return ""
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=str)
    return " ".join(text.split())


def count(number: int, what: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def verdict(item: Item) -> str:
    """The verdict in words; a RayCluster or RayJob has no next cluster."""
    if item.verdict is Code.IGNORED and item.kind != "RayService":
        return "ignored by what runs"
    return VERDICTS[item.verdict]


def decisive(item: Item) -> str:
    """The field that decides, where it is written, and how many more there are."""
    first = next((each for each in item.reasons if each.effect is item.effect), None)
    if first is None:
        return ""
    more = len(item.reasons) - 1
    at = f" ({first.place})" if first.place else ""
    return "" if first.path == "$" else f"{first.path}{at}" + (f" and {more} more" if more else "")


def replicas(item: Item) -> str:
    """Which Serve deployments restart and which are only reconfigured."""
    parts = [("restart", item.restarts), ("only reconfigured", item.reconfigures)]
    said = [f"{what}: {', '.join(names)}" for what, names in parts if names]
    if item.effect is Effect.SERVE_UPDATE and not said:
        return "no replica restarts"
    return "; ".join(said)


def meanwhile(item: Item) -> str:
    """What is needed beside what there is, for how long, and whether the quota holds it."""
    if item.during is None:
        return ""
    during = item.during
    sign = "+" if during.pods >= 0 else ""
    said = f"{sign}{during.pods} pods ({during.amount}) {during.lasts}"
    return said + (f"; BEYOND THE QUOTA: {during.quota}" if during.quota else "")


def money(amount: float, currency: str) -> str:
    """Whole units, grouped by thousands."""
    return f"{amount:,.0f} {currency}"


def summary(review: Review) -> str:
    """`2 new-cluster, 1 ignored`; of what changes."""
    counts: dict[Code, int] = {}
    for item in review.changed:
        counts[item.verdict] = counts.get(item.verdict, 0) + 1
    return ", ".join(f"{number} {VERDICTS[code]}" for code, number in counts.items())


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of text in columns."""
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    ]
