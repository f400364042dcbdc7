from pathlib import Path
from typing import Any, cast

import yaml

from rayops.kube import Kube, Obj
from tests.harness.record import Asked, Recorder, trimmed

SERVICE: Obj = {
    "apiVersion": "ray.io/v1",
    "kind": "RayService",
    "metadata": {
        "name": "hello", "generation": 2, "uid": "4f", "managedFields": [{}],
        "annotations": {"ray.io/initializing-timeout": "10s", "example.com/other": "x"},
    },
    "spec": {
        "serveConfigV2": "applications: []",
        "rayClusterConfig": {
            "suspend": True, "headGroupSpec": {"template": {}},
            "workerGroupSpecs": [{"groupName": "cpu", "replicas": 1, "template": {}}],
        },
    },
    "status": {"activeServiceStatus": {"rayClusterStatus": {"head": {"podIP": "10.0.0.1"}, "readyWorkerReplicas": 1}}},
}  # fmt: skip


def test_what_no_health_rule_reads_is_left_out() -> None:
    assert trimmed(SERVICE) == {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": "hello", "generation": 2, "annotations": {"ray.io/initializing-timeout": "10s"}},
        "spec": {
            "serveConfigV2": "applications: []",
            "rayClusterConfig": {"suspend": True, "workerGroupSpecs": [{"groupName": "cpu", "replicas": 1}]},
        },
        "status": {"activeServiceStatus": {"rayClusterStatus": {"readyWorkerReplicas": 1}}},
    }
    new = {key: value for key, value in SERVICE.items() if key != "status"}
    assert "status" not in trimmed(new)


def test_a_file_says_how_it_came_to_be_and_holds_the_object(tmp_path: Path) -> None:
    recorder = Recorder(cast(Kube, None), "ns", tmp_path, "KubeRay 1")
    obj: Any = {**SERVICE, "status": {"message": "two\nlines"}}
    file = recorder.write("state", "It was made so.", obj)
    assert file == tmp_path / "rayservice" / "state.yaml"
    assert file.read_text().startswith("# It was made so.\n# Recorded from KubeRay 1.\napiVersion:")
    assert "|-\n" in file.read_text()
    assert yaml.safe_load(file.read_text()) == trimmed(obj)


def test_a_moment_is_judged_by_the_next_request() -> None:
    asked = Asked(lambda: True, [(1.0, 1.1, True), (2.0, 5.0, False)])
    assert asked.at(0.5) == "answered"
    assert asked.at(1.5) == "not answered within 3.0 s"
    assert asked.at(2.5) == "not asked"
