"""One health rule in Lua, CEL and Python: they agree on every recorded object, and on objects with pieces missing."""

import re
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lupa.lua51 import LuaError

from rayops.kube import Obj, Status
from tests.health.evaluators import (
    Case,
    cases,
    cel,
    expressions,
    flux,
    lua,
    lua_script,
    python,
    seen_by_cel,
)

CASES = cases()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_rendering_says_what_the_table_says(case: Case) -> None:
    by_python, by_lua = python(case.obj), lua(case.obj)
    assert (by_python.status, by_lua.status) == (case.verdict, case.verdict), (by_python, by_lua)
    assert cel(case.obj) is seen_by_cel(case.verdict)
    assert case.says in by_python.message
    assert case.says in by_lua.message


@pytest.mark.parametrize("case", CASES, ids=str)
def test_flux_looks_at_the_generation_first_and_the_table_says_where_that_differs(case: Case) -> None:
    expected = Status(case.flux) if case.flux else seen_by_cel(case.verdict)
    assert flux(case.obj) is expected


def test_every_verdict_and_every_kind_is_in_the_table() -> None:
    kinds = {case.obj["kind"] for case in CASES}
    assert kinds == {"RayService", "RayCluster", "RayJob"}
    for kind in kinds:
        assert {case.verdict for case in CASES if case.obj["kind"] == kind} == set(Status), kind


def test_ready_is_not_believed_alone() -> None:
    ready = [case for case in CASES if "NonZeroServeEndpoints" in str(case.obj.get("status"))]
    assert len([case for case in ready if case.verdict is not Status.HEALTHY]) >= 5


# Pieces missing -----------------------------------------------------------------------------------------------------

Path = tuple[Any, ...]


def paths(value: Any, here: Path = ()) -> list[Path]:
    """Every path in an object, below `metadata`, `spec` and `status` too."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path for key, inner in items for path in [(*here, key), *paths(inner, (*here, key))]]


def without(obj: Obj, path: Path, *, emptied: bool) -> Obj:
    """A copy with the piece at the path gone or, if it is a map or a list, emptied; a path that is not there: as is."""
    result = deepcopy(obj)
    parent: Any = result
    for key in path[:-1]:
        if not (isinstance(parent, dict) and key in parent) and not (isinstance(parent, list) and key < len(parent)):
            return result
        parent = parent[key]
    last = path[-1]
    if isinstance(parent, list):
        del parent[last : last + 1]
    elif last in parent and emptied and isinstance(parent[last], dict | list):
        parent[last] = type(parent[last])()
    else:
        parent.pop(last, None)
    return result


def agree(obj: Obj) -> None:
    expected = python(obj).status
    assert lua(obj).status is expected
    assert cel(obj) is seen_by_cel(expected)


# What the API server always has: Argo CD and Flux find the rule by it, and an object has a name.
KEPT = {("apiVersion",), ("kind",), ("metadata",), ("spec",), ("metadata", "name")}


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_rendering_says_the_same_of_an_object_with_pieces_missing(data: st.DataObject) -> None:
    obj = data.draw(st.sampled_from(CASES)).obj
    gone = [path for path in paths(obj) if path not in KEPT]
    for path in data.draw(st.lists(st.sampled_from(gone), min_size=1, max_size=3)):
        obj = without(obj, path, emptied=data.draw(st.booleans()))
    agree(obj)


@pytest.mark.parametrize("kind", ["RayService", "RayCluster", "RayJob"])
@pytest.mark.parametrize(
    "status", [None, {}, {"conditions": []}, {"activeServiceStatus": {}, "pendingServiceStatus": {}}]
)
def test_an_object_without_a_status_is_in_progress(kind: str, status: Obj | None) -> None:
    obj: Obj = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "x", "generation": 1}, "spec": {}}
    obj |= {} if status is None else {"status": status}
    assert python(obj).status is Status.PROGRESSING
    agree(obj)


# The table has teeth ------------------------------------------------------------------------------------------------

# Words of each rule: without any one of them a rendering must fail the table. Left out is what only gives the reason
# for a verdict that CEL reaches anyway: a deletion bumps the generation, a suspended RayCluster is not provisioned.
WORDS = {
    "RayService": (
        "DEPLOY_FAILED HeadPodReady InitializingTimeout RUNNING Ready UPDATING UpgradeInProgress ValidationFailed "
        "observedGeneration rayClusterName suspend"
    ),
    "RayCluster": (
        "HeadPodReady RayClusterProvisioned ReplicaFailure deletionTimestamp desiredWorkerReplicas "
        "enableInTreeAutoscaling readyWorkerReplicas suspend"
    ),
    "RayJob": "Complete Failed SUCCEEDED ValidationFailed deletionTimestamp",
}


@pytest.mark.parametrize(("kind", "word"), [(kind, word) for kind, words in WORDS.items() for word in words.split()])
def test_a_rendering_without_one_of_its_words_fails_the_table(kind: str, word: str) -> None:
    whole = re.compile(rf"\b{word}\b")
    script, rule = lua_script(kind), expressions(kind)
    assert whole.search(script)
    assert any(whole.search(text) for text in rule.values())
    broken_script = whole.sub("nobody", script)
    broken_rule = {name: whole.sub("nobody", text) for name, text in rule.items()}
    mine = [case for case in CASES if case.obj["kind"] == kind]
    assert any(_lua_fails(case, broken_script) for case in mine), f"Lua without {word} passes the table"
    assert any(cel(case.obj, broken_rule) is not seen_by_cel(case.verdict) for case in mine), f"CEL without {word}"


def _lua_fails(case: Case, script: str) -> bool:
    try:
        found = lua(case.obj, script)
    except LuaError:
        return True
    return found.status is not case.verdict or case.says not in found.message
