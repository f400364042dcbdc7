"""Which answers were given, and whether they helped: in memory, and in a file of JSON lines when there is one."""

import json
import logging
import os
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from apps.common.errors import PipelineError

logger = logging.getLogger("ray.serve")

Section = tuple[str, str]
Change = Literal["created", "updated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said of one answer."""

    helpful: bool
    comment: str | None


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a verdict; `durable` false: it is lost when the replica restarts."""

    change: Change
    durable: bool


@dataclass(frozen=True, slots=True)
class SectionCount:
    """How often the answers that cite a section helped."""

    document: str
    section: str
    helpful: int
    not_helpful: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over all verdicts. sections: the least helpful first; unanswered: verdicts on "no runbook fits"."""

    helpful: int
    not_helpful: int
    unanswered: int
    answers: int
    sections: list[SectionCount]
    durable: bool


class FeedbackLog:
    """The last answers with the sections that they cite, and the verdicts on them. Not safe for threads.

    Args:
        path: file that is read at the start and only ever appended to; None keeps everything in memory.
        keep: answers that can still be judged; the verdicts on older ones stay in the counts.

    Raises:
        OSError: the file cannot be read or written.
    """

    def __init__(self, path: Path | None, keep: int):
        self._keep = keep
        self._answers: OrderedDict[str, list[Section]] = OrderedDict()
        self._verdicts: dict[str, Verdict] = {}
        self._sections: Counter[tuple[Section, bool]] = Counter()
        self._totals: Counter[bool] = Counter()
        self._unanswered = 0
        self._file = None if path is None else self._open(path)

    @property
    def durable(self) -> bool:
        """Whether verdicts outlive this process."""
        return self._file is not None

    def answered(self, answer_id: str, sections: list[Section]) -> None:
        """Note an answer; the same id again changes nothing."""
        if self._note(answer_id, sections):
            self._write({"kind": "answer", "answer_id": answer_id, "sections": sections}, sync=False)

    def judge(self, answer_id: str, verdict: Verdict) -> Stored:
        """Store a verdict in place of an earlier one.

        Raises:
            PipelineError: 404, nobody remembers that answer.
        """
        if answer_id not in self._answers:
            message = "is not the id of a recent answer; take answer_id from the answer to POST /tickets"
            raise PipelineError(404, "not_found", message, "answer_id")
        before = self._verdicts.get(answer_id)
        if before == verdict:
            return Stored("unchanged", self.durable)
        line = {"kind": "feedback", "answer_id": answer_id, "helpful": verdict.helpful, "comment": verdict.comment}
        # First the file: what cannot be written must not be counted.
        self._write(line, sync=True)
        self._count(answer_id, verdict)
        return Stored("updated" if before else "created", self.durable)

    def summary(self) -> Summary:
        """Return the counts."""
        sections = {section for section, _ in self._sections}
        counts = [SectionCount(*each, self._sections[each, True], self._sections[each, False]) for each in sections]
        counts.sort(key=lambda each: (each.helpful - each.not_helpful, each.document, each.section))
        listed = [each for each in counts if each.helpful or each.not_helpful]
        totals = self._totals
        return Summary(totals[True], totals[False], self._unanswered, len(self._answers), listed, self.durable)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _note(self, answer_id: str, sections: list[Section]) -> bool:
        if answer_id in self._answers:
            return False
        self._answers[answer_id] = sections
        if len(self._answers) > self._keep:
            oldest, _ = self._answers.popitem(last=False)
            self._verdicts.pop(oldest, None)
        return True

    def _count(self, answer_id: str, verdict: Verdict) -> None:
        before = self._verdicts.get(answer_id)
        cited = self._answers[answer_id]
        for each, number in ((before, -1), (verdict, 1)):
            if each is not None:
                self._totals[each.helpful] += number
                self._unanswered += 0 if cited else number
                self._sections.update({(section, each.helpful): number for section in cited})
        self._verdicts[answer_id] = verdict

    def _open(self, path: Path) -> Any:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+")
        file.seek(0)
        whole, skipped = True, 0
        for line in file:
            whole = line.endswith(b"\n")
            try:
                self._replay(json.loads(line))
            except (ValueError, KeyError, TypeError):
                skipped += 1
        if not whole:
            # A crash cut the last line: the next one must not continue it.
            file.write(b"\n")
        if skipped:
            logger.warning("%s: %d lines are no entries and were skipped", path, skipped)
        return file

    def _replay(self, entry: dict[str, Any]) -> None:
        answer_id = str(entry["answer_id"])
        if entry["kind"] == "answer":
            self._note(answer_id, [(str(document), str(section)) for document, section in entry["sections"]])
        elif answer_id in self._answers:
            self._count(answer_id, Verdict(bool(entry["helpful"]), entry["comment"]))

    def _write(self, entry: dict[str, Any], *, sync: bool) -> None:
        if self._file is None:
            return
        line = json.dumps({"at": round(time.time(), 3), **entry})
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())
