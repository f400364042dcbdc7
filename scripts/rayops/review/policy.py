"""When a review says no: `.rayops.yaml` at the root of a repository, or `--fail-on`.

    review:
      fail-on: [rejected, recreate-pods, render, budget, quota, lint]   # the default

verdicts (rejected, deleted, recreate-pods, new-cluster, ignored, …) and: render, a source does not render; budget, an
environment costs more than its budget after the change, and more than before; quota, the peak of a change does not fit
its namespace; lint, a new finding that is an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rayops.errors import RayopsError
from rayops.review.effects import Code
from rayops.review.model import Review

DEFAULT = ("rejected", "recreate-pods", "render", "budget", "quota", "lint")
OTHERS = ("render", "budget", "quota", "lint")


def read(root: Path, given: Sequence[str] = ()) -> tuple[str, ...]:
    """What fails: as given, else as the repository says, else the default. RayopsError for a word that is none."""
    known = (*map(str, Code), *OTHERS)
    chosen: Any = [part.strip() for each in given for part in each.split(",")] or _written(root)
    for word in chosen:
        if word not in known:
            raise RayopsError(f"review: fail-on: {word!r} is none of them", hint=f"one of {', '.join(known)}")
    return tuple(chosen)


def _written(root: Path) -> Sequence[str]:
    from rayops.lint.config import NAME
    from rayops.render.loader import load_all

    file = root / NAME
    if not file.is_file():
        return DEFAULT
    documents = load_all(file.read_text("utf-8"), NAME)
    review = (documents[0] if documents else {}).get("review") or {}
    if not isinstance(review, dict) or not set(review) <= {"fail-on"}:
        raise RayopsError(f"{NAME}: review: only fail-on is known there", hint="fail-on: [rejected, budget]")
    found = review.get("fail-on", DEFAULT)
    if not isinstance(found, list | tuple) or not all(isinstance(each, str) for each in found):
        raise RayopsError(f"{NAME}: review.fail-on is no list of words", hint="fail-on: [rejected, budget]")
    return found


def judged(review: Review, fails: Sequence[str]) -> Review:
    """The review with the reasons for which it says no."""
    return replace(review, fails=tuple(_reasons(review, fails)))


def _reasons(review: Review, fails: Sequence[str]) -> Iterator[str]:
    for item in review.changed:
        if item.verdict in fails:
            yield f"{item.title} in {item.source}: {item.verdict}: {item.why}"
        if "quota" in fails and item.during and item.during.quota:
            yield f"{item.title} in {item.source}: quota: {item.during.quota}"
    if "render" in fails:
        yield from (f"render: {problem}" for problem in review.problems)
    if "budget" in fails:
        for each in review.spending:
            if each.over and each.after > each.before:
                yield (
                    f"budget: {each.environment} costs {each.after:,.0f} {each.currency} a month at its most, "
                    f"its budget is {each.budget:,.0f}"
                )
    if "lint" in fails:
        for found in review.new_findings:
            if found.severity == "error":
                yield f"lint: {found.id}: {found.obj}: {found.message} {found.place}".rstrip()
