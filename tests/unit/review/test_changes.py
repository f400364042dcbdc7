"""Fields that differ are found and named; what is written differently and means the same is not."""

from typing import Any

import pytest

from rayops.review import MISSING, changes
from tests.unit.review.objects import edited, group, service

CONTAINER = "spec rayClusterConfig headGroupSpec template spec containers 0"


@pytest.mark.parametrize(
    ("path", "value", "dotted", "old", "new"),
    [
        ("spec rayClusterConfig rayVersion", "2.61.0", "spec.rayClusterConfig.rayVersion", "2.60.0", "2.61.0"),
        (
            "spec rayClusterConfig workerGroupSpecs 1 maxReplicas",
            5,
            "spec.rayClusterConfig.workerGroupSpecs[gpu].maxReplicas",
            2,
            5,
        ),
        (
            f"{CONTAINER} env 1 value",
            "3",
            "spec.rayClusterConfig.headGroupSpec.template.spec.containers[ray].env[B].value",
            "2",
            "3",
        ),
        (
            "spec serveConfigV2 applications 0 deployments 0 num_replicas",
            3,
            "spec.serveConfigV2.applications[rag].deployments[Ingress].num_replicas",
            2,
            3,
        ),
        ("metadata annotations x", "y", "metadata.annotations.x", MISSING, "y"),
        ("spec serveService spec ports 0 port", "8000", "spec.serveService.spec.ports[serve].port", 8000, "8000"),
    ],
)
def test_a_field_has_its_path_and_both_values(path: str, value: Any, dotted: str, old: Any, new: Any) -> None:
    (found,) = changes([service()], [edited(service(), path, value)])
    assert (found.dotted, found.old, found.new) == (dotted, old, new)
    assert found.obj == "RayService rag/rag"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{CONTAINER} resources requests cpu", "1000m"),
        (f"{CONTAINER} resources requests memory", "2048Mi"),
        ("spec suspend", None),
        ("spec rayClusterConfig workerGroupSpecs 0 replicas", 1),
    ],
)
def test_the_same_written_differently_is_no_change(path: str, value: Any) -> None:
    assert changes([service()], [edited(service(), path, value)]) == []


def test_a_quantity_elsewhere_is_text() -> None:
    """rayStartParams are words for `ray start`: 2 and 2.0 are two values there."""
    path = "spec rayClusterConfig workerGroupSpecs 0 rayStartParams num-cpus"
    assert len(changes([service()], [edited(service(), path, "2000m")])) == 1


def groups(*names: str) -> dict[str, Any]:
    return edited(service(), "spec rayClusterConfig workerGroupSpecs", [group(name, 3) for name in names])


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [
        (["a", "b"], ["a", "b", "c"], ["[c]"]),
        (["a", "b"], ["a", "c", "b"], ["[order]", "[c]"]),
        (["a", "b"], ["b", "a"], ["[order]"]),
        (["a", "b"], ["a"], ["[b]"]),
        (["a", "b"], ["b"], ["[a]"]),
    ],
)
def test_order_is_told_apart_from_what_is_appended(before: list[str], after: list[str], ends: list[str]) -> None:
    assert [found.path[-1] for found in changes([groups(*before)], [groups(*after)])] == ends


def test_a_list_without_names_is_one_change() -> None:
    before = edited(service(), f"{CONTAINER} args", ["a", "b"])
    (found,) = changes([before], [edited(before, f"{CONTAINER} args", ["b", "a"])])
    assert found.path[-1] == "args"


def test_a_comment_in_the_serve_config_is_told_as_one() -> None:
    text = "# why\n" + service()["spec"]["serveConfigV2"]
    (found,) = changes([service()], [edited(service(), "spec serveConfigV2", text)])
    assert found.path[-1] == "[text]"
    (found,) = changes([service()], [edited(service(), "spec serveConfigV2", "a: [")])
    assert found.path == ("spec", "serveConfigV2")


def test_objects_that_come_and_go() -> None:
    other = edited(service(), "metadata namespace", "rag-2")
    come, gone = changes([service()], [other])
    assert (come.obj, come.old, come.path) == ("RayService rag-2/rag", MISSING, ())
    assert (gone.obj, gone.new) == ("RayService rag/rag", MISSING)
