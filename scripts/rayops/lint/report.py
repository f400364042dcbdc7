"""Findings as text, JSON, SARIF 2.1.0 and GitHub annotations. The same findings, the same bytes."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rayops.lint.engine import Report
from rayops.lint.model import SEVERITIES, Finding, Rule
from rayops.lint.rules import all_rules

LEVELS = {"error": "error", "warning": "warning", "note": "note"}
ANNOTATIONS = {"error": "error", "warning": "warning", "note": "notice"}
HOME = "https://github.com/oasis-tcs/sarif-spec"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MANY = 3


@dataclass(frozen=True)
class Told:
    """The same fault in the same line, which several sources may inherit: said once."""

    finding: Finding
    sources: tuple[str, ...]

    @property
    def where(self) -> str:
        """`file:line`, or what was rendered."""
        return str(self.finding.place or self.finding.source)

    @property
    def message(self) -> str:
        """The fault with the object it is in, and who inherits it."""
        shown = ", ".join(self.sources[:MANY])
        more = f" and {len(self.sources) - MANY} more" if len(self.sources) > MANY else ""
        seen = f" [in {shown}{more}]" if self.finding.place and self.sources != (self.finding.place.file,) else ""
        field = f" {self.finding.dotted}" if self.finding.path else ""
        return f"{self.finding.obj}{field}: {self.finding.message}{seen}"


def told(findings: Iterable[Finding]) -> list[Told]:
    """Findings with those that differ only in what inherits them as one; in the order of the first of each."""
    found: dict[tuple[Any, ...], list[Finding]] = {}
    for each in findings:
        # Overlays give an object another namespace; the fault stands in one line all the same.
        what = each.obj.partition(" ")[0] if each.place else each.obj
        key = (each.rule.id, each.severity, each.place, what, each.path, each.message)
        found.setdefault((*key, None if each.place else each.source), []).append(each)
    return [Told(group[0], tuple(dict.fromkeys(each.source for each in group))) for group in found.values()]


def text(report: Report) -> str:
    """For people: a line for each fault, its fix below, and a sum."""
    lines = []
    for each in told(report.findings):
        finding = each.finding
        lines.append(f"{_line(each.where)}: {finding.severity} {finding.rule.id}: {_line(each.message)}")
        lines.append(f"    → {finding.rule.fix} ({finding.rule.link})")
    counts = [(severity, sum(f.severity == severity for f in report.findings)) for severity in SEVERITIES]
    said = ", ".join(f"{count} {severity}{'s' if count != 1 else ''}" for severity, count in counts)
    sources = f"{report.sources} source{'s' if report.sources != 1 else ''}"
    return "\n".join([*lines, f"{sources}: {said}, {len(report.suppressed)} suppressed with a reason"]) + "\n"


def as_json(report: Report) -> str:
    """Every finding of every source, what is suppressed, and the rules that are named."""
    suppressed = [{**_plain(each.finding), "reason": each.reason} for each in report.suppressed]
    rules = {finding.rule.id: finding.rule for finding in report.findings}
    document = {
        "version": 1,
        "failed": report.failed,
        "sources": report.sources,
        "findings": [_plain(finding) for finding in report.findings],
        "suppressed": suppressed,
        "rules": [_rule(rules[name]) for name in sorted(rules)],
    }
    return json.dumps(document, indent=2) + "\n"


def sarif(report: Report) -> str:
    """SARIF 2.1.0 with all rules; what is suppressed is there with its reason, as code scanning wants it."""
    rules = list(all_rules().values())
    position = {rule.id: number for number, rule in enumerate(rules)}
    results = [_result(each, position) for each in told(report.findings)]
    for each in report.suppressed:
        result = _result(Told(each.finding, (each.finding.source,)), position)
        results.append({**result, "suppressions": [{"kind": "external", "justification": each.reason}]})
    driver = {"name": "rayops lint", "informationUri": HOME, "rules": [_descriptor(rule) for rule in rules]}
    run = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def github(report: Report) -> str:
    """Workflow commands, which GitHub shows in the lines of a pull request."""
    lines = []
    for each in told(report.findings):
        finding = each.finding
        where = [f"file={_property(finding.place.file)}", f"line={finding.place.line}"] if finding.place else []
        where.append(f"title={_property(finding.rule.id)}")
        said = _data(f"{_line(each.message)} → {finding.rule.fix}")
        lines.append(f"::{ANNOTATIONS[finding.severity]} {','.join(where)}::{said}\n")
    return "".join(lines)


FORMATS: dict[str, Callable[[Report], str]] = {"text": text, "json": as_json, "sarif": sarif, "github": github}


def _plain(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "rule": finding.rule.id,
        "severity": finding.severity,
        "family": finding.rule.family,
        "object": finding.obj,
        "path": finding.dotted,
        "message": finding.message,
        "source": finding.source,
        "file": place.file if place else None,
        "line": place.line if place else None,
    }


def _rule(rule: Rule) -> dict[str, str]:
    return {"id": rule.id, "summary": rule.summary, "fix": rule.fix, "link": rule.link}


def _descriptor(rule: Rule) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": rule.id,
        "shortDescription": {"text": rule.summary},
        "help": {"text": f"{rule.fix} ({rule.link})"},
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {"tags": [rule.family]},
    }
    return described | ({"helpUri": rule.link} if rule.link.startswith("https://") else {})


def _result(each: Told, position: dict[str, int]) -> dict[str, Any]:
    finding = each.finding
    file, line = (finding.place.file, finding.place.line) if finding.place else (finding.source, 1)
    where = {"artifactLocation": {"uri": _uri(file), "uriBaseId": "%SRCROOT%"}, "region": {"startLine": max(line, 1)}}
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": position[finding.rule.id],
        "level": LEVELS[finding.severity],
        "message": {"text": _line(each.message)},
        "locations": [{"physicalLocation": where}],
        # What stays the same when lines move, so that code scanning knows a fault again.
        "partialFingerprints": {"rayopsLint/v1": f"{finding.rule.id}:{finding.source}:{finding.obj}:{finding.dotted}"},
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def _line(said: str) -> str:
    """One line, whatever a manifest holds: control characters would end an annotation or a terminal's line."""
    return "".join(sign if sign.isprintable() else " " for sign in " ".join(said.split()))


def _data(said: str) -> str:
    return said.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(said: str) -> str:
    return _data(said).replace(":", "%3A").replace(",", "%2C")
