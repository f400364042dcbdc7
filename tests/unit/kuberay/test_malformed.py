"""What is no object of KubeRay: one clear error that names the field, for each object on its own."""

from typing import Any

import pytest

from rayops import kuberay
from rayops.errors import RayopsError
from tests.unit.kuberay.objects import Edit, cluster, job, put, service

HEAD = "headGroupSpec/template/spec/containers/0"

BAD: dict[str, tuple[Edit, str]] = {
    "unknown-field-of-the-spec": (put("/spec/serveConfig", "x"), "spec.serveConfig: unknown field"),
    "unknown-field-of-a-container": (
        put(f"{HEAD}/imagee", "x"),
        "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0].imagee: unknown field",
    ),
    "unknown-field-of-the-metadata": (put("/metadata/label", {}), 'unknown field "metadata.label"'),
    "other-case": (put("/spec/rayclusterconfig", {}), "spec.rayclusterconfig: unknown field"),
    "text-for-a-number": (
        put("workerGroupSpecs/0/replicas", "two"),
        "spec.rayClusterConfig.workerGroupSpecs[0].replicas: must be of type integer",
    ),
    "number-for-text": (put("rayVersion", 2.6), "spec.rayClusterConfig.rayVersion: must be of type string"),
    "map-for-a-list": (put("workerGroupSpecs", {}), "spec.rayClusterConfig.workerGroupSpecs: must be of type array"),
    "text-for-a-spec": (put("/spec", "x"), "spec: must be of type object"),
    "text-for-metadata": (put("/metadata", "x"), "metadata: must be of type object"),
    "number-for-a-label": (put("/metadata/labels", {"a": 1}), "metadata.labels"),
    "no-quantity": (
        put(f"{HEAD}/resources/limits/cpu", "many"),
        "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0].resources.limits.cpu",
    ),
    "number-for-env": (
        put(f"{HEAD}/env", [{"name": "A", "value": 1}]),
        "spec.rayClusterConfig.headGroupSpec.template.spec.containers[0].env[0].value: must be of type string",
    ),
    "another-kind": (put("/kind", "Deployment"), "kind: Deployment is no kind of KubeRay"),
    "kind-of-a-number": (put("/kind", 5), "kind"),
    "another-version": (put("/apiVersion", "ray.io/v1alpha1"), "apiVersion: ray.io/v1alpha1 is not ray.io/v1"),
    "no-number": (put("/spec/serveConfigV2", float("nan")), "cannot be written as JSON"),
}


@pytest.mark.parametrize("name", BAD)
def test_the_error_names_the_field(name: str) -> None:
    edit, said = BAD[name]
    with pytest.raises(RayopsError) as raised:
        kuberay.ask([service(edit)])
    assert said in raised.value.message
    assert "\n" not in raised.value.message


def test_one_bad_object_leaves_the_others_their_answers() -> None:
    good, bad, job_too = kuberay.ask_each([cluster(), service(BAD["unknown-field-of-the-spec"][0]), job()])
    assert isinstance(good, kuberay.Answer)
    assert isinstance(bad, RayopsError)
    assert isinstance(job_too, kuberay.Answer)
    assert good.hash == job_too.hash != ""


@pytest.mark.parametrize("value", [None, {}, [], "", 0, [{}], {"a": {"b": None}}])
@pytest.mark.parametrize("path", ["/spec", "/metadata", "headGroupSpec", "workerGroupSpecs", HEAD, "/apiVersion"])
def test_any_value_in_any_place_gives_an_answer_or_one_error(path: str, value: Any) -> None:
    (answer,) = kuberay.ask_each([service(put(path, value))])
    assert isinstance(answer, kuberay.Answer | RayopsError)
    if isinstance(answer, RayopsError):
        assert answer.message.startswith("RayService")


@pytest.mark.parametrize("depth", [500, 100_000])
def test_a_deep_value_ends_in_one_error(depth: int) -> None:
    deep: Any = {}
    for _ in range(depth):
        deep = {"a": deep}
    obj = service()
    obj["spec"]["serveConfigV2"] = deep
    (answer,) = kuberay.ask_each([obj])
    assert isinstance(answer, RayopsError)


def test_a_date_that_yaml_made_of_text_is_text() -> None:
    import datetime

    (answer,) = kuberay.ask([service(put("/metadata/annotations", {"since": datetime.date(2026, 1, 1)}))])
    assert answer.problems == ()


def test_status_of_an_object_from_a_cluster_is_left_out() -> None:
    (answer,) = kuberay.ask([service(put("/status", {"anything": 1}))])
    assert answer.hash == kuberay.ask([service()])[0].hash


def test_a_panic_of_the_operator_is_a_problem() -> None:
    """SidecarMode beside clusterSelector: validation.go looks into a spec that is not there."""
    edits = put("/spec/submissionMode", "SidecarMode"), put("/spec/clusterSelector", {"ray.io/cluster": ""})
    broken = job(*edits)
    del broken["spec"]["rayClusterSpec"]
    (answer,) = kuberay.ask([broken])
    assert answer.problems
