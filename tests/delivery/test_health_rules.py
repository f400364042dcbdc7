"""The one truth table of health, as the controllers' own programs read the rules. No cluster.

tests/health runs the same table by a Lua and a CEL interpreter; here are Argo CD's and Flux's own.
"""

import json
from pathlib import Path

import pytest
import yaml

from rayops import proc
from rayops.kube import Status
from tests.harness.delivery import images
from tests.health.evaluators import EXPRESSIONS, STATUS_OF, Case, argocd, cases, seen_by_cel

pytestmark = [
    pytest.mark.delivery,
    pytest.mark.timeout(3600),
]  # the first test builds Argo CD where it is not built yet

FLUX_WORDS = {"InProgress": STATUS_OF["inProgress"], "Failed": STATUS_OF["failed"], "Current": STATUS_OF["current"]}


@pytest.fixture(scope="module")
def argocd_program() -> Path:
    return images.argocd()


@pytest.fixture(scope="module")
def flux_answers() -> dict[str, str]:
    """What Flux says of every object of the table, by name."""
    checks = yaml.safe_load(EXPRESSIONS.read_text())["spec"]["healthCheckExprs"]
    question = {"healthCheckExprs": checks, "objects": [case.obj for case in cases()]}
    answers = json.loads(proc.run([images.flux_health()], stdin=json.dumps(question), timeout=60))
    return dict(zip([case.name for case in cases()], answers, strict=True))


@pytest.mark.parametrize("case", cases(), ids=str)
def test_argo_cd_itself_says_what_the_table_says(case: Case, argocd_program: Path, tmp_path: Path) -> None:
    found = argocd(argocd_program, case.obj, tmp_path)
    assert found.status is case.verdict, found
    # It asks no script about an object that is being deleted, and has words of its own.
    deleted = "deletionTimestamp" in case.obj["metadata"]
    assert (found.message == "Pending deletion") if deleted else (case.says in found.message)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_flux_itself_says_what_the_table_says(case: Case, flux_answers: dict[str, str]) -> None:
    expected = Status(case.flux) if case.flux else seen_by_cel(case.verdict)
    answer = flux_answers[case.name]
    if answer.startswith("error: "):  # Flux then calls the object Unknown, and looks again
        assert "status" not in case.obj, answer
        assert "no such attribute(s): status" in answer
        answer = "InProgress"
    assert FLUX_WORDS.get(answer) is expected, answer
