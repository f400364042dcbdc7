"""What the harness decides without a cluster: ports, addresses, selections, right answers, refusals."""

from pathlib import Path
from typing import Any, cast

import pytest

from rayops.errors import RayopsError
from rayops.kube import Health, Kube, Layer, Obj, Status
from tests.harness import ExternalCluster, namespaces, selectors, service
from tests.harness.cluster import node_port, ready_endpoint, target_port
from tests.harness.faults import restart_operator
from tests.harness.getters import head_pod
from tests.harness.gpu import advertised_gpus, worker_nodes
from tests.harness.helpers import helper_pod


class Fake:
    """Lists what it was given, and notes what it is told."""

    def __init__(self, **lists: list[Obj]) -> None:
        self.lists, self.told = lists, list[Any]()

    def list(self, kind: Any, *_: object, **__: object) -> list[Obj]:
        return self.lists.get(kind.name, [])

    def get(self, *_: object) -> Obj:
        return {"status": {"allocatable": {"nvidia.com/gpu": str(self.told[-1][1])}}}

    def advertise_gpus(self, node: str, count: int) -> None:
        self.told.append((node, count))


def fake(**lists: list[Obj]) -> Kube:
    return cast(Kube, Fake(**lists))


def svc(*ports: Obj) -> Obj:
    return {"metadata": {"name": "s"}, "spec": {"ports": list(ports)}}


def test_node_ports_of_other_services_are_left_alone() -> None:
    taken = [svc({"nodePort": 30080}, {"port": 1}), svc({"nodePort": 30082}, {"nodePort": 30084})]
    assert namespaces.free_node_ports(fake(Service=taken), 2) == [30083, 30085]


def test_too_few_node_ports_are_told() -> None:
    taken = [svc(*({"nodePort": port} for port in range(30082, 30099)))]
    with pytest.raises(LookupError, match="1 of 18 node ports are free, 2 are needed"):
        namespaces.free_node_ports(fake(Service=taken), 2)


def test_namespace_names_differ_and_fit() -> None:
    names = {namespaces.new_name("x" * 100) for _ in range(20)}
    assert len(names) > 15
    assert all(len(name) <= 63 for name in names)


def test_the_overlays_node_ports_move_into_our_pool() -> None:
    spec = {"serveService": {"spec": {"ports": [{"name": "serve", "port": 8000, "nodePort": 30080}]}}}
    objects = [
        {"kind": "RayService", "metadata": {"name": "rag"}, "spec": spec},
        {"kind": "Service", **svc({"name": "dashboard", "port": 8265, "nodePort": 30081})},
    ]
    moved = service.with_own_ports(fake(), objects)
    assert moved[1]["spec"]["ports"][0]["nodePort"] == 30082
    assert moved[0]["spec"]["serveService"]["spec"]["ports"][0]["nodePort"] == 30083


def test_ports_of_a_service() -> None:
    both = svc(
        {"name": "serve", "port": 8000, "targetPort": "serve", "nodePort": 30083},
        {"name": "raw", "port": 1, "targetPort": 2},
    )
    assert (target_port(both, "serve"), target_port(both, "raw"), node_port(both, "serve")) == (8000, 2, 30083)
    with pytest.raises(LookupError, match="no port x"):
        target_port(both, "x")
    with pytest.raises(LookupError, match="no node port raw"):
        node_port(both, "raw")


def test_a_ready_endpoint_is_picked_anew_each_time() -> None:
    away = {"conditions": {"ready": False}, "targetRef": {"name": "away"}}
    there = {"conditions": {"ready": True}, "targetRef": {"name": "there"}}
    kube = Fake(EndpointSlice=[{"endpoints": None}, {"endpoints": [away, there]}])
    pick = ready_endpoint(cast(Kube, kube), "ns", "s")
    assert pick() == "there"
    kube.lists["EndpointSlice"] = []
    with pytest.raises(LookupError, match="no ready endpoint"):
        pick()


def test_an_external_cluster_is_never_given_images_nor_deleted(tmp_path: Path) -> None:
    cluster = ExternalCluster(tmp_path / "absent")
    assert not cluster.ours
    with pytest.raises(RayopsError, match="not ours"):
        cluster.load_image("x")
    cluster.stop()
    with pytest.raises(RayopsError, match="no kubeconfig"):
        cluster.start()


