import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rayops.errors import RayopsError
from rayops.kube import Kube, KubeError, NotFoundError, RemoteClusterError, Timeout, WaitError, server_is_local
from rayops.kube.client import in_apply_order
from rayops.kube.objects import CONFIG_MAP, NODE, POD, RAY_SERVICE, Kind, Obj

POD_PATH = "/api/v1/namespaces/shop/pods/web"


def test_importing_the_package_does_not_import_the_slow_client() -> None:
    code = "import sys, rayops.kube; sys.exit('kubernetes' in sys.modules)"
    scripts = Path(__file__).parents[3] / "scripts"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(scripts)}, check=False).returncode == 0


@pytest.mark.parametrize(
    ("server", "context", "local"),
    [
        ("https://127.0.0.1:41234", "kind-rag", True),
        ("https://[::1]:6443", "x", True),
        ("https://localhost:6443", "x", True),
        ("https://rag-control-plane:6443", "kind-rag", True),
        ("https://rag-control-plane:6443", "kind-other", False),
        ("https://rag-control-plane:6443", "rag", False),
        ("https://127.0.0.1.example.com:6443", "kind-rag", False),
        ("https://172.18.0.2:6443", "kind-rag", False),
        ("https://10.0.0.1:6443", "prod", False),
        ("https://prod.example.com", "kind-rag", False),
    ],
)
def test_local_is_this_machine_only(server: str, context: str, *, local: bool) -> None:
    assert server_is_local(server, context) is local


def test_a_remote_cluster_is_refused_before_anything_is_sent_to_it(api: Any, tmp_path: Path) -> None:
    remote = api.kubeconfig(tmp_path, server="https://prod.example.com")
    with pytest.raises(
        RemoteClusterError, match=r"not a cluster on this machine \(https://prod.example.com\)"
    ) as caught:
        Kube.connect(remote)
    assert caught.value.hint == "pass --i-know if this cluster may be changed"


def test_a_remote_cluster_is_tried_when_you_know(api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayops.kube.client.server_is_local", lambda *_: False)
    with pytest.raises(RemoteClusterError):
        Kube.connect(api.kubeconfig(tmp_path))
    assert not Kube.connect(api.kubeconfig(tmp_path), i_know=True).is_local()


def test_an_unusable_kubeconfig_is_one_line(api: Any, tmp_path: Path) -> None:
    with pytest.raises(RayopsError, match="no kubeconfig at"):
        Kube.connect(tmp_path / "absent")
    (tmp_path / "broken").write_text("{}")
    with pytest.raises(RayopsError, match="cannot be used"):
        Kube.connect(tmp_path / "broken")
    with pytest.raises(RayopsError, match="cannot be used"):
        Kube.connect(api.kubeconfig(tmp_path), "no-such-context")


def test_a_server_that_is_gone_is_one_line(api: Any, tmp_path: Path) -> None:
    config = api.kubeconfig(tmp_path, server="http://127.0.0.1:9")
    with pytest.raises(KubeError, match=r"http://127\.0\.0\.1:9 does not answer") as caught:
        Kube.connect(config)
    assert caught.value.status == 0
    assert "\n" not in caught.value.message
    assert caught.value.hint == "./scripts/up makes a local cluster"


def test_apply_is_server_side_forced_and_ours(kube: Kube, api: Any) -> None:
    pod: Obj = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}
    service: Obj = {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": "rag", "namespace": "own"}}
    assert kube.apply([service, pod], namespace="shop") == [service, pod]
    first, second = api.calls
    assert (first.method, first.path) == ("PATCH", "/apis/ray.io/v1/namespaces/own/rayservices/rag")
    assert second.path == POD_PATH
    assert second.query == {"fieldManager": "rayops", "force": "true"}
    assert second.content_type == "application/apply-patch+yaml"
    assert second.body == pod


def test_what_others_need_is_applied_first() -> None:
    kinds = [
        "RayService",
        "Service",
        "ConfigMap",
        "RoleBinding",
        "ServiceAccount",
        "Namespace",
        "CustomResourceDefinition",
    ]
    ordered = in_apply_order({"kind": kind} for kind in kinds)
    assert [obj["kind"] for obj in ordered] == [
        "Namespace", "CustomResourceDefinition", "ServiceAccount", "RoleBinding", "ConfigMap", "Service", "RayService",
    ]  # fmt: skip


def test_get_find_and_list(kube: Kube, api: Any) -> None:
    api.objects[POD_PATH] = {"metadata": {"name": "web"}}
    api.objects["/api/v1/namespaces/shop/pods"] = {"kind": "PodList", "items": [{"metadata": {"name": "web"}}]}
    assert kube.get(POD, "web", "shop")["metadata"]["name"] == "web"
    assert kube.find(POD, "gone", "shop") is None
    with pytest.raises(NotFoundError) as caught:
        kube.get(POD, "gone", "shop")
    assert (caught.value.status, caught.value.message) == (404, "/api/v1/namespaces/shop/pods/gone not found")
    listed = kube.list(POD, "shop", labels={"a": "b", "c": "d"}, fields="spec.nodeName=n")
    assert listed == [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}}]
    assert api.calls[-1].query == {"labelSelector": "a=b,c=d", "fieldSelector": "spec.nodeName=n"}


