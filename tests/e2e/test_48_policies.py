"""base/policies on a real API server: the cases of `rayops lint`, one by one, as server-side dry runs.

The policies get names of their own and are bound to namespaces of this test only: nobody else meets them.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest

from rayops.kube import Kube, KubeError, Timeout, eventually, is_so, itself
from rayops.kube.objects import RAY_CLUSTER, Kind, Obj
from rayops.lint import all_rules, policies
from tests.lint import admission, casebook

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
POLICY = Kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
BINDING = Kind("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
LABEL = "rayops.io/policies-test"
ACTIONS = {"deny": ["Deny"], "warn": ["Warn", "Audit"]}
CASES = [case for case in casebook.read() if not case.is_tree]
SEEN = {rule.id for rule in all_rules().values() if rule.severity == "error" and not policies.unseen(rule)}
REFUSED = [case for case in CASES if not case.good and case.rule in SEEN and "seen" not in case.given]
FIRST = {case.rule: case for case in reversed(REFUSED)}
# KubeRay does nothing for a cluster that somebody else manages: it is there, and has no pods.
IDLE = "kueue.x-k8s.io/multikueue"


@dataclass(frozen=True)
class Bound:
    """Namespaces in which the policies deny, and warn."""

    kube: Kube
    deny: str
    warn: str

    def dry_run(self, obj: Obj, namespace: str) -> str:
        """Why the API server would not take an object; "" where it would."""
        kind = Kind(obj["apiVersion"], obj["kind"])
        path = self.kube._path(kind, None, namespace)
        try:
            self.kube.request("POST", path, body=_in(obj, namespace), query={"dryRun": "All"})
        except KubeError as error:
            return str(error)
        return ""

    def wait_for(self, case: casebook.Case) -> None:
        """Until the API server has its policy: a few seconds after it was applied."""
        obj = case.objects()[0]
        said = f"{case.rule} is refused"
        eventually(
            lambda: self.dry_run(obj, self.deny), itself, lambda why: f"{case.rule}: " in why, Timeout.SHORT, said
        )
        eventually(lambda: self.warnings(obj), itself, bool, Timeout.SHORT, f"{case.rule} is warned of")

    def warnings(self, obj: Obj) -> list[str]:
        """What kubectl would print beside "created", in the namespace that warns. KubeError where it is refused."""
        path = self.kube._path(Kind(obj["apiVersion"], obj["kind"]), None, self.warn)
        query = [("dryRun", "All")]
        answer = self.kube._dynamic.request("POST", path, _in(obj, self.warn), query_params=query, serialize=False)
        return [str(said) for said in answer.headers.getlist("Warning")]


@pytest.fixture(scope="module")
def bound(kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]) -> Iterator[Bound]:
    with new_namespace("policies-deny") as deny, new_namespace("policies-warn") as warn:
        objects = [*_policies(deny), *_bindings(deny, {"deny": deny, "warn": warn})]
        try:
            for mode, namespace in (("deny", deny), ("warn", warn)):
                _label(kube, namespace, mode)
            kube.apply(objects)
            found = Bound(kube, deny, warn)
            for case in FIRST.values():
                found.wait_for(case)
            yield found
        finally:
            for obj in reversed(objects):
                kube.delete(Kind(obj["apiVersion"], obj["kind"]), obj["metadata"]["name"])


def _policies(own: str) -> list[Obj]:
    return [_renamed(policy, own) for policy in admission.policies()]


def _bindings(own: str, namespaces: dict[str, str]) -> Iterator[Obj]:
    for binding in admission.bindings():
        for mode in namespaces:
            made = _renamed(binding, f"{own}-{mode}")
            spec = made["spec"]
            spec["policyName"] = f"{spec['policyName']}-{own}"
            spec["validationActions"] = ACTIONS[mode]
            spec["matchResources"] = {"namespaceSelector": {"matchLabels": {LABEL: mode}}}
            yield made


def _renamed(obj: Obj, own: str) -> Obj:
    made = copy.deepcopy(obj)
    made["metadata"]["name"] += f"-{own}"
    return made


def _in(obj: Obj, namespace: str) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}


def _label(kube: Kube, namespace: str, mode: str) -> None:
    kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": {LABEL: mode}}}])


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case.rule}: {case.what}")
def test_what_lint_calls_an_error_is_refused_by_its_id(bound: Bound, case: casebook.Case) -> None:
    assert f"{case.rule}: " in bound.dry_run(case.objects()[0], bound.deny)


def test_what_is_good_is_admitted(bound: Bound) -> None:
    good = [case for case in CASES if case.good and not case.allowed & SEEN]
    said = {f"{case.rule}: {case.what}": bound.dry_run(case.objects()[0], bound.deny) for case in good}
    assert {what: why for what, why in said.items() if why} == {}
    assert len(good) > 50


def test_what_is_no_error_or_cannot_be_seen_is_admitted(bound: Bound) -> None:
    """Warnings are for lint; and what CEL is said not to see is not refused for another reason."""
    others = [
        case for case in CASES if not case.good and case not in REFUSED and not case.wanted & (SEEN | {"crd-schema"})
    ]
    said = {f"{case.rule}: {case.what}": bound.dry_run(case.objects()[0], bound.deny) for case in others}
    assert {what: why for what, why in said.items() if why} == {}
    assert len(others) > 20


@pytest.mark.parametrize("case", [case for case in CASES if case.wanted == {"crd-schema"}], ids=lambda case: case.what)
def test_what_does_not_fit_the_crd_is_refused_by_the_api_server(bound: Bound, case: casebook.Case) -> None:
    assert bound.dry_run(case.objects()[0], bound.deny)


@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.rule)
def test_dev_warns_and_admits(bound: Bound, case: casebook.Case) -> None:
    warnings = bound.warnings(case.objects()[0])
    assert any(f"'ray-{_policy(case.rule)}" in said and f"{case.rule}: " in said for said in warnings), warnings


def _policy(rule: str) -> str:
    if rule == "kuberay-rejects":
        return "kuberay"
    return "images" if rule in policies.IMAGES else "safety"


def test_what_a_namespace_allows_is_admitted_there(bound: Bound) -> None:
    obj = FIRST["host-path"].objects()[0]
    for allowed, admitted in (("image-latest host-path", True), ("image-latest", False)):
        notes = {policies.ALLOW: allowed}
        meta = {"name": bound.deny, "labels": {LABEL: "deny"}, "annotations": notes}
        bound.kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": meta}])
        what = f"with {allowed} it is {'admitted' if admitted else 'refused'}"
        seen = lambda admitted=admitted: (bound.dry_run(obj, bound.deny) == "") is admitted  # noqa: E731
        eventually(seen, itself, is_so, Timeout.SHORT, what)


def test_an_object_from_before_can_be_edited_and_deleted_but_not_made_worse(bound: Bound) -> None:
    """Its finalizers must come off; a spec that breaks a rule is not taken, whichever field was changed."""
    kube = bound.kube
    obj = casebook.changed(FIRST["host-path"].objects()[0], {})
    cluster = casebook.of_kind(obj, "RayCluster") if obj["kind"] == "RayService" else obj
    cluster = _in({**cluster, "spec": {**cluster["spec"], "managedBy": IDLE}}, bound.deny)
    _label(kube, bound.deny, "off")
    eventually(lambda: bound.dry_run(cluster, bound.deny) == "", itself, is_so, Timeout.SHORT, "nothing is refused")
    kube.create(cluster)
    _label(kube, bound.deny, "deny")
    eventually(lambda: bound.dry_run(cluster, bound.deny) != "", itself, is_so, Timeout.SHORT, "it is refused again")
    name = cluster["metadata"]["name"]
    path = kube._path(RAY_CLUSTER, name, bound.deny)
    merge = "application/merge-patch+json"
    kube.request("PATCH", path, body={"metadata": {"labels": {"team": "answers"}}}, content_type=merge)
    with pytest.raises(KubeError, match="host-path: "):
        kube.request("PATCH", path, body={"spec": {"suspend": True}}, content_type=merge)
    assert kube.delete(RAY_CLUSTER, name, bound.deny)
    kube.wait_gone(RAY_CLUSTER, name, bound.deny, timeout=Timeout.SHORT)
