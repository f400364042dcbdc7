"""Answers and verdicts: once an answer, counted by section, kept in a file that survives restarts and crashes."""

import json
from pathlib import Path

import pytest

from apps.common.errors import PipelineError
from apps.support_assistant.feedback import FeedbackLog, Section, SectionCount, Stored, Verdict

FUSE: Section = ("kettle.md", "Fuse")
PLUG: Section = ("kettle.md", "Plug")


def filled(path: Path | None = None, keep: int = 10) -> FeedbackLog:
    log = FeedbackLog(path, keep)
    log.answered("a", [FUSE, PLUG])
    log.answered("b", [FUSE])
    log.answered("none", [])
    return log


def test_a_verdict_is_stored_changed_and_counted_once() -> None:
    log = filled()
    assert log.judge("a", Verdict(True, "thanks")) == Stored("created", durable=False)
    assert log.judge("a", Verdict(True, "thanks")).change == "unchanged"
    assert log.judge("b", Verdict(False, None)).change == "created"
    assert log.judge("none", Verdict(False, None)).change == "created"
    assert log.judge("a", Verdict(False, "does not help after all")).change == "updated"
    summary = log.summary()
    assert (summary.helpful, summary.not_helpful, summary.unanswered, summary.answers) == (0, 3, 1, 3)
    assert summary.sections == [SectionCount(*FUSE, 0, 2), SectionCount(*PLUG, 0, 1)]
    assert not summary.durable


def test_the_least_helpful_sections_come_first() -> None:
    log = filled()
    log.answered("c", [PLUG])
    log.judge("a", Verdict(True, None))
    log.judge("b", Verdict(True, None))
    log.judge("c", Verdict(False, None))
    assert log.summary().sections == [SectionCount(*PLUG, 1, 1), SectionCount(*FUSE, 2, 0)]


def test_an_unknown_answer_is_named() -> None:
    with pytest.raises(PipelineError, match="recent answer") as caught:
        filled().judge("z", Verdict(True, None))
    assert (caught.value.status, caught.value.field) == (404, "answer_id")


def test_only_so_many_answers_are_kept_but_the_counts_stay() -> None:
    log = filled(keep=3)
    log.judge("a", Verdict(True, None))
    log.answered("d", [PLUG])
    log.answered("d", [FUSE])
    with pytest.raises(PipelineError):
        log.judge("a", Verdict(False, None))
    log.judge("d", Verdict(True, None))
    summary = log.summary()
    assert (summary.helpful, summary.answers) == (2, 3)
    assert SectionCount(*PLUG, 2, 0) in summary.sections, "the same id again changes nothing"


def test_a_file_outlives_the_replica(tmp_path: Path) -> None:
    path = tmp_path / "new" / "feedback.jsonl"
    first = filled(path)
    assert first.judge("a", Verdict(True, "thanks")).durable
    first.judge("a", Verdict(False, "thänks"))
    first.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["answer"] * 3 + ["feedback"] * 2, "only ever appended to"
    second = FeedbackLog(path, 10)
    assert second.summary() == first.summary()
    assert second.judge("a", Verdict(False, "thänks")).change == "unchanged"
    assert second.judge("b", Verdict(True, None)).change == "created"
    second.close()


def test_a_crash_in_a_line_costs_that_line_only(tmp_path: Path) -> None:
    path = tmp_path / "feedback.jsonl"
    log = filled(path)
    log.close()
    path.write_bytes(path.read_bytes() + b'[]\n{"kind": "feedback", "answer_id": "zz", "helpful": true}\n{"kind": "fee')
    log = FeedbackLog(path, 10)
    log.judge("a", Verdict(True, None))
    log.close()
    log = FeedbackLog(path, 10)
    assert (log.summary().helpful, log.summary().answers) == (1, 3)
    log.close()


def test_what_cannot_be_written_is_not_counted(tmp_path: Path) -> None:
    log = filled(tmp_path / "feedback.jsonl")
    log.close()
    with pytest.raises(ValueError, match="closed file"):
        log.judge("a", Verdict(True, None))
    assert log.summary().helpful == 0
    with pytest.raises(OSError, match="directory"):
        FeedbackLog(tmp_path, 10)
