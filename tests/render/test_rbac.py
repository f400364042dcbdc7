"""base/platform/cluster-roles and rbac as rendered: who gets which role where, and what no role grants."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import Obj, of_kind, render
from tests.harness.access import Action, allowed
from tests.harness.roles import GROUPS, MAY, MUST_NOT

Compose = Callable[..., Path]


@pytest.fixture(scope="module")
def roles(kustomize: Path) -> dict[str, Obj]:
    found = render(ROOT / "base/platform/cluster-roles", binary=kustomize)
    return {role["metadata"]["name"]: role for role in found}


def test_the_roles_are_those_of_the_table(roles: dict[str, Obj]) -> None:
    assert set(roles) == set(MAY) == set(MUST_NOT) == set(GROUPS)
    for role in roles.values():
        assert role["metadata"]["annotations"] == {"argocd.argoproj.io/sync-wave": "-20"}
        assert "aggregationRule" not in role


@pytest.mark.parametrize("role", MAY)
def test_a_role_grants_what_it_is_for_and_nothing_else(role: str, roles: dict[str, Obj]) -> None:
    rules = roles[role]["rules"]
    assert not [str(action) for action in MAY[role] if not allowed(rules, action)]
    assert not [str(action) for action in MUST_NOT[role] if allowed(rules, action)]
    for rule in rules:
        assert set(rule) == {"apiGroups", "resources", "verbs"}
        assert not [value for values in rule.values() for value in values if "*" in value], "no wildcard"


def test_the_table_sees_a_rule_too_many() -> None:
    exec_too = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}]
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    assert allowed(exec_too, Action("create", "pods/exec"))
    assert not allowed(exec_too, Action("create", "pods"))
    assert all(allowed(everything, action) for action in MUST_NOT["ray-platform"])


@pytest.mark.parametrize("owner", ["rag", "support-assistant"])
def test_the_groups_are_bound_in_the_pipeline_s_namespace_alone(owner: str, compose: Compose, kustomize: Path) -> None:
    folder = compose("base/platform/rbac", "base/rayservice")
    file = folder / "kustomization.yaml"
    overlay = yaml.safe_load(file.read_text().replace("pipeline=rag", f"pipeline={owner}"))
    file.write_text(yaml.safe_dump(overlay | {"namespace": owner}))
    objects = render(folder, binary=kustomize)
    bindings = of_kind(objects, "RoleBinding")
    found = {binding["roleRef"]["name"]: binding for binding in bindings}
    assert len(bindings) == len(found)
    for role, group in GROUPS.items():
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group.format(pipeline=owner)}
        assert found[role]["subjects"] == [subject]
        assert found[role]["roleRef"]["kind"] == "ClusterRole"
        assert found[role]["metadata"]["namespace"] == owner
        assert found[role]["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] == "-20"
    assert not of_kind(objects, "ClusterRoleBinding")


def test_every_binding_of_an_overlay_finds_its_role(
    environment: Path, rendered: Callable[[Path], list[Obj]], pipelines_of: Callable[[Path], list[Path]]
) -> None:
    """A binding to a role that nobody applies is no error of Kubernetes': it just grants nothing."""
    platform = environment / "platform"
    there = (ROOT / platform / "kustomization.yaml").exists()
    applied = {obj["metadata"]["name"] for obj in of_kind(rendered(platform), "ClusterRole")} if there else set()
    for pipeline in pipelines_of(environment):
        for binding in of_kind(rendered(pipeline), "RoleBinding"):
            if binding["roleRef"]["name"] in GROUPS:
                assert binding["roleRef"]["name"] in applied, pipeline
