"""Renovate sees every pin of versions.env once, by regular expressions that match the lines that are there."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rayops.paths import ROOT
from rayops.versions import pins

CONFIG: dict[str, Any] = json.loads((ROOT / "renovate.json").read_text("utf-8"))
MANAGERS: list[dict[str, Any]] = CONFIG["customManagers"]


def found_in(name: str, manager: dict[str, Any]) -> list[re.Match[str]]:
    """What a manager reads of a file, as Renovate does: the path decides, then each expression over the whole text."""
    if not any(re.search(pattern.strip("/"), name) for pattern in manager["managerFilePatterns"]):
        return []
    text = (ROOT / name).read_text("utf-8")
    return [found for each in manager["matchStrings"] for found in re.finditer(each.replace("(?<", "(?P<"), text)]


def unmanaged() -> set[str]:
    """The pins that the description names with a reason."""
    return {found[1] for line in CONFIG["description"] if (found := re.match(r"([A-Z_]+): \w.{10}", line))}


def test_every_pin_is_read_once_or_named_with_a_reason() -> None:
    read: dict[str, int] = dict.fromkeys(pins(), 0)
    for manager in MANAGERS:
        for found in found_in("versions.env", manager):
            read[found[0].strip().partition("=")[0]] += 1
    assert {name for name, count in read.items() if count == 0} == unmanaged()
    assert not [name for name, count in read.items() if count > 1]


def test_what_is_read_is_the_version() -> None:
    for manager in MANAGERS:
        for found in found_in("versions.env", manager):
            assert found["currentValue"].removeprefix("v")[0].isdigit(), found[0]
            assert pins()[found[0].strip().partition("=")[0]].endswith(found["currentValue"])


@pytest.mark.parametrize("manager", MANAGERS, ids=lambda each: each["description"])
def test_every_manager_reads_something_in_each_file_and_knows_where_versions_come_from(manager: dict[str, Any]) -> None:
    files = [pattern.strip("/^$").replace("\\", "") for pattern in manager["managerFilePatterns"]]
    assert all(found_in(name, manager) for name in files), files
    assert {"datasourceTemplate"} <= set(manager)
    assert "depNameTemplate" in manager or "(?<depName>" in manager["matchStrings"][0]


def test_a_pin_that_nobody_reads_is_found() -> None:
    names = [name for name in pins() if name not in unmanaged()]
    without = [each for each in MANAGERS if each["description"] != "HELM_VERSION"]
    read = {found[0].strip().partition("=")[0] for each in without for found in found_in("versions.env", each)}
    assert set(names) - read == {"HELM_VERSION"}


def test_go_modules_are_those_that_are_required() -> None:
    required = "\n".join(file.read_text() for file in Path(ROOT / "scripts/tools").rglob("go.mod"))
    modules = [each["depNameTemplate"] for each in MANAGERS if each["datasourceTemplate"] == "go"]
    run_directly = {"github.com/sigstore/cosign/v3"}  # by `go run` in .github/workflows/image.yaml
    assert {name for name in modules if f"{name} v" not in required} == run_directly


def test_groups_name_what_there_is() -> None:
    known = {each.get("depNameTemplate") for each in MANAGERS} | {"kuberay-operator"}
    known |= {found["depName"] for each in MANAGERS if "(?<depName>" in each["matchStrings"][0]
              for found in found_in("versions.env", each)}  # fmt: skip
    for rule in CONFIG["packageRules"]:
        assert set(rule.get("matchDepNames", [])) <= known, rule["description"]
