from typing import Any

import pytest

from tests.harness import differences, pod_template_differences, quantity


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"a": 1}, {"a": 1, "added": 2}),
        ({"cpu": 2, "memory": "1Gi"}, {"cpu": "2", "memory": "1024Mi"}),
        ({"cpu": "0.5"}, {"cpu": "500m"}),
        ({"metadata": {}}, {}),
        ({"c": [{"name": "b", "x": 1}]}, {"c": [{"name": "a"}, {"name": "b", "x": 1}]}),
        ({"groups": [{"groupName": "gpu", "max": 2}]}, {"groups": [{"groupName": "gpu", "max": 2, "min": 0}]}),
        (
            {"mounts": [{"name": "v", "mountPath": "/b"}]},
            {"mounts": [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]},
        ),
    ],
)
def test_what_controllers_add_is_no_difference(wanted: object, live: object) -> None:
    assert differences(wanted, live) == []


@pytest.mark.parametrize(
    ("wanted", "live", "line"),
    [
        ({"spec": {"replicas": 2}}, {"spec": {"replicas": 1}}, "spec.replicas: wanted 2, is 1"),
        ({"a": {"b": 1}}, {"a": None}, "a: wanted {'b': 1}, is None"),
        ({"c": [{"name": "x"}]}, {"c": [{"name": "y"}]}, "c[x]: wanted, is not there"),
        ({"c": ["a", "b"]}, {"c": ["a"]}, "c[1]: wanted, is not there"),
        ({"drop": ["ALL"]}, {"drop": ["NET_RAW"]}, "drop[0]: wanted 'ALL', is 'NET_RAW'"),
        ({"x": True}, {}, "x: wanted True, is None"),
        ({"memory": "1Gi"}, {"memory": "1G"}, "memory: wanted '1Gi', is '1G'"),
    ],
)
def test_what_is_not_so_is_told(wanted: object, live: object, line: str) -> None:
    assert differences(wanted, live) == [line]


def test_the_start_command_of_a_ray_container_is_the_operators() -> None:
    container = {"name": "ray", "image": "img:1", "command": ["ours"]}
    init = {"name": "wait", "command": ["bash"]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"initContainers": [init], "containers": [container]}}
    pod: dict[str, Any] = {
        "metadata": {"labels": {"a": "b", "ray.io/group": "cpu"}},
        "spec": {"initContainers": [init], "containers": [{"name": "ray", "image": "img:1", "command": ["theirs"]}]},
    }
    assert pod_template_differences(template, pod) == []
    pod["spec"]["initContainers"] = [{"name": "wait", "command": ["sh"]}]
    assert len(pod_template_differences(template, pod)) == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("250m", 0.25),
        ("2Gi", 2**31),
        (1, 1.0),
        ("1e3", 1000.0),
        ("80000000", 8e7),
        ("local", None),
        ("", None),
        (True, None),
    ],
)
def test_quantities(text: object, number: float | None) -> None:
    assert quantity(text) == number
