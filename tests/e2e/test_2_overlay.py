"""The overlay as it is in Git: what is in the cluster is what it says, it answers, and its GPU group scales."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager

import pytest

from rayops.kube import Kube, Obj, Timeout, dig, equals, eventually
from rayops.kube.objects import GROUP_LABEL, POD, kind_of, name_of
from rayops.paths import ROOT
from rayops.render import name_of as title
from rayops.render import one
from tests.harness import Cluster, ServiceUnderTest, differences, getters, gpu, pod_template_differences, selectors

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
OVERLAY = ROOT / "overlays" / "local" / "rag"

# Runs on the head, which has no CPUs of Ray's own: the task can only run on a GPU worker.
GPU_TASK = """
import os, time, ray
ray.init(address="auto", log_to_driver=False)
@ray.remote(num_gpus=1, num_cpus=0)
def where():
    time.sleep(2)
    return os.uname().nodename, ray.get_gpu_ids()
print("RAN-ON", *ray.get(where.remote(), timeout=150))
"""


@pytest.fixture(scope="module")
def service(
    cluster: Cluster, kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> Iterator[ServiceUnderTest]:
    with new_namespace("overlay") as namespace:
        yield ServiceUnderTest.deploy(cluster, kube, namespace, OVERLAY)


def test_a_question_is_answered_from_the_right_source(service: ServiceUnderTest) -> None:
    answer = service.ask("What does the operator do after a ValidationFailed, does it retry on its own?")
    assert answer.ok, answer
    documents = [source["document"] for source in answer.body["sources"]]
    assert "base/observability/runbooks/rayservice-not-ready.md" in documents
    assert answer.body["answer"]


def test_every_object_is_as_the_overlay_says(service: ServiceUnderTest, kube: Kube) -> None:
    wrong = {}
    for wanted in service.objects:
        live = kube.get(kind_of(wanted), wanted["metadata"]["name"], wanted["metadata"].get("namespace"))
        if lines := differences(wanted, live):
            wrong[title(wanted)] = lines
    assert not wrong


def test_applying_it_again_is_no_change(service: ServiceUnderTest, kube: Kube) -> None:
    """A sync every few minutes must not be a new generation: the operator's own update adds nothing to ours."""

    def generations() -> list[object]:
        found = [kube.get(kind_of(o), name_of(o), o["metadata"].get("namespace")) for o in service.objects]
        return [dig(obj, "metadata", "generation") for obj in found]

    before = generations()
    kube.apply(service.objects)
    assert generations() == before


def test_the_cluster_and_its_pods_are_as_the_overlay_says(service: ServiceUnderTest, kube: Kube) -> None:
    spec = one(service.objects, "RayService")["spec"]["rayClusterConfig"]
    (live,) = getters.ray_clusters(kube, service.namespace)()
    # The autoscaler writes `replicas`, and only it.
    groups = [{k: v for k, v in group.items() if k != "replicas"} for group in spec["workerGroupSpecs"]]
    assert not differences({**spec, "workerGroupSpecs": groups}, live["spec"])
    templates = {group["groupName"]: group["template"] for group in groups} | {
        "headgroup": spec["headGroupSpec"]["template"]
    }
    pods = kube.list(POD, service.namespace)
    assert {pod["metadata"]["labels"][GROUP_LABEL] for pod in pods} == {"headgroup", "cpu"}
    for pod in pods:
        assert not pod_template_differences(templates[pod["metadata"]["labels"][GROUP_LABEL]], pod), name_of(pod)


def test_live_containers_may_nothing(service: ServiceUnderTest, kube: Kube) -> None:
    for pod in kube.list(POD, service.namespace):
        assert dig(pod, "spec", "securityContext", "runAsNonRoot") is True, name_of(pod)
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            context = container.get("securityContext", {})
            assert context.get("allowPrivilegeEscalation") is False, (name_of(pod), container["name"])
            assert dig(context, "capabilities", "drop") == ["ALL"], (name_of(pod), container["name"])
        who = kube.exec(service.namespace, name_of(pod), ["id", "-u"])
        assert who.ok
        assert who.stdout.strip() != "0", name_of(pod)


def test_a_gpu_task_brings_a_worker_and_it_leaves_again(service: ServiceUnderTest, kube: Kube) -> None:
    running = service.group("gpu")
    assert running() == []
    head = name_of(getters.head_pod(kube, service.namespace, service.active()))
    with gpu.advertised_gpus(kube, 1) as node, ThreadPoolExecutor(1) as background:
        task = background.submit(kube.exec, service.namespace, head, ["python", "-c", GPU_TASK], timeout_s=170)
        eventually(running, selectors.running_pods, equals(1), Timeout.MEDIUM, "a GPU worker runs")
        (worker,) = running()
        assert _limits(worker)["nvidia.com/gpu"] == "1"
        assert worker["spec"]["nodeName"] == node
        done = task.result()
        assert done.ok, done
        assert f"RAN-ON {name_of(worker)} [0]" in done.stdout
        eventually(running, len, equals(0), Timeout.MEDIUM, "the idle GPU worker is gone")
    assert service.ask("What is a RayService?").ok


def _limits(pod: Obj) -> Obj:
    limits: Obj = pod["spec"]["containers"][0]["resources"]["limits"]
    return limits
