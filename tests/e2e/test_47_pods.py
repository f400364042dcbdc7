"""`rayops pods` tells the pods that the operator creates, field by field, for many shapes of Ray's objects.

The pods are gated: they are created, never scheduled, so that this needs no CPU.
"""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from rayops import kuberay
from rayops.kube import Kube, Obj, Timeout, eventually
from rayops.kube.objects import NAMESPACE, POD, RAY_CLUSTER, Kind, kind_of, name_of
from rayops.paths import ROOT
from rayops.render import of_kind, one, render
from tests.harness import predicted

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
HELLO, BATCH = ROOT / "overlays/local/hello", ROOT / "overlays/local/embeddings-batch"
# Finalizers of GCS fault tolerance wait for a cleanup that cannot run here: its pod would be gated as well.
FINALIZED = "ray.io/gcs-ft-redis-cleanup-finalizer"
HASH = "ray.io/hash-without-replicas-and-workers-to-delete"
Edit = Callable[[Obj], None]


def service() -> Obj:
    return one(render(HELLO), "RayService")


def spec_of(obj: Obj) -> Obj:
    spec: Obj = obj["spec"]
    return spec.get("rayClusterConfig") or spec.get("rayClusterSpec") or spec


def cluster(edit: Edit) -> Callable[[], Obj]:
    """hello's cluster as a RayCluster of its own, changed."""

    def make() -> Obj:
        spec = copy.deepcopy(service()["spec"]["rayClusterConfig"])
        edit(spec)
        return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "pods"}, "spec": spec}

    return make


def head(spec: Obj) -> Obj:
    found: Obj = spec["headGroupSpec"]
    return found


def container(group: Obj) -> Obj:
    found: Obj = group["template"]["spec"]["containers"][0]
    return found


def no_autoscaler(spec: Obj) -> None:
    """What hello's environment brings for the autoscaler, away; and no rayStartParams at all."""
    spec.pop("autoscalerOptions", None)
    spec["enableInTreeAutoscaling"] = False
    for group in [head(spec), *spec["workerGroupSpecs"]]:
        group.pop("rayStartParams", None)


