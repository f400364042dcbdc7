"""The questions that retrieval is measured on point at passages that exist."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.docs.markdown_pages import ROOT, headings

QUESTIONS: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/apps/data/questions.yaml").read_text("utf-8"))


def sections(entry: dict[str, Any]) -> list[str]:
    """Return the headings of an entry, which names either one or several."""
    return [entry["section"]] if "section" in entry else entry["sections"]


def test_there_are_enough_questions_and_none_twice() -> None:
    asked = [entry["question"].lower() for entry in QUESTIONS]
    assert len(asked) >= 40
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("entry", QUESTIONS, ids=[entry["question"][:60] for entry in QUESTIONS])
def test_document_and_section_exist(entry: dict[str, Any]) -> None:
    assert set(entry) in ({"question", "document", "section"}, {"question", "document", "sections"})
    there = {heading.text for heading in headings(ROOT / entry["document"])}
    assert set(sections(entry)) <= there


@pytest.mark.parametrize("entry", QUESTIONS, ids=[entry["question"][:60] for entry in QUESTIONS])
def test_the_question_does_not_copy_a_heading(entry: dict[str, Any]) -> None:
    titles = {heading.text.lower() for heading in headings(ROOT / entry["document"])}
    assert entry["question"].lower().rstrip("?.") not in titles


def test_every_runbook_and_decision_is_asked_about() -> None:
    asked = {entry["document"] for entry in QUESTIONS}
    folders = (ROOT / "base/observability/runbooks", ROOT / "base/decisions")
    pages = {path.relative_to(ROOT).as_posix() for folder in folders for path in Path(folder).glob("*.md")}
    assert pages - asked == set()
