"""Verdicts as Markdown for a pull request: one table on top, the fields folded below, within a comment's length."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rayops.review.changes import MISSING
from rayops.review.effects import Effect, Judged, Verdict
from rayops.versions import pin

# GitHub refuses a longer comment.
LIMIT = 65_536
WIDTH = 160
ROWS = 40


@dataclass(frozen=True)
class Reviewed:
    """One overlay. problem: why it does not render, "" where it does."""

    overlay: str
    verdicts: tuple[Verdict, ...] = ()
    problem: str = ""


def report(overlays: Sequence[Reviewed], base: str, limit: int = LIMIT) -> str:
    """The whole page, shorter than `limit` characters; what was left out is counted and said.

    base: the name of the revision that is compared with.
    """
    shown = [each for each in overlays if each.verdicts or each.problem]
    objects = sum(len(each.verdicts) for each in shown)
    broken = sum(bool(each.problem) for each in shown)
    title = (
        f"### rayops review: {_count(objects, 'object')} in {_count(len(shown), 'overlay')} against `{_plain(base)}`"
    )
    if not shown:
        return f"### rayops review: nothing changes against `{_plain(base)}`\n"
    head = [title, *([f"\n**Not rendered: {_count(broken, 'overlay')}.**"] if broken else []), "", *_HEADER]
    tail = f"\nWhat happens is read from KubeRay {pin('KUBERAY_VERSION')}; nothing was asked of a cluster.\n"
    rows = [row for each in shown for row in _rows(each)]
    details = [_details(each.overlay, verdict) for each in shown for verdict in each.verdicts]
    room = limit - len(tail) - 400
    kept = _fitting(rows, room - sum(map(len, head)), 1)
    lines = [*head, *rows[:kept]]
    if kept < len(rows):
        lines.append(f"\n… {len(rows) - kept} more rows do not fit: `rayops review --base {_plain(base)} --overlay …`")
    text = "\n".join(lines) + "\n"
    fitting = _fitting(details, room - len(text), 1) if kept == len(rows) else 0
    if fitting < len(details):
        details[fitting:] = [f"\n… the fields of {_count(len(details) - fitting, 'object')} do not fit in here.\n"]
    return text + "\n".join(["", *details]) + tail


_HEADER = ("| overlay | object | what happens | why |", "|---|---|---|---|")


def _rows(reviewed: Reviewed) -> list[str]:
    name = f"`{_plain(reviewed.overlay)}`"
    if reviewed.problem:
        return [f"| {name} | | **does not render** | {_cell(reviewed.problem)} |"]
    return [
        f"| {name} | {_cell(verdict.obj)} | {_effect(verdict.effect)} | {_cell(_reason(verdict))} |"
        for verdict in reviewed.verdicts
    ]


def _effect(effect: Effect) -> str:
    quiet = {Effect.NOTHING, Effect.APPLIED, Effect.AT_ONCE}
    return effect.value if effect in quiet else f"**{effect.value}**"


def _reason(verdict: Verdict) -> str:
    decisive = next(each for each in verdict.changes if each.effect is verdict.effect)
    more = len(verdict.changes) - 1
    field = decisive.change.dotted
    where = field + (f" and {more} more" if more else "") if field else ""
    return "; ".join(part for part in (where, verdict.why, verdict.peak) if part)


def _details(overlay: str, verdict: Verdict) -> str:
    """The fields of one object, folded."""
    if any(not each.change.path for each in verdict.changes):
        return ""
    rows = [_field(verdict.obj, each) for each in verdict.changes[:ROWS]]
    more = len(verdict.changes) - len(rows)
    body = [
        f"<details><summary>{_cell(f'{overlay}: {verdict.obj}')}, {_count(len(verdict.changes), 'field')}</summary>",
        "",
        "| field | old | new | what happens |",
        "|---|---|---|---|",
        *rows,
        *([f"\n… {more} more fields."] if more else []),
        "",
        "</details>",
    ]
    return "\n".join(body)


def _field(obj: str, each: Judged) -> str:
    hide = obj.startswith("Secret ") and each.change.path[0] in ("data", "stringData")
    old, new = (_value(value, hide) for value in (each.change.old, each.change.new))
    why = f": {each.why}" if each.why else ""
    return f"| `{_plain(each.change.dotted)}` | {old} | {new} | {_cell(each.effect.value + why)} |"


def _value(value: Any, hide: bool) -> str:
    if value is MISSING:
        return ""
    if hide:
        return "(hidden)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return f"`{_plain(text) or ' '}`"


def _plain(text: str) -> str:
    """What may stand in a code span of a table: one line, no mark that ends the span or the cell."""
    line = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 2]} …"


def _cell(text: str) -> str:
    """Plain text of a table: nothing of it becomes markup, a link or a mention."""
    line = html.escape(" ".join(text.split()), quote=False).replace("@", "@\u200b")
    for mark in "|[]*_`":
        line = line.replace(mark, f"&#{ord(mark)};")
    return line


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _fitting(parts: Sequence[str], room: int, extra: int) -> int:
    """How many of the first parts fit."""
    used = 0
    for count, part in enumerate(parts):
        used += len(part) + extra
        if used > room:
            return count
    return len(parts)
