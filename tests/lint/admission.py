"""base/policies in cel-python: a quick check of its expressions. The API server is the judge (tests/e2e)."""

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import celpy
import yaml
from celpy import celtypes
from celpy.adapter import json_to_cel
from celpy.evaluation import CELEvalError

from rayops.lint.policies import ALLOW
from rayops.paths import ROOT

FOLDER = ROOT / "base" / "policies"


def policies() -> list[dict[str, Any]]:
    return [yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("*.validatingadmissionpolicy.yaml"))]


def refusals(obj: dict[str, Any], allowed: str = "") -> Iterator[str]:
    """The messages of the validations that refuse an object."""
    for policy in policies():
        given: dict[str, Any] = {
            "object": json_to_cel(obj),
            "namespaceObject": json_to_cel({"metadata": {"annotations": {ALLOW: allowed}}}),
        }
        variables = celtypes.MapType()
        given["variables"] = variables
        for variable in policy["spec"]["variables"]:
            variables[celtypes.StringType(variable["name"])] = _value(variable["expression"], given)
        for validation in policy["spec"]["validations"]:
            if not _value(validation["expression"], given):
                yield validation["message"]


def _value(expression: str, given: dict[str, Any]) -> Any:
    found = _program(expression).evaluate(given)
    if isinstance(found, CELEvalError):
        raise found
    return found


@functools.cache
def _program(expression: str) -> Any:
    environment = celpy.Environment()
    return environment.program(environment.compile(expression), functions={"find": _find, "split": _split})


def _find(text: celtypes.StringType, pattern: celtypes.StringType) -> celtypes.StringType:
    """Kubernetes' own extension of CEL: the first match, or nothing."""
    found = re.search(str(pattern), str(text))
    return celtypes.StringType(found[0] if found else "")


def _split(text: celtypes.StringType, sign: celtypes.StringType) -> celtypes.ListType:
    return celtypes.ListType([celtypes.StringType(part) for part in str(text).split(str(sign))])


def bindings(folder: Path = FOLDER) -> list[dict[str, Any]]:
    return [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.validatingadmissionpolicybinding.yaml"))]
