"""`rayops review` says of every change what a live operator was seen to do with it (tests/e2e/verdicts)."""

import copy
from collections.abc import Callable

import pytest

from rayops.kuberay import ask_each
from rayops.paths import ROOT
from rayops.render import Obj, one, render
from rayops.review import effects
from tests.harness import mutations
from tests.harness.mutations import CLUSTER, RECREATE, SERVICE, Mutation

ROWS = mutations.read(ROOT / "tests" / "e2e" / "verdicts" / "mutations.yaml")
CASES = [(subject, row) for row in ROWS for subject in row.verdict]


@pytest.fixture(scope="module")
def base() -> Callable[[str], Obj]:
    """The subjects as tests/e2e/verdicts/test_live.py makes them."""
    service = one(render(ROOT / "overlays" / "local" / "hello"), SERVICE)
    for group in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
        group["maxReplicas"] = 3
    service["spec"]["serveService"].setdefault("metadata", {})["annotations"] = {"example.com/kept": "1"}

    def made(subject: str) -> Obj:
        if subject == SERVICE:
            return copy.deepcopy(service)
        spec = copy.deepcopy(service["spec"]["rayClusterConfig"])
        for group in spec["workerGroupSpecs"]:
            group["replicas"] = 1
        if subject == RECREATE:
            spec["upgradeStrategy"] = {"type": "Recreate"}
        return {"apiVersion": "ray.io/v1", "kind": CLUSTER, "metadata": {"name": "hello"}, "spec": spec}

    return made


def judged(old: Obj, new: Obj) -> effects.Verdict | None:
    answers = dict(zip(map(id, (old, new)), ask_each([old, new]), strict=True))
    return effects.of_pair(old, new, lambda obj: answers[id(obj)])


@pytest.mark.parametrize(("subject", "row"), CASES, ids=lambda value: value if isinstance(value, str) else value.id)
def test_the_verdict_is_what_was_seen(subject: str, row: Mutation, base: Callable[[str], Obj]) -> None:
    old = base(subject)
    new = row.apply(old, subject)
    verdict = judged(old, new)
    assert (verdict.effect.code if verdict else "none") == row.expected(subject, back=False), verdict
    if subject == SERVICE and verdict and verdict.effect.code not in ("new-cluster", "rejected"):
        assert verdict.restarts == tuple(sorted(f"hello/{name}" for name in row.restarts))
        assert verdict.reconfigures == tuple(sorted(f"hello/{name}" for name in row.reconfigures))
    if subject == SERVICE and row.expected(subject, back=False) not in ("new-cluster", "ignored", "rejected"):
        back = judged(new, old)
        assert (back.effect.code if back else "none") == row.expected(subject, back=True), back


def test_a_row_that_changes_nothing_is_no_row(base: Callable[[str], Obj]) -> None:
    row = Mutation(
        "nothing",
        {SERVICE: "none"},
        set={"cluster.rayVersion": base(SERVICE)["spec"]["rayClusterConfig"]["rayVersion"]},
    )
    with pytest.raises(ValueError, match="changes nothing"):
        row.apply(base(SERVICE), SERVICE)
