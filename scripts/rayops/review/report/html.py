"""A review as one HTML file: verdicts as cards, each with a drawing of its pods before and after. Needs no network."""

import html
from collections.abc import Iterator, Sequence

from rayops.review.effects import Code
from rayops.review.model import Item, Review
from rayops.review.report import words
from rayops.review.report.drawing import drawing

COLOURS = {
    Code.REJECTED: "#b3261e",
    Code.DELETED: "#b3261e",
    Code.RECREATE_PODS: "#b3261e",
    Code.NEW_CLUSTER: "#c25e00",
    Code.IGNORED: "#8a6d00",
    Code.CLUSTER_IN_PLACE: "#1b5fa8",
    Code.SERVE_IN_PLACE: "#1b5fa8",
    Code.CREATED: "#2e7d32",
    Code.NONE: "#5f6368",
}
STYLE = """
:root { color-scheme: light dark; --line: #d5d9e0; --soft: #f5f7fa; --text: #1c2330; --page: #fff; --dim: #5c6675 }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a4250; --soft: #1d232d; --text: #e4e8ee; --page: #12161d; --dim: #9aa5b5 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page); margin: 0 auto;
  max-width: 1040px; padding: 32px 20px 80px }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px } h2 { font-size: 18px; margin: 40px 0 10px }
.dim { color: var(--dim) } code { font: 13px ui-monospace, monospace; overflow-wrap: anywhere }
.card { border: 1px solid var(--line); border-left: 6px solid var(--c); border-radius: 8px; padding: 16px 20px;
  margin: 16px 0; break-inside: avoid }
.card h3 { margin: 0 0 8px; font-size: 17px } .verdict { color: var(--page); background: var(--c); border-radius: 4px;
  padding: 2px 8px; font-size: 13px; font-weight: 600; margin-right: 8px; white-space: nowrap }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 10px 0 } dt { color: var(--dim) }
dd { margin: 0 } table { border-collapse: collapse; width: 100%; font-size: 13px }
td, th { border-bottom: 1px solid var(--line); padding: 5px 8px; text-align: left; vertical-align: top }
svg { display: block; width: 100%; height: auto; background: var(--soft); border-radius: 6px; margin: 12px 0 }
summary { cursor: pointer } .over { color: #b3261e; font-weight: 600 }
"""


def report(review: Review) -> str:
    """The whole page."""
    title = words.summary(review) or "nothing of Ray changes"
    body = "\n".join(_body(review, title))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>rayops review: {_text(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )


def _body(review: Review, title: str) -> Iterator[str]:
    yield f"<h1>{_text(title[:1].upper() + title[1:])}</h1>"
    yield f'<p class="dim">{_code(review.before)} → {_code(review.after)}</p>'
    for each in (*review.fails, *review.problems):
        yield f'<p class="over">{_text(each)}</p>'
    for item in review.changed:
        yield from _card(item)
    yield from _spending(review)
    yield from _findings(review)
    yield from _rows(
        "Who inherits it",
        ("file", "environments", "sources"),
        [(_code(each.file), _text(", ".join(each.environments)), str(each.sources)) for each in review.inherited],
    )
    yield from _rows(
        "Other objects",
        ("", "object", "source", "fields"),
        [(each.change, _text(each.obj), _code(each.source), str(len(each.reasons))) for each in review.others],
    )
    unchanged = len(review.items) - len(review.changed)
    rest = f"{words.count(unchanged, 'more object')} of Ray in {review.sources} sources: nothing changes."
    yield f'<p class="dim">{rest}</p>'


def _card(item: Item) -> Iterator[str]:
    yield f'<section class="card" style="--c:{COLOURS[item.verdict]}">'
    said = words.verdict(item)
    badge, source = f'<span class="verdict">{_text(said)}</span>', f'<span class="dim">{_text(item.source)}</span>'
    yield f"<h3>{badge}{_text(item.title)} {source}</h3>"
    if item.before or item.after:
        yield drawing(item)
    facts = (
        ("why", item.why),
        ("replicas", words.replicas(item)),
        ("meanwhile", words.meanwhile(item)),
        ("failing requests", item.failures),
        ("revert", item.revert),
        ("a month", _month(item)),
    )
    yield "<dl>" + "".join(f"<dt>{name}</dt><dd>{_text(fact)}</dd>" for name, fact in facts if fact) + "</dl>"
    if any(each.path != "$" for each in item.reasons):
        yield f"<details><summary>{words.count(len(item.reasons), 'field')}</summary><table>"
        yield "<tr><th>field</th><th>old</th><th>new</th><th>what happens</th><th>written at</th></tr>"
        for each in item.reasons:
            happens = each.effect.value + (f": {each.why}" if each.why else "")
            cells = (_code(each.path), _code(words.value(each.old)), _code(words.value(each.new)), _text(happens))
            yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in (*cells, _code(each.place))) + "</tr>"
        yield "</table></details>"
    yield "</section>"


def _month(item: Item) -> str:
    both = [
        f"{words.money(found.month('min'), found.currency)} to {words.money(found.month('max'), found.currency)}"
        for found in (item.cost_before, item.cost_after)
        if found
    ]
    return " → ".join(dict.fromkeys(both))


def _spending(review: Review) -> Iterator[str]:
    rows = [
        (
            _text(each.environment),
            words.money(each.before, each.currency),
            words.money(each.after, each.currency),
            words.money(each.budget, each.currency) if each.budget else "",
            '<span class="over">over</span>' if each.over else "",
        )
        for each in review.spending
        if each.before != each.after or each.over
    ]
    yield from _rows("A month at the most", ("environment", "before", "after", "budget", ""), rows)


def _findings(review: Review) -> Iterator[str]:
    for title, findings in (("New findings", review.new_findings), ("Findings gone", review.gone_findings)):
        rows = [
            (each.severity, _code(each.id), _text(each.obj), _text(each.message), _code(each.place))
            for each in sorted(findings, key=lambda each: not each.security)
        ]
        yield from _rows(title, ("", "rule", "object", "finding", "place"), rows)


def _rows(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"<h2>{_text(title)}</h2><table><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"
    yield from ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    yield "</table>"


def _text(text: str) -> str:
    return html.escape(text)


def _code(text: str) -> str:
    return f"<code>{html.escape(text)}</code>" if text else ""
