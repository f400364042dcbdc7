"""Every overlay renders, alike in old and new Kustomize, and to what is written down."""

from collections.abc import Callable
from pathlib import Path

import yaml

from rayops.paths import ROOT
from rayops.render import Obj, components_of, images, node_ports, render

Rendered = Callable[[Path], list[Obj]]


def test_kubectl_and_kustomize_agree(overlay: Path, rendered: Rendered, kubectl: Path) -> None:
    assert render(ROOT / overlay, binary=kubectl) == rendered(overlay)


def test_environment_is_the_sum_of_its_pipelines(
    environment: Path, rendered: Rendered, pipelines_of: Callable[[Path], list[Path]]
) -> None:
    parts = pipelines_of(environment)
    assert parts
    whole = rendered(environment)
    assert "RayJob" not in {obj["kind"] for obj in whole}, "a job runs when somebody applies it, not at every sync"
    for part in parts:
        missing = [obj["kind"] for obj in rendered(part) if obj not in whole]
        assert not missing, f"{environment} lacks {missing} of {part.name}"


def test_namespace_comes_first(pipeline: Path, rendered: Rendered) -> None:
    first, *rest = rendered(pipeline)
    assert first["kind"] == "Namespace"
    assert {obj["metadata"]["namespace"] for obj in rest} == {first["metadata"]["name"]}


def test_nothing_hidden_and_no_logical_image_is_left(pipeline: Path, rendered: Rendered) -> None:
    objects = rendered(pipeline)
    assert "local-config" not in yaml.safe_dump_all(objects)
    assert {obj["kind"] for obj in objects} >= {"Namespace", "RayService"}
    assert not {obj["kind"] for obj in objects} & {"RayCluster", "PodTemplate", "ConfigMap"}
    assert all("/" in image and (":" in image or "@" in image) for image in images(objects)), images(objects)


def test_node_ports_of_an_environment_differ(
    environment: Path, rendered: Rendered, pipelines_of: Callable[[Path], list[Path]]
) -> None:
    ports = [port for part in pipelines_of(environment) for port in node_ports(rendered(part)).values()]
    assert len(ports) == len(set(ports)), ports


def test_rayservice_is_the_last_component(pipeline: Path) -> None:
    components = components_of(ROOT / pipeline)
    assert components[-1] == "base/rayservice", "what comes after it has no effect on the cluster"
    assert len(components) == len(set(components)), "a component twice adds its group twice (K13)"


def test_images_are_named_after_all_containers_are_there(pipeline: Path) -> None:
    listed = load(ROOT / pipeline / "kustomization.yaml")["components"]
    assert Path(listed[-1]).name in {"environment", "images"}
    assert load(ROOT / pipeline.parent / "environment/kustomization.yaml")["components"][-1] == "images"


def test_every_overlay_is_tuned_and_restricted(pipeline: Path) -> None:
    names = {Path(component).name for component in components_of(ROOT / pipeline)}
    assert {"high-throughput", "pod-security", "disruption"} <= names


def load(file: Path) -> dict[str, list[str]]:
    loaded: dict[str, list[str]] = yaml.safe_load(file.read_text())
    return loaded
