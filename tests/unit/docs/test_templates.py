"""Runbooks and decisions keep their form, so that a reader at night, and retrieval, find each part at once."""

import re
from pathlib import Path

import pytest

from tests.unit.docs.markdown_pages import ROOT, headings, prose

RUNBOOKS = sorted((ROOT / "base/observability/runbooks").glob("*.md"))
DECISIONS = sorted((ROOT / "base/decisions").glob("*.md"))
RUNBOOK_PARTS = ["Symptom", "Confirm", "Cause", "Mend", "Prevent", "References"]
DECISION_PARTS = ["Context", "Decision", "Rejected", "Consequences", "Sources"]
INDEX = ROOT / "base/README.md"


def parts(page: Path) -> list[str]:
    """Return the first word of each second-level heading, in order."""
    return [re.split(r"\W", heading.text)[0] for heading in headings(page) if heading.level == 2]


@pytest.mark.parametrize("page", RUNBOOKS, ids=[page.stem for page in RUNBOOKS])
def test_runbook_has_all_parts_in_order(page: Path) -> None:
    assert parts(page) == RUNBOOK_PARTS
    assert "```bash" in page.read_text("utf-8")


@pytest.mark.parametrize("page", DECISIONS, ids=[page.stem for page in DECISIONS])
def test_decision_has_all_parts_in_order(page: Path) -> None:
    assert parts(page) == DECISION_PARTS
    assert prose(page).startswith(f"# {page.name[:4]} ")
    assert "Accepted, " in prose(page)


@pytest.mark.parametrize("page", RUNBOOKS + DECISIONS, ids=[page.stem for page in RUNBOOKS + DECISIONS])
def test_headings_tell_what_the_section_says(page: Path) -> None:
    second = [heading.text for heading in headings(page) if heading.level == 2]
    plain = {"References", "Sources of these facts", "Sources of these figures"}
    assert [text for text in second if text not in plain and len(text.split()) < 4] == []
    assert len(second) == len(set(second))


@pytest.mark.parametrize("page", RUNBOOKS + DECISIONS, ids=[page.stem for page in RUNBOOKS + DECISIONS])
def test_page_fits_one_screen_or_two_and_stands_in_the_index(page: Path) -> None:
    assert len(page.read_text("utf-8").splitlines()) <= 80
    assert f"({page.relative_to(INDEX.parent).as_posix()})" in INDEX.read_text("utf-8")


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
