"""rayops.render itself: errors of one line, and rewriting without touching what it was given."""

from copy import deepcopy
from pathlib import Path

import pytest

from rayops.errors import RayopsError
from rayops.render import (
    Obj,
    find_kustomize,
    images,
    name_of,
    node_ports,
    of_kind,
    one,
    render,
    set_image,
    set_namespace,
    set_node_port,
)
from rayops.render.operator_chart import crd_files, package_operator_chart


def service(image: str = "local/pipeline:dev") -> Obj:
    ports = [{"name": "serve", "port": 8000, "nodePort": 30080}]
    pod = {"spec": {"containers": [{"name": "ray-head", "image": image}]}}
    cluster = {"headGroupSpec": {"template": pod}, "workerGroupSpecs": []}
    meta = {"name": "rag", "namespace": "rag"}
    spec = {"serveService": {"spec": {"ports": ports}}, "rayClusterConfig": cluster}
    return {"kind": "RayService", "metadata": meta, "spec": spec}


OBJECTS: list[Obj] = [
    {"kind": "Namespace", "metadata": {"name": "rag"}},
    {"kind": "ClusterRole", "metadata": {"name": "rag"}},
    {
        "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": "rag"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "rag"}],
    },
    {
        "kind": "Service",
        "metadata": {"name": "dashboard", "namespace": "rag"},
        "spec": {"ports": [{"name": "dashboard", "port": 8265, "nodePort": 30081}]},
    },
    service(),
]


def test_transforms_return_new_objects() -> None:
    before = deepcopy(OBJECTS)
    set_namespace(OBJECTS, "other")
    set_image(OBJECTS, "pipeline", "x:1")
    set_node_port(OBJECTS, "serve", 30099)
    assert before == OBJECTS


def test_set_namespace_moves_all_but_cluster_wide_objects() -> None:
    moved = set_namespace(OBJECTS, "other")
    assert [name_of(obj) for obj in moved] == [
        "Namespace other",
        "ClusterRole rag",
        "RoleBinding other/b",
        "Service other/dashboard",
        "RayService other/rag",
    ]
    assert one(moved, "RoleBinding")["subjects"][0]["namespace"] == "other"


def test_set_namespace_refuses_objects_of_two() -> None:
    with pytest.raises(RayopsError, match="several namespaces at once: other, rag"):
        set_namespace([*OBJECTS, *set_namespace(OBJECTS, "other")], "third")


@pytest.mark.parametrize("written", ["local/pipeline:dev", "host:5000/local/pipeline@sha256:00", "local/pipeline"])
@pytest.mark.parametrize("image", ["pipeline", "local/pipeline"])
def test_set_image_knows_a_repository_by_all_or_by_its_end(written: str, image: str) -> None:
    if written.startswith("host") and "/" in image:
        image = f"host:5000/{image}"
    assert images(set_image([service(written)], image, "local/pipeline:4f1c")) == ["local/pipeline:4f1c"]


def test_set_image_names_what_there_is() -> None:
    with pytest.raises(RayopsError, match=r"no container runs line; there are local/pipeline:dev"):
        set_image(OBJECTS, "line", "x:1")


def test_set_node_port_by_the_name_of_the_port() -> None:
    assert node_ports(set_node_port(OBJECTS, "serve", 30099)) == {"dashboard": 30081, "serve": 30099}
    with pytest.raises(RayopsError, match="no node port named grpc; there are dashboard, serve"):
        set_node_port(OBJECTS, "grpc", 30099)


def test_one_says_what_it_found() -> None:
    with pytest.raises(RayopsError, match="expected one RayJob, found none"):
        one(OBJECTS, "RayJob")
    with pytest.raises(RayopsError, match="found Service rag/dashboard, Service rag/dashboard"):
        one([*of_kind(OBJECTS, "Service"), *of_kind(OBJECTS, "Service")], "Service")


def test_a_folder_without_kustomization_is_named(tmp_path: Path) -> None:
    with pytest.raises(RayopsError, match=f"{tmp_path}: no kustomization.yaml here"):
        render(tmp_path)


def test_a_failing_build_names_folder_and_cause_in_one_line(tmp_path: Path, kustomize: Path, kubectl: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "kustomization.yaml").write_text("resources: [gone.yaml]\n")
    (tmp_path / "kustomization.yaml").write_text("resources: [inner]\n")
    for binary in (kustomize, kubectl):
        with pytest.raises(RayopsError) as caught:
            render(tmp_path, binary=binary)
        assert str(tmp_path) in caught.value.message
        assert "gone.yaml" in caught.value.message
        assert "\n" not in caught.value.message


def test_a_program_that_does_not_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text("")
    with pytest.raises(RayopsError, match="/nowhere/kustomize does not start"):
        render(tmp_path, binary=Path("/nowhere/kustomize"))


def test_kubectl_is_called_by_its_subcommand() -> None:
    assert find_kustomize(Path("/x/kubectl")) == ["/x/kubectl", "kustomize"]
    assert find_kustomize(Path("/x/kustomize")) == ["/x/kustomize", "build"]


def test_without_any_program_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("rayops.render.kustomize.BIN", tmp_path)
    with pytest.raises(RayopsError, match="neither kustomize nor kubectl") as caught:
        find_kustomize()
    assert caught.value.hint


def test_operator_chart_refuses_another_folder_or_version(tmp_path: Path) -> None:
    with pytest.raises(RayopsError, match="no CRDs in config/crd/bases"):
        crd_files(tmp_path)
    with pytest.raises(RayopsError, match=r"is not version 1\.2\.3"):
        package_operator_chart(tmp_path / "ray-operator@v1.2.4", "1.2.3", tmp_path)
