"""Every rule against its cases: what is bad is found by this rule and no other, what is good is not."""

from collections import Counter
from pathlib import Path

import pytest

from rayops.lint import all_rules
from rayops.lint.config import read
from rayops.lint.engine import Report, lint
from rayops.lint.rules import MODULES
from rayops.render.sources import load
from tests.lint import casebook

CASES = casebook.read()


def looked_at(case: casebook.Case, folder: Path) -> Report:
    """The report on a case's files, or on its manifest."""
    case.write(folder)
    target = case.given["build"] if case.is_tree else "manifest.yaml"
    return lint(load(folder, [target]), folder, read(folder / ".rayops.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.what}")
def test_case(case: casebook.Case, tmp_path: Path) -> None:
    report = looked_at(case, tmp_path)
    found = {finding.rule.id for finding in report.findings}
    said = "\n".join(f"{finding.rule.id}: {finding.message}" for finding in report.findings)
    if case.good:
        assert found <= case.allowed, said
    else:
        assert found == case.wanted, said or "nothing was found"


def test_every_rule_has_two_bad_and_two_good_cases() -> None:
    counts = Counter((case.rule, case.good) for case in CASES)
    lacking = [rule for rule in all_rules() if counts[rule, False] < 2 or counts[rule, True] < 2]
    assert not lacking


def test_every_file_of_cases_is_about_a_rule() -> None:
    assert {case.rule for case in CASES} <= set(all_rules())


def test_every_module_of_rules_is_there() -> None:
    folder = Path(casebook.__file__).parents[2] / "scripts/rayops/lint"
    assert all((folder / f"{name}.py").is_file() for name in MODULES)
