"""The operator's upgrade: from the previous pinned version, CRDs first, under load; nobody notices.

It reinstalls the operator of the cluster, so it runs after every test with a pipeline, and ends with the pinned one.
The CRDs are applied anew on the way; whether they differ is the versions' business (1.6.1's and 1.6.2's do not).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from rayops.cluster import operator
from rayops.kube import Kube, Obj, Timeout, dig, equals, eventually, itself
from rayops.kube.objects import DEPLOYMENT, NAMESPACE, POD, RAY_CLUSTER, Kind, name_of
from rayops.paths import ROOT
from rayops.pipeline import sample_of
from rayops.render.crds import crds
from tests.harness import Cluster, Load, Request, ServiceUnderTest, faults, selectors
from tests.harness import overlay as o
from tests.harness.helpers import helper_pod, run_pods
from tests.harness.kind import OwnCluster
from tests.harness.operator import install_current, install_previous
from tests.harness.platform import reachable
from tests.render.schemas import crd_schemas

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]
OVERLAY = ROOT / "overlays" / "local" / "hello"
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
# KubeRay looks at a RayService every two seconds, and again after an event: many rounds of the new operator.
SETTLED_S = 20.0
# Helm, the API server and a new operator use the CPUs that the pipeline has: an answer may be late, none may be lost.
# How late is recorded.
PATIENCE_S = 15.0


@pytest.fixture(scope="module")
def previous(cluster: Cluster, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The previous operator and its CRDs in the cluster; its image. The pinned one is there again in the end."""
    if not isinstance(cluster, OwnCluster):
        pytest.skip("the operator of a cluster that is not ours is its owner's")
    try:
        yield install_previous(cluster.kind, tmp_path_factory.mktemp("previous"))
    finally:
        install_current(cluster.kind)


@pytest.fixture(scope="module")
def service(
    cluster: Cluster, kube: Kube, previous: str, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> Iterator[ServiceUnderTest]:
    with new_namespace("operator-upgrade") as namespace:
        yield ServiceUnderTest.deploy(cluster, kube, namespace, OVERLAY)


def test_an_upgrade_of_the_operator_costs_no_request_no_cluster_and_no_pod(
    service: ServiceUnderTest, cluster: Cluster, kube: Kube, previous: str, folder: Path, record: Callable[..., None]
) -> None:
    assert isinstance(cluster, OwnCluster)
    assert running_images(kube) == {previous}
    before, clusters, generations = pods(service, kube), service.cluster_uids(), cluster_generations(service, kube)
    with load(service, folder / "load.jsonl") as traffic:
        time.sleep(3)  # traffic before the change
        started_s = traffic.now()
        image = install_current(cluster.kind)
        upgraded_s = traffic.now()
        time.sleep(SETTLED_S)
    summary = traffic.summary()
    record(**summary.as_dict(), started_s=started_s, upgraded_s=upgraded_s)
    assert running_images(kube) == {image} != {previous}
    assert schemas(kube) == crd_schemas(crds("ray.io"))
    assert summary.sent > 50
    assert summary.failures == 0, (summary, traffic.failures[:5])
    assert service.cluster_uids() == clusters
    assert cluster_generations(service, kube) == generations, "the new operator rewrote the cluster"
    assert pods(service, kube) == before
    # The new operator does its work: it takes a change, in place.
    service.change(o.deployment("Ingress", num_replicas=3))
    eventually(
        service.serve_status(), selectors.running_replicas("Ingress"), equals(3), Timeout.MEDIUM, "three of Ingress"
    )
    assert service.cluster_uids() == clusters


def test_the_operator_reaches_heads_dns_and_the_api_server_and_only_monitoring_reaches_it(
    service: ServiceUnderTest, kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> None:
    """Its image has no shell: a pod with its labels stands in its place, and is held by the same policy."""
    ray = {dig(pod, "metadata", "labels", "ray.io/node-type"): dig(pod, "status", "podIP")
           for pod in kube.list(POD, service.namespace)}  # fmt: skip
    (own,) = faults.operator_pods(kube)()
    metrics = f"{dig(own, 'status', 'podIP')}:8080"
    needed = {f"{ray['head']}:8265", "kubernetes.default.svc:443"}
    closed = {f"{ray['head']}:6379", f"{ray['worker']}:8000", f"{ray['worker']}:8080"}
    stand_in = helper_pod("stand-in", ["sleep", "600"], dict(dig(own, "metadata", "labels")))
    del stand_in["metadata"]["labels"]["pod-template-hash"]  # or its ReplicaSet would take it for its own
    with new_namespace("watchers") as watchers:
        try:
            run_pods(kube, operator.NAMESPACE, stand_in)
            run_pods(kube, watchers, helper_pod("watcher", ["sleep", "600"]))

            def seen() -> tuple[set[str], set[str]]:
                out = reachable(kube, operator.NAMESPACE, "stand-in", sorted(needed | closed))
                return out, reachable(kube, watchers, "watcher", [metrics, *sorted(closed)])

            # The watcher's namespace is not one of monitoring yet; Ray's own doors are open in a local overlay.
            eventually(seen, itself, equals((needed, closed)), Timeout.SHORT, "only the doors of the policy are open")
            kube.patch(NAMESPACE, watchers, None, {"metadata": {"labels": {"rayops.io/monitoring": "true"}}})
            eventually(
                lambda: reachable(kube, watchers, "watcher", [metrics]),
                itself,
                equals({metrics}),
                Timeout.SHORT,
                "monitoring reads the metrics",
            )
        finally:
            kube.delete(POD, "stand-in", operator.NAMESPACE, grace_s=0)


def load(service: ServiceUnderTest, log: Path) -> Load:
    """The pipeline's sample, again and again, each on a connection of its own."""
    sample = sample_of(service.name)
    request = Request(sample.body)
    return Load(f"{service.url}{sample.path}", [request], log=log, rate=5, keep_alive=False, timeout_s=PATIENCE_S)


def running_images(kube: Kube) -> set[str]:
    """What the operator's Deployment runs, by name and tag."""
    deployment = kube.get(DEPLOYMENT, "kuberay-operator", operator.NAMESPACE)
    assert dig(deployment, "status", "availableReplicas", default=0) >= 1
    return selectors.images(faults.operator_pods(kube)())


def schemas(kube: Kube) -> dict[tuple[str, str, str], Obj]:
    """The schemas that the API server serves of Ray's kinds."""
    return crd_schemas([kube.get(CRD, name_of(crd)) for crd in crds("ray.io")])


def pods(service: ServiceUnderTest, kube: Kube) -> dict[str, tuple[str, int]]:
    """Identity and restarts of every pod of the pipeline."""
    return {
        name_of(pod): (
            pod["metadata"]["uid"],
            sum(status["restartCount"] for status in dig(pod, "status", "containerStatuses", default=[])),
        )
        for pod in kube.list(POD, service.namespace)
    }


def cluster_generations(service: ServiceUnderTest, kube: Kube) -> dict[str, int]:
    """How often the specification of each RayCluster was changed."""
    return {name_of(found): found["metadata"]["generation"] for found in kube.list(RAY_CLUSTER, service.namespace)}
