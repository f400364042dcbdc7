"""base/policies: written from the registry, and of one opinion with the rules about every case."""

from pathlib import Path

import pytest

from rayops.lint import all_rules, policies
from rayops.paths import ROOT
from rayops.render import Obj, of_kind, render
from tests.lint import admission, casebook

# What does not fit the CRD is refused by the API server itself, with or without a policy.
ALL = [case for case in casebook.read() if not case.is_tree and (case.good or case.rule != "crd-schema")]
SEEN = {rule.id for rule in all_rules().values() if rule.severity == "error" and not policies.unseen(rule)}
# cel-python is slow; the API server has all cases.
CASES = [case for case in ALL if case.rule in SEEN]
SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.yaml"))


def test_the_policies_are_those_that_the_registry_gives() -> None:
    for name, text in policies.policies().items():
        assert (policies.FOLDER / name).read_text() == text, "python -m rayops.lint.policies"


def test_every_error_is_seen_at_admission_or_says_why_not() -> None:
    errors = [rule for rule in all_rules().values() if rule.severity == "error"]
    assert not [rule.id for rule in errors if rule.id not in SEEN and len(policies.unseen(rule)) < 20]


def test_the_readme_says_which() -> None:
    rows = [line for line in (policies.FOLDER / "README.md").read_text().splitlines() if line.startswith("| `")]
    assert rows == policies.table()


def test_nothing_is_said_of_rules_that_are_not_there_or_are_no_errors() -> None:
    named = {*policies.SEEN, *policies.UNSEEN, *policies.PARTLY}
    assert {rule for rule in named if rule not in all_rules() or all_rules()[rule].severity != "error"} == set()
    assert set(policies.PARTLY) <= SEEN
    assert not set(policies.SEEN) & set(policies.UNSEEN)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}: {case.what}")
def test_admission_and_lint_agree(case: casebook.Case) -> None:
    obj = case.objects()[0]
    refused = {message.partition(":")[0] for message in admission.refusals(obj)}
    if case.good:
        assert refused <= case.allowed
    elif "seen" in case.given:
        assert refused == set(), "its comment says that admission cannot see it"
    else:
        assert case.rule in refused
        assert refused <= case.wanted


def test_what_an_environment_allows_is_not_refused() -> None:
    (case,) = [case for case in CASES if case.rule == "host-path" and case.what == "a folder of the node"]
    assert [*admission.refusals(case.objects()[0], allowed="image-latest host-path")] == []


@pytest.mark.parametrize("case", [case for case in CASES if "seen" in case.given], ids=lambda case: case.what)
def test_a_case_that_admission_cannot_see_is_of_a_rule_that_it_sees_partly(case: casebook.Case) -> None:
    assert case.rule in policies.PARTLY


@pytest.mark.parametrize(
    ("environment", "actions"), [("dev", ["Warn", "Audit"]), ("staging", ["Deny"]), ("prod", ["Deny"])]
)
def test_environments_warn_or_deny(environment: str, actions: list[str]) -> None:
    objects: list[Obj] = render(ROOT / "overlays" / environment / "platform")
    names = {each["metadata"]["name"] for each in of_kind(objects, "ValidatingAdmissionPolicy")}
    bindings = of_kind(objects, "ValidatingAdmissionPolicyBinding")
    assert (
        {each["spec"]["policyName"] for each in bindings}
        == names
        == {p["metadata"]["name"] for p in admission.policies()}
    )
    assert all(each["spec"]["validationActions"] == actions for each in bindings)
