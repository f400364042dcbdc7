"""A review for a pull request: one table of verdicts on top, the rest folded, within a comment's length."""

import html
from collections.abc import Iterator, Sequence

from rayops.fit import Capacity, Cost
from rayops.review.changes import MISSING
from rayops.review.effects import Code
from rayops.review.model import Finding, Item, Other, Reason, Review
from rayops.review.report import words
from rayops.versions import pin

# GitHub refuses a longer comment (65,536 characters).
LIMIT = 65_536
# The first line: by it the comment is found again, to be written over instead of adding one more.
MARK = "<!-- rayops review -->"
WIDTH = 160
ROWS = 40
QUIET = {Code.NONE, Code.CREATED, Code.SERVE_IN_PLACE}


def report(review: Review, limit: int = LIMIT) -> str:
    """The page, shorter than `limit` characters; what was left out is counted and said."""
    head = [MARK, *_head(review)]
    tail = (
        f"\nWhat happens is KubeRay {pin('KUBERAY_VERSION')}'s own code and rules, which a live operator confirmed for "
        "RayServices and RayClusters; no cluster was asked about this change.\n"
    )
    rows = [_row(item) for item in review.changed]
    room = limit - len(tail) - 600
    kept = _fitting(rows, room - sum(len(line) + 1 for line in head))
    lines = [*head, *rows[:kept]]
    if kept < len(rows):
        lines.append(f"\n… {len(rows) - kept} more objects do not fit in here: `rayops review --format text`")
    text = "\n".join(lines) + "\n"
    parts = [part for part in _parts(review) if part]
    fitting = _fitting(parts, room - len(text)) if kept == len(rows) else 0
    if fitting < len(parts):
        parts[fitting:] = [f"\n… {words.count(len(parts) - fitting, 'part')} more do not fit in here.\n"]
    return text + "\n".join(["", *parts]) + tail


def _head(review: Review) -> Iterator[str]:
    said = words.summary(review) or "nothing of Ray changes"
    yield f"### rayops review: {_cell(said)}"
    yield f"\n`{_plain(review.before)}` → `{_plain(review.after)}`"
    if review.problems:
        yield f"\n**Does not render: {words.count(len(review.problems), 'source')}.**"
        yield from (f"- {_cell(problem)}" for problem in review.problems[:10])
    yield from (f"\n**Fails:** {_cell(each)}" for each in review.fails[:10])
    if review.changed:
        yield ""
        yield "| verdict | object | why | meanwhile | failing requests | revert |"
        yield "|---|---|---|---|---|---|"


def _row(item: Item) -> str:
    said = words.verdict(item)
    cells = (
        said if item.verdict in QUIET else f"**{said}**",
        f"{_cell(item.title)}<br>{_code(item.source)}",
        "<br>".join(part for part in (_cell(words.decisive(item)), _cell(item.why)) if part),
        "<br>".join(part for part in (_cell(words.replicas(item)), _cell(words.meanwhile(item))) if part),
        _cell(item.failures),
        _cell(item.revert),
    )
    return f"| {' | '.join(cells)} |"


def _parts(review: Review) -> Iterator[str]:
    """What is folded, the most wanted first."""
    yield _money(review)
    security = [each for each in review.new_findings if each.security]
    gone = [each for each in review.gone_findings if each.security]
    yield _findings("Security: what the change adds", security, open_=True)
    yield _findings("Security: what the change takes away", gone)
    yield _findings("Lint: new findings", [each for each in review.new_findings if not each.security], open_=True)
    yield _findings("Lint: findings gone", [each for each in review.gone_findings if not each.security])
    yield _inherited(review)
    for item in review.changed:
        if any(each.path != "$" for each in item.reasons):
            yield _fields(f"{item.source}: {item.title}", item.reasons, hide=False)
    for other in review.others:
        yield _other(other)


