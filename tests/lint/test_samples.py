"""The whole rule set on manifests in the style of KubeRay's samples: no crash, and no error where none is."""

from pathlib import Path

import pytest

from rayops.lint.engine import lint
from rayops.render.sources import load
from tests.lint import admission

FOLDER = Path(__file__).parent / "samples"
SAMPLES = sorted(file.name for file in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("sample", SAMPLES)
def test_no_rule_calls_a_sample_an_error(sample: str) -> None:
    (source,) = load(FOLDER, [sample])
    report = lint([source], FOLDER)
    assert source.resources
    assert [f"{each.rule.id}: {each.message}" for each in report.findings if each.severity == "error"] == []
    assert not report.failed


def test_samples_are_of_every_kind_and_many() -> None:
    kinds = {resource.obj["kind"] for source in load(FOLDER, SAMPLES) for resource in source.resources}
    assert {"RayService", "RayCluster", "RayJob", "RayCronJob"} <= kinds
    assert len(SAMPLES) >= 15


@pytest.mark.parametrize("sample", [name for name in SAMPLES if name != "raycronjob.yaml"])
def test_no_policy_refuses_a_sample(sample: str) -> None:
    (source,) = load(FOLDER, [sample])
    of_ray = [each.obj for each in source.resources if each.obj["apiVersion"].startswith("ray.io/")]
    assert [said for obj in of_ray for said in admission.refusals(obj)] == []
