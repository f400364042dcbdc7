"""kube-score and checkov over files of manifests; what they find, in one form."""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayops.cluster import tools

# A grade below this is a finding: 1 critical, 5 warning, 7 almost, 10 fine (kube-score/scorecard/scorecard.go).
FINE = 10
CRITICAL = 1
SECONDS = 240


@dataclass(frozen=True, order=True)
class Finding:
    """scanner: kube-score or checkov; check: its id; kind and name: the object; text: what is wrong, in its words."""

    scanner: str
    check: str
    kind: str
    namespace: str
    name: str
    text: str


def scan(folder: Path, files: Mapping[str, str]) -> set[Finding]:
    """What both find in files, by their name; written into the folder."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return {*kube_score(folder, files), *checkov(folder)}


def kube_score(folder: Path, names: Iterable[str]) -> set[Finding]:
    """One run for each file: objects of another environment must not count as an object's own."""
    found = set()
    for name in names:
        command = [tools.path("kube-score"), "score", "--output-format", "json", folder / name]
        for obj in json.loads(_run(command) or "null") or []:
            about = obj["type_meta"]["kind"], obj["object_meta"].get("namespace", ""), obj["object_meta"]["name"]
            for check in obj["checks"]:
                if check["skipped"] or check["grade"] >= FINE:
                    continue
                for comment in check["comments"] or [{"summary": check["check"]["name"]}]:
                    found.add(Finding("kube-score", check["check"]["id"], *about, comment["summary"]))
    return found


def checkov(folder: Path) -> set[Finding]:
    """One run for the folder: it takes seconds to start."""
    command = [os.environ["RAYOPS_CHECKOV"], "--directory", folder, "--framework", "kubernetes"]
    written = json.loads(_run([*command, "--output", "json", "--compact", "--quiet", "--skip-download"]))
    reports: list[Any] = written if isinstance(written, list) else [written]
    found = set()
    for report in reports:
        if "results" not in report:  # nothing that it knows
            continue
        for each in report["results"]["failed_checks"]:
            kind, namespace, name = each["resource"].split(".")[:3]
            found.add(Finding("checkov", each["check_id"], kind, namespace, name, each["check_name"]))
    return found


def _run(command: list[Any]) -> str:
    """Output of a scanner; findings end both with code 1."""
    environment = {**os.environ, "LOG_LEVEL": "ERROR"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout
