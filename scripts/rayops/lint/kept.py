"""Findings by content: where no file, rule or exception has changed since, they are not searched for again."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayops.lint.model import Finding, Rule
from rayops.lint.rules import all_rules

if TYPE_CHECKING:
    from rayops.render.sources import Source

# Read by rules besides what the sources are built from.
BESIDE = ("overlays/prices.yaml", "prices.yaml")
CODE = ("fit", "kuberay", "lint", "render")


def kept(sources: Sequence["Source"], root: Path, search: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of sources that were loaded from a root: as they were found before, else as `search` finds them.

    A source without files (its objects came from somewhere else) is searched each time.
    """
    if not sources or not all(source.files for source in sources):
        return list(search())
    from rayops.paths import CACHE
    from rayops.render.store import Store

    store = Store(root.resolve(), _identity(), CACHE / "findings")
    files = {file for source in sources for file in source.files}
    name = _hash([[source.name, source.kind, source.problem, sorted(source.files)] for source in sources])
    if (known := store.get(name)) and (found := _read(known[1])) is not None:
        return found
    found = list(search())
    store.put(name, files, BESIDE, [_written(each) for each in found])
    store.save()
    return found


def _identity() -> str:
    """What the findings depend on besides files: the rules' own code, KubeRay's, and the operator's settings."""
    from rayops.kuberay import operator_of, program
    from rayops.paths import content_hash

    package = Path(__file__).parents[1]
    return content_hash(*(package / name for name in CODE), program.identity(), operator_of().key())


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _written(finding: Finding) -> dict[str, Any]:
    place = finding.place
    return {
        "rule": finding.rule.id,
        "obj": finding.obj,
        "path": finding.path,
        "message": finding.message,
        "source": finding.source,
        "place": [place.file, place.line] if place else None,
        "severity": finding.severity,
    }


def _read(kept: Any) -> list[Finding] | None:
    """None where the entry is none of ours: then it is searched again."""
    from rayops.render.sources import Place

    rules: dict[str, Rule] = all_rules()
    try:
        return [
            Finding(
                rules[each["rule"]],
                each["obj"],
                tuple(each["path"]),
                each["message"],
                each["source"],
                Place(*each["place"]) if each["place"] else None,
                each["severity"],
            )
            for each in kept
        ]
    except (KeyError, TypeError):
        return None
