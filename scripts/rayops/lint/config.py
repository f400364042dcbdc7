"""`.rayops.yaml` at the root of a repository: what is right to be different there, each with its reason.

    lint:
      fail-on: error            # error (default), warning, note or never: from which severity on the exit code is 1
      severities:               # another severity for a rule, everywhere or somewhere
      - {rule: one-replica, severity: note, where: ["overlays/local/**"], reason: "a laptop has one node"}
      ignore:                   # findings that are right to be there
      - rule: pdb-missing
        where: ["overlays/local/**"]   # globs over the source or the file; left out: everywhere
        object: "RayService rag/*"     # glob over the object's name; left out: every one
        path: "**maxReplicas"          # glob over the field, as reports show it; left out: every one
        reason: "one node: a budget would only block its drain"
        until: 2027-06-30              # after this day it counts again

An entry of `ignore` that no finding needs is told as a warning. Other parts of the file belong to other commands.
"""

import datetime
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from re import Pattern
from typing import Any

from rayops.errors import RayopsError
from rayops.lint import guard
from rayops.lint.model import SEVERITIES, Finding, Severity
from rayops.lint.validate import Schema, Validator

NAME = ".rayops.yaml"
NEVER = "never"
_TEXT: Schema = {"type": "string", "minLength": 1}
_REASON: Schema = {"type": "string", "minLength": 10}
_GLOBS: Schema = {"type": "array", "items": _TEXT, "minItems": 1}
_ENTRY: Schema = {"rule": _TEXT, "where": _GLOBS, "object": _TEXT, "path": _TEXT, "reason": _REASON}
SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "lint": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "fail-on": {"enum": [*SEVERITIES, NEVER]},
                "severities": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["rule", "severity", "reason"],
                        "properties": {**_ENTRY, "severity": {"enum": list(SEVERITIES)}},
                    },
                },
                "ignore": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["rule", "reason"],
                        "properties": {**_ENTRY, "until": _TEXT},
                    },
                },
            },
        }
    },
}


@dataclass(frozen=True)
class Entry:
    """One entry of `ignore` or `severities`, and its line in the file."""

    rule: str
    where: tuple[str, ...]
    obj: str
    path: str
    reason: str
    line: int
    severity: Severity | None = None
    until: datetime.date | None = None

    def takes(self, finding: Finding) -> bool:
        """Whether it is about a finding."""
        places = (finding.source, finding.place.file if finding.place else finding.source)
        here = not self.where or any(_glob(glob).fullmatch(place) for glob in self.where for place in places)
        named = _glob(self.obj or "**").fullmatch(finding.obj) and _glob(self.path or "**").fullmatch(finding.dotted)
        return self.rule == finding.rule.id and here and bool(named)


@dataclass(frozen=True)
class Config:
    """file: "" where there is none."""

    file: str = ""
    fail_on: str = "error"
    severities: tuple[Entry, ...] = ()
    ignore: tuple[Entry, ...] = ()


def read(file: Path, name: str = NAME) -> Config:
    """The file, or the defaults where it is not there. RayopsError, one line with file and field, where it is wrong."""
    import yaml

    if not file.is_file():
        return Config()
    try:
        text = file.read_text()
        loaded = guard.load(text) or {}
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise RayopsError(f"{name}: {' '.join(str(error).split())}") from error
    if isinstance(loaded, dict):
        _dates_as_text(loaded)
    if problems := Validator(SCHEMA).problems(loaded):
        field = ".".join(problems[0].path).replace(".[", "[") or "the file"
        raise RayopsError(f"{name}: {field}: {problems[0].message}", hint="see `rayops lint --help`")
    given = loaded.get("lint") or {}
    lines = _lines(yaml.compose(text, Loader=yaml.SafeLoader))
    return Config(
        name,
        given.get("fail-on", "error"),
        tuple(_entry(name, each, lines["severities", i]) for i, each in enumerate(given.get("severities") or [])),
        tuple(_entry(name, each, lines["ignore", i]) for i, each in enumerate(given.get("ignore") or [])),
    )


def _dates_as_text(loaded: dict[str, Any]) -> None:
    """YAML makes a date of 2027-06-30."""
    entries = (loaded.get("lint") or {}).get("ignore") if isinstance(loaded.get("lint"), dict) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("until"), datetime.date):
            entry["until"] = entry["until"].isoformat()


def _entry(name: str, given: dict[str, Any], line: int) -> Entry:
    until = given.get("until")
    try:
        day = datetime.date.fromisoformat(until) if until else None
    except ValueError as error:
        raise RayopsError(f"{name}:{line}: until: {until!r} is no day such as 2027-06-30") from error
    return Entry(
        given["rule"],
        tuple(given.get("where") or ()),
        given.get("object", ""),
        given.get("path", ""),
        given["reason"],
        line,
        given.get("severity"),
        day,
    )


def _lines(node: Any) -> dict[tuple[str, int], int]:
    """The line of each entry of the two lists."""
    found = {}
    for key, value in getattr(node, "value", []):
        if key.value == "lint":
            for inner, entries in value.value:
                for position, entry in enumerate(entries.value if isinstance(entries.value, list) else []):
                    found[inner.value, position] = entry.start_mark.line + 1
    return found


@cache
def _glob(glob: str) -> Pattern[str]:
    """`*` stays within a folder, `**` does not, `?` is one character; all else is itself."""
    import re

    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    text = re.sub(r"\*\*/|\*\*|\*|\?|[^*?]+", lambda found: parts.get(found[0]) or re.escape(found[0]), glob)
    return re.compile(text)