def test_a_kind_that_the_cluster_does_not_know_is_not_found(kube: Kube) -> None:
    with pytest.raises(NotFoundError, match="does not know this kind"):
        kube.get(Kind("example.com/v1", "Nothing"), "x", "shop")
    assert kube.find(Kind("v1", "Nothing"), "x", "shop") is None


def test_a_refusal_is_told_in_the_words_of_the_server(kube: Kube, api: Any) -> None:
    api.refuse[POD_PATH] = (403, 'pods "web" is forbidden: violates PodSecurity "restricted:latest"\nmore')
    with pytest.raises(KubeError) as caught:
        kube.apply([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"}}])
    assert caught.value.status == 403
    assert caught.value.message == 'pods "web" is forbidden: violates PodSecurity "restricted:latest"'


def test_delete_says_whether_there_was_something(kube: Kube, api: Any) -> None:
    api.objects[POD_PATH] = {}
    assert kube.delete(POD, "web", "shop", grace_s=0)
    assert api.calls[-1].body == {"propagationPolicy": "Background", "gracePeriodSeconds": 0}
    assert kube.delete(POD, "gone", "shop") is False


def test_wait_gone_waits_for_absence(kube: Kube, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayops.kube.wait.time.sleep", lambda _: api.objects.clear())
    api.objects[POD_PATH] = {"metadata": {"name": "web"}}
    kube.wait_gone(POD, "web", "shop")
    assert len(api.calls) == 2
    api.objects[POD_PATH] = {}
    monkeypatch.setattr("rayops.kube.wait.time.sleep", lambda _: None)
    clock = iter(range(0, 1000, 30))
    monkeypatch.setattr("rayops.kube.wait.time.monotonic", lambda: next(clock))
    with pytest.raises(WaitError, match="Pod web gone"):
        kube.wait_gone(POD, "web", "shop", timeout=Timeout.SHORT)


def test_gpus_are_advertised_by_status_and_label_and_taken_back(kube: Kube, api: Any) -> None:
    kube.advertise_gpus("node", 2)
    label, status = api.calls
    assert (label.path, label.body) == (
        "/api/v1/nodes/node",
        {"metadata": {"labels": {"nvidia.com/gpu.present": "true"}}},
    )
    assert status.path == "/api/v1/nodes/node/status"
    assert status.content_type == "application/merge-patch+json"
    assert status.body == {"status": {"capacity": {"nvidia.com/gpu": "2"}, "allocatable": {"nvidia.com/gpu": "2"}}}
    kube.advertise_gpus("node", 0)
    assert api.calls[-1].body == {
        "status": {"capacity": {"nvidia.com/gpu": None}, "allocatable": {"nvidia.com/gpu": None}}
    }
    assert api.calls[-2].body == {"metadata": {"labels": {"nvidia.com/gpu.present": None}}}


def test_logs_are_the_tail_of_the_right_container(kube: Kube, api: Any) -> None:
    api.texts[f"{POD_PATH}/log"] = "0123456789"
    assert kube.logs("shop", "web", "ray", previous=True, limit_bytes=4) == "6789"
    assert api.calls[-1].query == {"container": "ray", "previous": "true", "tailLines": "20000"}


def test_events_are_in_the_order_of_time(kube: Kube, api: Any) -> None:
    late = {"reason": "late", "lastTimestamp": "2026-11-21T10:00:02Z"}
    early = {"reason": "early", "eventTime": "2026-11-21T10:00:01.5Z"}
    api.objects["/api/v1/namespaces/shop/events"] = {"kind": "EventList", "items": [late, early]}
    assert [event["reason"] for event in kube.events("shop", about="web")] == ["early", "late"]
    assert api.calls[-1].query == {"fieldSelector": "involvedObject.name=web"}


def test_version_and_pod_proxy(kube: Kube, api: Any) -> None:
    api.objects[f"{POD_PATH}:8265/proxy/api/version"] = {"ray_version": "2.60.0"}
    assert kube.is_local()
    assert kube.version() == "v1.34.4"
    assert kube.proxy_json("shop", "web", 8265, "/api/version") == {"ray_version": "2.60.0"}


def test_a_patch_of_a_subresource_and_a_create(kube: Kube, api: Any) -> None:
    kube.patch(RAY_SERVICE, "rag", "shop", {"status": {}}, subresource="status")
    assert api.calls[-1].path == "/apis/ray.io/v1/namespaces/shop/rayservices/rag/status"
    kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}, namespace="shop")
    assert (api.calls[-1].method, api.calls[-1].path) == ("POST", "/api/v1/namespaces/shop/configmaps")
    assert kube.find(CONFIG_MAP, "c", "shop") is None
    assert kube.find(NODE, "n") is None


def test_a_command_runs_in_the_pods_first_container(kube: Kube, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("rayops.kube.client.exec_in_pod", lambda *what, **how: asked.append((what[1:], how)))
    api.objects[POD_PATH] = {"spec": {"containers": [{"name": "ray-head"}, {"name": "autoscaler"}]}}
    kube.exec("shop", "web", ["id"])
    kube.exec("shop", "web", ["id"], container="autoscaler", timeout_s=5)
    assert asked == [
        (("shop", "web", ["id"]), {"container": "ray-head", "timeout_s": 60.0}),
        (("shop", "web", ["id"]), {"container": "autoscaler", "timeout_s": 5}),
    ]
