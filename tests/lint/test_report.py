"""What is found, as text, JSON, SARIF and annotations: complete, escaped, and the same each time."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from rayops.lint import Rule, all_rules, report
from rayops.lint.engine import Report, Suppressed, lint
from rayops.lint.model import Finding
from rayops.lint.validate import Validator
from rayops.render.sources import Place, load
from tests.lint import casebook

RULES = all_rules()
# The parts of the SARIF 2.1.0 schema that a report uses, with what it requires of them (sarif-schema-2.1.0.json).
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
LOCATION = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "artifactLocation": {
                    "type": "object",
                    "required": ["uri"],
                    "properties": {"uri": {"type": "string", "pattern": r"^[^\s\\]+$"}},
                },
                "region": {"type": "object", "properties": {"startLine": {"type": "integer", "minimum": 1}}},
            },
        }
    },
}
RESULT = {
    "type": "object",
    "required": ["message", "ruleId", "ruleIndex", "level", "locations", "partialFingerprints"],
    "additionalProperties": False,
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": LEVEL,
        "message": TEXT,
        "locations": {"type": "array", "items": LOCATION, "minItems": 1},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
        "suppressions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["kind"],
                "additionalProperties": False,
                "properties": {"kind": {"enum": ["inSource", "external"]}, "justification": {"type": "string"}},
            },
        },
    },
}
DESCRIPTOR = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string"},
        "shortDescription": TEXT,
        "help": TEXT,
        "helpUri": {"type": "string", "pattern": "^https://"},
        "defaultConfiguration": {"type": "object", "properties": {"level": LEVEL}},
        "properties": {"type": "object", "properties": {"tags": {"type": "array", "uniqueItems": True}}},
    },
}
DRIVER = {
    "type": "object",
    "required": ["name"],
    "properties": {"rules": {"type": "array", "items": DESCRIPTOR, "uniqueItems": True}},
}
RUN = {
    "type": "object",
    "required": ["tool", "results"],
    "properties": {
        "tool": {"type": "object", "required": ["driver"], "properties": {"driver": DRIVER}},
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "results": {"type": "array", "items": RESULT},
    },
}
SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {"version": {"const": "2.1.0"}, "runs": {"type": "array", "items": RUN, "minItems": 1}},
}


def found(**other: Any) -> Finding:
    values: dict[str, Any] = {
        "rule": RULES["host-path"],
        "obj": "RayService rag/rag",
        "path": ("spec", "rayClusterConfig", "workerGroupSpecs", "[cpu]"),
        "message": "cpu mounts /models of its node",
        "source": "overlays/prod/rag",
        "place": Place("base/x.yaml", 7),
        "severity": "error",
    }
    return Finding(**{**values, **other})


def of(*findings: Finding, suppressed: tuple[Suppressed, ...] = ()) -> Report:
    return Report(findings, suppressed, 3, "error")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Of all bad cases that are objects, one after the other."""
    folder = tmp_path_factory.mktemp("real")
    names = []
    for number, case in enumerate(case for case in casebook.read() if not case.is_tree and not case.good):
        names.append(f"{number}/manifest.yaml")
        (folder / str(number)).mkdir()
        case.write(folder / str(number))
    return lint(load(folder, names), folder)


def test_text_names_place_severity_rule_object_field_and_fix() -> None:
    line, fix, total = report.text(of(found())).splitlines()
    assert line == (
        "base/x.yaml:7: error host-path: RayService rag/rag spec.rayClusterConfig.workerGroupSpecs[cpu]: "
        "cpu mounts /models of its node [in overlays/prod/rag]"
    )
    assert RULES["host-path"].fix in fix
    assert total == "3 sources: 1 error, 0 warnings, 0 notes, 0 suppressed with a reason"


def test_a_fault_of_a_base_is_told_once_with_who_inherits_it() -> None:
    each = [
        found(obj=f"RayService {name}/rag", source=f"overlays/{name}/rag") for name in ("dev", "local", "prod", "x")
    ]
    (told,) = report.told(each)
    assert told.message.endswith("[in overlays/dev/rag, overlays/local/rag, overlays/prod/rag and 1 more]")
    assert len(report.told([found(place=None), found(place=None, source="overlays/dev/rag")])) == 2