def _money(review: Review) -> str:
    rows = [
        f"| {_cell(item.title)} | {_sizes(item.before, item.after)} | {_costs(item.cost_before, item.cost_after)} |"
        for item in review.changed
        if item.before != item.after or item.cost_before != item.cost_after
    ]
    spent = [each for each in review.spending if each.before != each.after or each.over]
    budgets = [
        f"- {_cell(each.environment)}: a month at its most {words.money(each.before, each.currency)} → "
        f"{words.money(each.after, each.currency)}"
        + (f", budget {words.money(each.budget, each.currency)}" if each.budget else "")
        + (" **over**" if each.over else "")
        for each in spent
    ]
    if not rows and not budgets:
        return ""
    head = (
        ["| object | pods, CPU, memory, GPU: min / max / surge | a month: min / max |", "|---|---|---|"] if rows else []
    )
    return _folded("Capacity and cost", [*head, *rows, "", *budgets], open_=any(each.over for each in spent))


def _sizes(before: Capacity | None, after: Capacity | None) -> str:
    was, is_now = (
        " / ".join(f"{found.pods(level)} pods, {found.at(level)}" for level in ("min", "max", "surge")) if found else ""
        for found in (before, after)
    )
    return was if was == is_now else "<br>→ ".join(part for part in (was, is_now) if part)


def _costs(before: Cost | None, after: Cost | None) -> str:
    was, is_now = (
        " / ".join(words.money(found.month(level), found.currency) for level in ("min", "max")) if found else ""
        for found in (before, after)
    )
    return was if was == is_now else "<br>→ ".join(part for part in (was, is_now) if part)


def _findings(title: str, findings: Sequence[Finding], *, open_: bool = False) -> str:
    if not findings:
        return ""
    rows = [
        f"| {each.severity} | {_code(each.id)} | {_cell(each.obj)} | {_cell(each.message)} | {_code(each.place)} |"
        for each in findings[:ROWS]
    ]
    more = [f"\n… {len(findings) - ROWS} more."] if len(findings) > ROWS else []
    head = ["| | rule | object | finding | place |", "|---|---|---|---|---|"]
    return _folded(f"{title} ({len(findings)})", [*head, *rows, *more], open_=open_)


def _inherited(review: Review) -> str:
    if not review.inherited:
        return ""
    rows = [
        f"| {_code(each.file)} | {_cell(', '.join(each.environments))} | {each.sources} |"
        for each in review.inherited[:ROWS]
    ]
    more = [f"\n… {len(review.inherited) - ROWS} more files."] if len(review.inherited) > ROWS else []
    reached = sorted({name for each in review.inherited for name in each.environments})
    title = f"Who inherits it: {', '.join(reached)}"
    return _folded(title, ["| file | environments | sources |", "|---|---|---|", *rows, *more])


def _other(other: Other) -> str:
    if other.change != "changed":
        return f"- {other.change}: {_cell(other.obj)} in {_code(other.source)}"
    return _fields(f"{other.source}: {other.obj}", other.reasons, hide=words.hidden(other.obj))


def _fields(title: str, reasons: Sequence[Reason], *, hide: bool) -> str:
    rows = [
        f"| {_code(each.path)} | {_value(each.old, hide)} | {_value(each.new, hide)} | "
        f"{_cell(each.effect.value + (f': {each.why}' if each.why else ''))} | {_code(each.place)} |"
        for each in reasons[:ROWS]
    ]
    more = [f"\n… {len(reasons) - ROWS} more fields."] if len(reasons) > ROWS else []
    head = ["| field | old | new | what happens | written at |", "|---|---|---|---|---|"]
    return _folded(f"{title}, {words.count(len(reasons), 'field')}", [*head, *rows, *more])


def _folded(title: str, lines: Sequence[str], *, open_: bool = False) -> str:
    opening = "<details open>" if open_ else "<details>"
    return "\n".join([f"{opening}<summary>{_cell(title)}</summary>", "", *lines, "", "</details>"])


def _value(given: object, hide: bool) -> str:
    if given is MISSING:
        return ""
    return words.SECRET if hide else f"`{_plain(words.value(given)) or ' '}`"


def _code(text: str) -> str:
    return f"`{_plain(text)}`" if text else ""


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


def _fitting(parts: Sequence[str], room: int) -> int:
    """How many of the first parts fit, each with the end of its line."""
    used = 0
    for number, part in enumerate(parts):
        used += len(part) + 1
        if used > room:
            return number
    return len(parts)