def pod(name: str, *, leaving: bool = False, state: str = "running", ready: bool = True) -> Obj:
    meta: Obj = {"name": name, "uid": f"uid-{name}"} | ({"deletionTimestamp": "now"} if leaving else {})
    conditions = [{"type": "Ready", "status": str(ready)}]
    spec = {"containers": [{"image": "a"}], "initContainers": [{"image": "b"}]}
    return {
        "metadata": meta,
        "spec": spec,
        "status": {"conditions": conditions, "containerStatuses": [{"state": {state: {}}}]},
    }


def test_pods_that_leave_or_wait_do_not_run() -> None:
    pods = [pod("a"), pod("b", leaving=True), pod("c", state="waiting"), pod("d", ready=False)]
    assert (selectors.running_pods(pods), selectors.ready_pods(pods)) == (2, 2)
    assert selectors.ready_pods([pod("b", leaving=True), pod("d", ready=False)]) == 0
    assert selectors.images(pods) == {"a", "b"}
    assert selectors.uids(pods[:2]) == {"uid-a", "uid-b"}


def test_replicas_are_those_that_run() -> None:
    states = [{"state": "RUNNING"}, {"state": "STARTING"}, {"state": "RUNNING"}]
    answer = {"applications": {"rag": {"deployments": {"Retriever": {"replicas": states}}}, "other": {}}}
    assert selectors.running_replicas("Retriever")(answer) == 2
    assert selectors.running_replicas("Nobody")(answer) == 0
    assert selectors.running_replicas("Retriever")({}) == 0


def test_the_head_is_the_one_that_stays() -> None:
    assert head_pod(fake(Pod=[pod("old", leaving=True), pod("new")]), "ns", "c")["metadata"]["name"] == "new"
    with pytest.raises(LookupError, match="no head pod"):
        head_pod(fake(Pod=[pod("old", leaving=True)]), "ns", "c")


def test_gpus_are_given_to_a_node_that_takes_pods_and_taken_back() -> None:
    control: Obj = {"metadata": {"name": "cp"}, "spec": {"taints": [{"effect": "NoSchedule"}]}}
    worker: Obj = {"metadata": {"name": "w"}, "spec": {}}
    kube = Fake(Node=[control, worker])
    assert worker_nodes(cast(Kube, kube)) == ["w"]
    with pytest.raises(ZeroDivisionError), advertised_gpus(cast(Kube, kube), 2):
        raise ZeroDivisionError
    assert kube.told == [("w", 2), ("w", 0)]


def test_a_cluster_without_operator_is_not_restarted_in_silence() -> None:
    with pytest.raises(LookupError, match="no KubeRay operator"):
        restart_operator(fake())


def test_helper_pods_need_no_registry_and_no_privilege() -> None:
    (container,) = helper_pod("x", ["true"])["spec"]["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["securityContext"]["allowPrivilegeEscalation"] is False


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"answer": "a", "sources": [{"document": "README.md"}]}, ""),
        ({"answer": "a", "sources": [{"document": "other"}]}, "answered from other, not from README.md"),
        ({"answer": "a", "sources": []}, "answered from nothing, not from README.md"),
        ({"answer": "", "sources": [{"document": "README.md"}]}, "no answer in the body"),
        ("text", "no answer in the body"),
    ],
)
def test_a_right_answer_rests_on_the_same_source_as_before(body: object, wrong: str) -> None:
    assert service.answered_from("README.md")(body) == wrong


def test_two_worker_clusters_and_pending_names() -> None:
    obj = {"status": {"activeServiceStatus": {"rayClusterName": "a"}, "pendingServiceStatus": {}}}
    assert (selectors.active_cluster(obj), selectors.pending_cluster(obj)) == ("a", "")


def test_small_selections() -> None:
    assert selectors.names([pod("a"), pod("b")]) == {"a", "b"}
    assert [selectors.at_least(2)(value) for value in (1, 2, 3)] == [False, True, True]
    assert selectors.status(Health(Status.DEGRADED, Layer.HEAD, "why")) is Status.DEGRADED
    assert service.revision({"settings": {"revision": "7"}}) == "7"
