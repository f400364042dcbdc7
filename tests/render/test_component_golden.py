"""What each component changes, written down: tests/render/golden/components, refreshed by --update-golden."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import render
from tests.render.changes import changes
from tests.render.conftest import PLATFORM

Compose = Callable[..., Path]
GOLDEN = Path(__file__).parent / "golden/components"
SERVICE, JOB = "base/rayservice", "base/rayjob"
# Seen alone these would show nothing, or less than they do: what they go with, before them and last.
BEFORE = {
    "external-secrets": ["base/components/token-auth"],
    "secrets-sops": ["base/components/token-auth"],
    "incremental-upgrade": ["base/components/autoscaling"],
}
LAST = {"batch": JOB, "priority-batch": JOB, "shared-volume": JOB}
PARTS = ("base/components", "base/platform")  # the other components are whole objects: golden files of the overlays


def is_part(component: Path) -> bool:
    return any(component.is_relative_to(part) for part in PARTS) and str(component) not in PLATFORM


class Flat(yaml.SafeDumper):
    """Without anchors and aliases: each place is read by itself."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def written(component: Path, compose: Compose, kustomize: Path) -> str:
    before, last = BEFORE.get(component.name, []), LAST.get(component.name, SERVICE)
    without = render(compose(*before, last), binary=kustomize)
    found = changes(without, render(compose(*before, component, last), binary=kustomize))
    parts = ", ".join([*before, last])
    return f"# What {component} changes in the local rag cluster of {parts}.\n" + yaml.dump(
        found, Dumper=Flat, sort_keys=False, width=120
    )


def test_golden_component(component: Path, compose: Compose, kustomize: Path, request: pytest.FixtureRequest) -> None:
    if not is_part(component):
        return
    golden = GOLDEN / f"{component.name}.yaml"
    text = written(component, compose, kustomize)
    if request.config.getoption("--update-golden", default=False):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    again = f"pytest tests/render --update-golden -k {component.name}"
    assert golden.exists(), f"{component} has no golden file; {again}"
    assert golden.read_text() == text, f"{component} changes something else than is written down; if meant: {again}"


def test_golden_files_have_their_component() -> None:
    names = {path.name for folder in PARTS for path in (ROOT / folder).iterdir()}
    assert [file.stem for file in GOLDEN.glob("*.yaml") if file.stem not in names] == []


def cluster(**group: Any) -> dict[str, Any]:
    groups = [{"groupName": name, **group} for name in ("cpu", "gpu")]
    return {
        "kind": "RayService",
        "metadata": {"name": "a"},
        "spec": {"ports": [1], "rayClusterConfig": {"workerGroupSpecs": groups}},
    }


def test_golden_form_names_fields_and_says_what_all_groups_have_once() -> None:
    after = cluster(env=[{"name": "X", "value": "1"}])
    after["spec"]["ports"] = [1, 2]
    pod, volume = {"kind": "Pod", "metadata": {"name": "p"}}, {"kind": "Volume", "metadata": {"name": "v"}}
    assert changes([cluster(env=[{"name": "X", "value": "0"}]), pod], [after, volume]) == {
        "removed": ["Pod p"],
        "changed": {
            "RayService a": {
                "- spec.ports": [1],
                "+ spec.ports": [1, 2],
                "- cluster.workerGroupSpecs[*].env[X].value": "0",
                "+ cluster.workerGroupSpecs[*].env[X].value": "1",
            }
        },
        "added": [volume],
    }


def job(env: list[dict[str, str]], **pod: Any) -> dict[str, Any]:
    head = {"template": {"spec": {"containers": [{"name": "ray", "env": env}]}}}
    group = {"groupName": "cpu", "template": {"spec": pod}}
    spec = {"rayClusterSpec": {"headGroupSpec": head, "workerGroupSpecs": [group]}}
    return {"kind": "RayJob", "metadata": {"name": "a"}, "spec": spec}


def test_golden_form_begins_a_path_with_the_pod_and_says_a_variable_in_a_line() -> None:
    kept, added = {"name": "X", "value": "1"}, {"name": "Y", "value": "2"}
    assert changes([job([kept])], [job([kept, added], hostNetwork=True)])["changed"]["RayJob a"] == {
        "+ head.containers[ray].env[Y]": "2",
        "+ workers[cpu].hostNetwork": True,
    }


def test_golden_form_keeps_groups_apart_that_differ() -> None:
    after = cluster()
    after["spec"]["rayClusterConfig"]["workerGroupSpecs"][1]["maxReplicas"] = 1
    changed = changes([cluster()], [after])["changed"]
    assert changed == {"RayService a": {"+ cluster.workerGroupSpecs[gpu].maxReplicas": 1}}