def autoscaler(spec: Obj) -> None:
    spec["enableInTreeAutoscaling"] = True
    spec["autoscalerOptions"] = {
        "version": "v2",
        "idleTimeoutSeconds": 90,
        "image": "local/autoscaler:1",
        "imagePullPolicy": "Never",
        "env": [{"name": "LEVEL", "value": "debug"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "resources": {"requests": {"cpu": "0.05", "memory": "128Mi"}, "limits": {"cpu": 1, "memory": "1G"}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    head(spec)["template"]["spec"].pop("restartPolicy", None)


def redis(spec: Obj) -> None:
    """GCS fault tolerance with a user and a password, under the cluster's UID."""
    no_autoscaler(spec)
    secret = {"valueFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}}
    spec["gcsFaultToleranceOptions"] = {
        "redisAddress": "redis:6379",
        "redisUsername": {"value": "ray"},
        "redisPassword": secret,
    }


def token(spec: Obj) -> None:
    spec["authOptions"] = {"mode": "token"}


def multi_host(spec: Obj) -> None:
    no_autoscaler(spec)
    spec["workerGroupSpecs"][0] |= {"numOfHosts": 3, "replicas": 1, "minReplicas": 1, "maxReplicas": 2}


def by_hand(spec: Obj) -> None:
    """What users write themselves: Ray's resources and labels, own probes and ports, volumes, a command, old Ray."""
    no_autoscaler(spec)
    spec["rayVersion"] = "2.40.0"  # probes by wget
    group = spec["workerGroupSpecs"][0]
    group["resources"] = {"CPU": "3", "memory": "1Gi", "special": "2"}
    group["labels"] = {"zone": "b", "arch": "amd64"}
    worker = container(group)
    for key in ("livenessProbe", "readinessProbe", "lifecycle"):
        worker.pop(key, None)
    worker["command"], worker["args"] = ["echo", "first"], ["and second"]
    worker["ports"] = [{"containerPort": 9000, "name": "serve"}]
    head(spec)["rayStartParams"] = {"port": "6380", "plasma-directory": "/srv/plasma", "dashboard-host": "127.0.0.1"}
    container(head(spec)).pop("readinessProbe", None)
    limits = container(head(spec)).setdefault("resources", {}).setdefault("limits", {})
    limits["cpu"] = "1500m"


def gpus(spec: Obj) -> None:
    """A group with GPUs and one with another vendor's accelerator."""
    no_autoscaler(spec)
    for group, name in zip(spec["workerGroupSpecs"], ("nvidia.com/gpu", "google.com/tpu"), strict=False):
        resources = container(group).setdefault("resources", {})
        for kind in ("limits", "requests"):
            resources.setdefault(kind, {})[name] = 4


def job(mode: str) -> Callable[[], Obj]:
    def make() -> Obj:
        found = one(render(BATCH), "RayJob")
        found["spec"] |= {"submissionMode": mode, "suspend": False}
        found["spec"].pop("submitterPodTemplate", None)
        found["spec"].pop("submitterConfig", None)
        if mode == "SidecarMode":
            head(spec_of(found))["template"]["spec"].pop("restartPolicy", None)
            found["spec"] |= {"backoffLimit": 0, "jobId": "one"}
        return found

    return make


SUBJECTS: dict[str, Callable[[], Obj]] = {
    "service": service,
    "cluster-plain": cluster(no_autoscaler),
    "cluster-autoscaler": cluster(autoscaler),
    "cluster-redis": cluster(redis),
    "cluster-token": cluster(token),
    "cluster-multi-host": cluster(multi_host),
    "cluster-by-hand": cluster(by_hand),
    "cluster-gpus": cluster(gpus),
    "job-k8s": job("K8sJobMode"),
    "job-sidecar": job("SidecarMode"),
}


def gated(obj: Obj) -> Obj:
    """Pods that wait for a gate that nobody opens; one of each group."""
    spec = spec_of(obj)
    for group in [head(spec), *spec["workerGroupSpecs"]]:
        group["template"]["spec"]["schedulingGates"] = [{"name": "rayops.io/test"}]
    for group in spec["workerGroupSpecs"]:
        hosts = int(group.get("numOfHosts", 1))
        group |= {
            "replicas": 1,
            "minReplicas": 1,
            "maxReplicas": max(1, int(group.get("maxReplicas", 1))),
            "numOfHosts": hosts,
        }
    return obj


@pytest.fixture
def room(kube: Kube, namespace: str) -> str:
    """A namespace without pod security: KubeRay's submitter in SidecarMode has no security context at all."""
    kube.patch(
        NAMESPACE, namespace, None, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}
    )
    return namespace


@pytest.mark.parametrize("subject", SUBJECTS)
def test_predicted_pods_are_the_live_ones(kube: Kube, room: str, subject: str, record: Callable[..., Any]) -> None:
    obj = gated(SUBJECTS[subject]())
    obj["metadata"]["namespace"] = room
    (answer,) = kuberay.ask([obj], operator=kuberay.operator_of("local"))
    assert answer.problems == ()
    try:
        create(kube, room, obj, len(answer.pods))
        assert predicted.differences(kube, room, name_of(obj), answer.pods) == []
        if obj["kind"] == "RayService":
            (child,) = kube.list(RAY_CLUSTER, room)
            assert child["metadata"]["annotations"][HASH] == answer.hash
        record(pods=len(answer.pods))
    finally:
        release(kube, room, kind_of(obj), name_of(obj))


def test_an_operator_with_other_settings_is_noticed(kube: Kube, room: str) -> None:
    obj = gated(SUBJECTS["cluster-plain"]())
    obj["metadata"]["namespace"] = room
    (answer,) = kuberay.ask([obj], operator=kuberay.Operator())  # its defaults: it injects an init container
    try:
        create(kube, room, obj, len(answer.pods))
        found = predicted.differences(kube, room, name_of(obj), answer.pods)
        assert found
        assert all("initContainers" in line for line in found), found
    finally:
        release(kube, room, kind_of(obj), name_of(obj))


def create(kube: Kube, namespace: str, obj: Obj, pods: int) -> None:
    """Apply the object, with the accounts that its pods have, and wait until the operator has created the pods."""
    accounts = of_kind([*render(HELLO), *render(BATCH)], "ServiceAccount")
    for account in accounts:
        account["metadata"]["namespace"] = namespace
    kube.apply([*accounts, obj], namespace=namespace)
    eventually(
        lambda: kube.list(POD, namespace, labels={"ray.io/is-ray-node": "yes"}),
        len,
        lambda count: count >= pods,
        Timeout.SHORT,
        f"the operator creates {pods} pods",
    )


def release(kube: Kube, namespace: str, kind: Kind, name: str) -> None:
    """Delete the object, and take away finalizers of clusters whose cleanup would never run."""
    kube.delete(kind, name, namespace)
    for each in kube.list(RAY_CLUSTER, namespace):
        if FINALIZED in (each["metadata"].get("finalizers") or []):
            kube.patch(RAY_CLUSTER, name_of(each), namespace, {"metadata": {"finalizers": []}})
