"""The scanners that people trust, on the pods that they cannot see in Ray's own kinds: `./scripts/test --scan`."""

import copy
import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops import kuberay
from rayops.paths import ROOT
from rayops.render import Obj, one, render
from tests.scan.scanners import Finding, scan

pytestmark = [pytest.mark.scan, pytest.mark.timeout(600)]
ACCEPTED: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "accepted.yaml").read_text("utf-8"))
# Pods that a check is accepted for, by their names, where it is not all of a kind.
HEADS = {"CKV_K8S_8", "CKV_K8S_9", "CKV_K8S_38"}


def accepts(line: dict[str, Any], finding: Finding) -> bool:
    names = "*-head-*" if line["check"] in HEADS else "*"
    return (
        (line["scanner"], line["check"]) == (finding.scanner, finding.check)
        and finding.kind in line["kinds"]
        and fnmatch.fnmatch(finding.name, names)
    )


def test_every_finding_is_accepted_with_a_reason(findings: set[Finding]) -> None:
    assert sorted(each for each in findings if not any(accepts(line, each) for line in ACCEPTED)) == []


def test_every_line_of_the_table_is_needed(findings: set[Finding]) -> None:
    for line in ACCEPTED:
        found = {each.kind for each in findings if accepts(line, each)}
        assert found == set(line["kinds"]), f"{line['check']}: {found or 'nobody'} needs it"
        assert len(line["reason"]) > 10


def privileged(spec: Obj) -> None:
    spec["containers"][0]["securityContext"] = {"privileged": True}


def latest(spec: Obj) -> None:
    spec["containers"][0]["image"] = "registry.example.com/ray/pipeline:latest"


def of_the_host(spec: Obj) -> None:
    spec["hostNetwork"] = True


FAULTS: dict[str, tuple[Callable[[Obj], None], set[str]]] = {
    "privileged": (privileged, {"container-security-context-privileged", "CKV_K8S_16"}),
    "latest": (latest, {"container-image-tag", "CKV_K8S_14"}),
    "of-the-host": (of_the_host, {"CKV_K8S_19"}),
}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> set[Finding]:
    """What is found in RayServices with a fault in a worker, and in their pods."""
    files = {}
    whole = one(render(ROOT / "overlays/prod/hello"), "RayService")
    for name, (fault, _) in FAULTS.items():
        service = copy.deepcopy(whole)
        service["metadata"]["name"] = name
        fault(service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"])
        files[f"{name}.ray.yaml"] = yaml.safe_dump(service)
        (answer,) = kuberay.ask([service], operator=kuberay.operator_of("prod"))
        files[f"{name}.pods.yaml"] = yaml.safe_dump_all(answer.pods)
    return scan(tmp_path_factory.mktemp("faulty"), files)


def test_scanners_are_blind_to_ray(faulty: set[Finding]) -> None:
    assert {each.kind for each in faulty} == {"Pod"}


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_seen_in_the_pod_and_only_there(faulty: set[Finding], name: str) -> None:
    checks = FAULTS[name][1]
    with_it = {each.name for each in faulty if each.check in checks}
    assert with_it == {f"{name}-xxxxx-cpu-worker"}
    assert {each.check for each in faulty if each.check in checks} == checks


def test_the_whole_overlays_have_none_of_these_faults(findings: set[Finding]) -> None:
    faults = set().union(*(checks for _, checks in FAULTS.values()))
    assert not [each for each in findings if each.check in faults]