def test_json_has_every_finding_and_why_others_are_not_there() -> None:
    document = json.loads(report.as_json(of(found(), suppressed=(Suppressed(found(), "a laptop has one node"),))))
    (finding,) = document["findings"]
    assert finding["path"] == "spec.rayClusterConfig.workerGroupSpecs[cpu]"
    assert (finding["file"], finding["line"], finding["family"]) == ("base/x.yaml", 7, "safety")
    assert document["suppressed"][0]["reason"] == "a laptop has one node"
    assert document["failed"] is True
    assert [rule["id"] for rule in document["rules"]] == ["host-path"]


def test_sarif_is_what_its_schema_wants(real: Report) -> None:
    document = json.loads(report.sarif(real))
    assert Validator(SARIF).problems(document) == []
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == sorted(RULES)
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    assert len(run["results"]) > 50


def test_sarif_says_why_something_is_suppressed() -> None:
    text = report.sarif(of(suppressed=(Suppressed(found(place=None), "a laptop has one node"),)))
    (result,) = json.loads(text)["runs"][0]["results"]
    assert result["suppressions"] == [{"kind": "external", "justification": "a laptop has one node"}]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "overlays/prod/rag"


def test_annotations_are_escaped() -> None:
    rule = Rule("a", "safety", "error", "x", "100% sure", "y")
    place = Place("a,b:c%.yaml", 3)
    (line,) = report.github(of(found(rule=rule, place=place, message="50%\r\n::error::no"))).splitlines()
    assert line.startswith("::error file=a%2Cb%3Ac%25.yaml,line=3,title=a::RayService rag/rag ")
    assert "50%25 ::error::no" in line
    assert line.endswith("100%25 sure")


@pytest.mark.parametrize(("severity", "word"), [("error", "error"), ("warning", "warning"), ("note", "notice")])
def test_annotations_have_githubs_words(severity: str, word: str) -> None:
    assert report.github(of(found(severity=severity, place=None))).startswith(f"::{word} title=host-path::")


@pytest.mark.parametrize("name", sorted(report.FORMATS))
def test_no_message_breaks_its_line(name: str) -> None:
    evil = found(message="onzz\ntwzz\x1b[31m\u2028thrzz\x00", obj="RayService a\nb")
    text = report.FORMATS[name](of(evil))
    assert "\x1b" not in text
    assert "\x00" not in text
    assert not any("twzz" in line and "onzz" not in line for line in text.splitlines())


@pytest.mark.parametrize("name", sorted(report.FORMATS))
def test_the_same_findings_give_the_same_bytes(name: str, real: Report) -> None:
    from rayops.lint.engine import order

    findings = list(real.findings)
    random.Random(1).shuffle(findings)  # noqa: S311 - an order, no secret
    again = Report(tuple(sorted(findings, key=order)), real.suppressed, real.sources, real.fail_on)
    assert report.FORMATS[name](again) == report.FORMATS[name](real)


@pytest.mark.parametrize(
    ("fail_on", "severity", "failed"),
    [
        ("error", "error", True),
        ("error", "warning", False),
        ("warning", "warning", True),
        ("note", "note", True),
        ("never", "error", False),
    ],
)
def test_the_policy_says_what_fails(fail_on: str, severity: Any, failed: bool) -> None:
    assert Report((found(severity=severity),), (), 1, fail_on).failed is failed


def test_every_link_of_a_rule_leads_somewhere() -> None:
    root = Path(casebook.__file__).parents[2]
    gone = [
        rule.id for rule in RULES.values() if not rule.link.startswith("https://") and not (root / rule.link).exists()
    ]
    assert gone == []


def test_every_rule_is_one_line_each() -> None:
    assert not [rule.id for rule in RULES.values() for said in (rule.summary, rule.fix) if "\n" in said or not said]
