"""Resources and requests as KubeRay's own code writes them into the pods that it would create."""

import json
import shlex

import pytest

from rayops import kuberay
from rayops.fit import capacity, pod_requests
from rayops.fit.cluster import groups_of
from rayops.fit.workers import ray_node
from rayops.kuberay import Operator
from tests.e2e.packing import cases
from tests.unit.fit.objects import Obj, group, pod, service

SERVE = "applications: [{name: a, import_path: 'a:b'}]"
FLAGS = {"--num-cpus": "CPU", "--num-gpus": "GPU", "--memory": "memory"}


def started(made: Obj) -> dict[str, float]:
    """What `ray start` of a pod says of its resources."""
    env = {each["name"]: each.get("value") for each in made["spec"]["containers"][0]["env"]}
    command = str(env["KUBERAY_GEN_RAY_START_CMD"])
    found: dict[str, float] = {}
    for word in shlex.split(command):
        flag, _, value = word.partition("=")
        if flag in FLAGS:
            found[FLAGS[flag]] = float(value)
        if flag == "--resources":
            found |= {name: float(each) for name, each in json.loads(value).items()}
    return found


def asked(objects: list[Obj]) -> list[tuple[Obj, ...]]:
    """Of an operator with KubeRay's own defaults: its init container waits for the GCS."""
    answers = kuberay.ask(objects, operator=Operator())
    assert [each.problems for each in answers] == [()] * len(objects)
    return [each.pods for each in answers]


def named(obj: Obj) -> Obj:
    """Complete enough for KubeRay: images, and the ports of no matter."""
    for each in groups_of(obj["spec"]["rayClusterConfig"]):
        for container in each.pod["containers"]:
            container["image"] = "r/p:1"
    obj["spec"]["serveConfigV2"] = obj["spec"]["serveConfigV2"] or SERVE
    obj["metadata"]["namespace"] = "n"
    return obj


def test_the_resources_of_ray_are_those_of_ray_start() -> None:
    """Of random groups that say them in limits, in requests, in rayStartParams and in the group's resources."""
    objects = [named(one.service()) for one in cases(3, 60)]
    for obj, pods in zip(objects, asked(objects), strict=True):
        for each in list(groups_of(obj["spec"]["rayClusterConfig"]))[1:]:
            made = next(pod for pod in pods if pod["metadata"]["labels"]["ray.io/group"] == each.name)
            node = ray_node(each)
            said = {name: value for name, value in started(made).items() if value}
            assert said == {name: value for name, value in node.resources.items() if value}, each.spec


CONTAINER = {"name": "more", "image": "r/p:1", "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}}}


def with_more(template: Obj) -> Obj:
    template["spec"]["containers"].append(CONTAINER)
    template["spec"]["initContainers"] = [{**CONTAINER, "name": "first", "resources": {"requests": {"cpu": "3"}}}]
    return template


@pytest.mark.parametrize(
    "obj",
    [
        service(group()),
        service(group(), enableInTreeAutoscaling=True),
        service(group(), enableInTreeAutoscaling=True, autoscalerOptions={"resources": {"requests": {"cpu": "1"}}}),
        service(group(template=pod(cpu="100m", memory="64Mi"))),
        service(group(template=with_more(pod(**{"nvidia.com_gpu": "2"})))),
    ],
)
def test_requests_are_those_of_the_pods_that_kuberay_makes(obj: Obj) -> None:
    (pods,) = asked([named(obj)])
    found = capacity(obj)
    for made, each in zip(pods, ("head", "cpu"), strict=True):
        assert pod_requests(made["spec"]) == found.group(each).requests, each
