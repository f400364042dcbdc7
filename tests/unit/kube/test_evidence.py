import json
from pathlib import Path
from typing import Any

import pytest

from rayops.kube import Kube, save_evidence

HEAD = {
    "metadata": {"name": "head", "labels": {"ray.io/node-type": "head"}},
    "status": {
        "initContainerStatuses": [{"name": "init", "restartCount": 0}],
        "containerStatuses": [{"name": "ray", "restartCount": 2}],
    },
}


@pytest.fixture
def namespace(api: Any) -> None:
    core = "/api/v1/namespaces/shop"
    api.objects[f"{core}/pods"] = {"kind": "PodList", "items": [HEAD]}
    api.objects["/apis/ray.io/v1/namespaces/shop/rayservices"] = {"items": [{"metadata": {"name": "rag"}}]}
    event = {"type": "Warning", "reason": "Failed", "message": "why", "involvedObject": {"kind": "Pod", "name": "head"}}
    api.objects[f"{core}/events"] = {"kind": "EventList", "items": [event]}
    api.texts[f"{core}/pods/head/log"] = "a line"
    api.objects[f"{core}/pods/head:8265/proxy/api/serve/applications/"] = {"applications": {}}


@pytest.mark.usefixtures("namespace")
def test_everything_that_explains_a_namespace_is_there(kube: Kube, tmp_path: Path) -> None:
    folder = save_evidence(kube, "shop", tmp_path / "evidence")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "ray.io/rayservices.json", "ray.io/rayclusters.json", "ray.io/rayjobs.json", "pods.json", "services.json",
        "endpointslices.json", "events.txt", "logs/head/init.log", "logs/head/ray.log", "logs/head/ray.previous.log",
        "dashboard/head.json",
    }  # fmt: skip
    assert json.loads((folder / "ray.io/rayservices.json").read_text())[0]["metadata"] == {"name": "rag"}
    assert "Failed  Pod/head  x1  why" in (folder / "events.txt").read_text()
    assert (folder / "logs/head/ray.log").read_text() == "a line"


@pytest.mark.usefixtures("namespace")
def test_what_cannot_be_read_is_noted_and_the_rest_is_saved(kube: Kube, api: Any, tmp_path: Path) -> None:
    api.refuse["/api/v1/namespaces/shop/pods/head/log"] = (400, "container is waiting to start")
    api.refuse["/api/v1/namespaces/shop/services"] = (500, "etcd is away")
    folder = save_evidence(kube, "shop", tmp_path / "evidence")
    missing = (folder / "missing.txt").read_text()
    assert "services.json: KubeError: etcd is away" in missing
    assert "logs/head/ray.log: KubeError: container is waiting to start" in missing
    assert (folder / "dashboard/head.json").exists()


def test_a_cluster_that_is_gone_is_noted(kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> bytes:
        raise OSError("no route")

    monkeypatch.setattr(Kube, "request", gone)
    folder = save_evidence(kube, "shop", tmp_path / "evidence")
    assert "the list of pods: OSError: no route" in (folder / "missing.txt").read_text()


@pytest.mark.usefixtures("namespace")
def test_the_folder_has_a_limit(kube: Kube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayops.kube.evidence.FOLDER_BYTES", 100)
    folder = save_evidence(kube, "shop", tmp_path / "evidence")
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.name != "missing.txt" and f.is_file()) <= 100
    assert "pods.json: OSError: left out" in (folder / "missing.txt").read_text()


@pytest.mark.usefixtures("namespace")
def test_a_folder_that_cannot_be_written_raises_nothing(kube: Kube, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    save_evidence(kube, "shop", tmp_path / "file" / "evidence")
