"""The Ray resources of a pod: what KubeRay writes into `ray start`."""

import pytest

from rayops.errors import RayopsError
from rayops.fit.cluster import groups_of
from rayops.fit.workers import RayNode, ray_node, selects
from tests.unit.fit.objects import Obj, group, pod, service


def node(**more: object) -> RayNode:
    spec = service(group(**more))["spec"]["rayClusterConfig"]  # type: ignore[arg-type]
    return ray_node(list(groups_of(spec))[1])


def resources(limits: Obj, requests: Obj | None = None) -> Obj:
    return {"spec": {"containers": [{"name": "ray", "resources": {"limits": limits, "requests": requests or {}}}]}}


def test_limits_come_before_requests_and_cpus_are_rounded_up() -> None:
    found = node(template=resources({"cpu": "1500m", "memory": "2Gi"}, {"cpu": "1", "memory": "1Gi"}))
    assert (found.has("CPU"), found.has("memory"), found.has("GPU")) == (2, 2 * 2**30, 0)
    assert node(template=resources({}, {"cpu": "100m"})).has("CPU") == 1


def test_what_is_nowhere_ray_measures_on_the_node() -> None:
    found = node(template=resources({}, {"memory": "1Gi"}))
    assert found.unknown == {"CPU", "memory"}
    assert found.has("CPU") == float("inf")


def test_ray_start_params_win_over_the_container() -> None:
    params = {"num-cpus": "0", "num-gpus": "3", "memory": "1000", "resources": '"{\\"disk\\": 2}"'}
    found = node(rayStartParams=params, template=pod(cpu="4", **{"nvidia.com_gpu": "1"}))
    assert [found.has(name) for name in ("CPU", "GPU", "memory", "disk", "other")] == [0, 3, 1000, 2, 0]


def test_the_groups_resources_are_ray_start_params() -> None:
    found = node(resources={"CPU": "1500m", "GPU": "2", "memory": "1Gi", "disk": "3"}, rayStartParams={})
    assert [found.has(name) for name in ("CPU", "GPU", "memory", "disk")] == [2, 2, 2**30, 3]


@pytest.mark.parametrize(
    ("name", "gpus", "tpus"),
    [
        ("nvidia.com/gpu", 2, 0),
        ("amd.com/gpu", 2, 0),
        ("nvidia.com/mig-1g.5gb", 2, 0),
        ("gpu.intel.com/i915", 0, 0),
        ("google.com/tpu", 0, 2),
    ],
)
def test_gpus_by_kuberays_names(name: str, gpus: int, tpus: int) -> None:
    found = node(template=resources({"cpu": "1", name: "2"}))
    assert (found.has("GPU"), found.has("TPU")) == (gpus, tpus)


def test_the_type_of_a_gpu_is_known_only_where_it_is_said() -> None:
    assert node(template=resources({"nvidia.com/gpu": "1"})).has("accelerator_type:L4") == float("inf")
    assert node(template=resources({"cpu": "1"})).has("accelerator_type:L4") == 0
    assert node(rayStartParams={"resources": "'{\"accelerator_type:L4\": 1}'"}).has("accelerator_type:L4") == 1


@pytest.mark.parametrize(
    ("selector", "fits"),
    [
        ({"tier": "a"}, True),
        ({"tier": "b"}, False),
        ({"tier": "!b"}, True),
        ({"tier": "in(a, b)"}, True),
        ({"tier": "!in(a,b)"}, False),
        ({"other": "x"}, False),
        ({"other": "!x"}, True),
        ({"ray.io/node-group": "cpu"}, True),
        ({"ray.io/node-group": "gpu"}, False),
        ({"ray.io/availability-zone": "z"}, True),
        ({"tier": "a", "ray.io/node-group": "gpu"}, False),
    ],
)
def test_label_selectors(selector: dict[str, str], fits: bool) -> None:
    assert selects(selector, node(labels={"tier": "a"}).labels) == fits


def test_what_cannot_be_read_is_named() -> None:
    with pytest.raises(RayopsError, match=r"^group cpu: the resources of its Ray cannot be read: .*'two'"):
        node(rayStartParams={"num-cpus": "two"})
    with pytest.raises(RayopsError, match=r"group cpu: .*rayStartParams.resources"):
        node(rayStartParams={"resources": "[1]"})
