"""A review for a terminal."""

from collections.abc import Iterator

from rayops.review.model import Item, Review
from rayops.review.report import words

ROWS = 12


def report(review: Review) -> str:
    """The whole of it, the gravest first."""
    return "\n".join(_lines(review)) + "\n"


def _lines(review: Review) -> Iterator[str]:
    yield f"{review.before} → {review.after}: {words.summary(review) or 'nothing of Ray changes'}"
    for problem in review.problems:
        yield f"does not render: {problem}"
    for item in review.changed:
        yield ""
        yield from _item(item)
    if review.others:
        yield ""
        yield "other objects"
        rows = [(other.change, other.obj, other.source, str(len(other.reasons))) for other in review.others]
        yield from (f"  {line}" for line in words.table(rows))
    for title, findings in (("new findings", review.new_findings), ("findings gone", review.gone_findings)):
        if findings:
            yield ""
            yield title
            rows = [(each.severity, each.id, each.obj, f"{each.message} {each.place}".strip()) for each in findings]
            yield from (f"  {line}" for line in words.table(rows))
    spent = [each for each in review.spending if each.before != each.after or each.over]
    if spent:
        yield ""
        yield "a month at the most (prices of overlays/prices.yaml or another table of the repository)"
        for each in spent:
            budget = f", budget {words.money(each.budget, each.currency)}" if each.budget else ""
            yield (
                f"  {each.environment}: {words.money(each.before, each.currency)} → "
                f"{words.money(each.after, each.currency)}{budget}{' OVER' if each.over else ''}"
            )
    if review.inherited:
        yield ""
        yield "who inherits it"
        heirs = [
            (each.file, words.count(each.sources, "source"), ", ".join(each.environments)) for each in review.inherited
        ]
        yield from (f"  {line}" for line in words.table(heirs))
    if review.fails:
        yield ""
        yield from (f"fails: {each}" for each in review.fails)


def _item(item: Item) -> Iterator[str]:
    yield f"{words.verdict(item).upper()}  {item.title}  ({item.source})"
    facts = (
        ("why", item.why),
        ("replicas", words.replicas(item)),
        ("meanwhile", words.meanwhile(item)),
        ("failing", item.failures),
        ("revert", item.revert),
    )
    yield from (f"  {name}: {said}" for name, said in facts if said)
    for each in item.reasons[:ROWS]:
        if each.path != "$":
            values = f"{words.value(each.old) or '∅'} → {words.value(each.new) or '∅'}"
            yield f"  {each.path}  {values}  {each.place}".rstrip()
            yield f"    {each.effect.value}{': ' * bool(each.why)}{each.why}"
    if len(item.reasons) > ROWS:
        yield f"  … {words.count(len(item.reasons) - ROWS, 'more field')}"
