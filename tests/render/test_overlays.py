"""Every overlay renders, alike in old and new Kustomize, and to what is written down."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import Obj, images, node_ports, render

GOLDEN = Path(__file__).parent / "golden"
Rendered = Callable[[Path], list[Obj]]


def test_kubectl_and_kustomize_agree(overlay: Path, rendered: Rendered, kubectl: Path) -> None:
    assert render(ROOT / overlay, binary=kubectl) == rendered(overlay)


def test_golden(pipeline: Path, rendered: Rendered, request: pytest.FixtureRequest) -> None:
    golden = GOLDEN / f"{'-'.join(pipeline.parts[1:])}.yaml"
    text = yaml.safe_dump_all(rendered(pipeline), sort_keys=False, width=4096)
    if request.config.getoption("--update-golden", default=False):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert golden.exists(), f"pytest tests/render --update-golden writes {golden.name}"
    assert list(yaml.safe_load_all(golden.read_text())) == rendered(pipeline), (
        f"{pipeline} renders to something else; if it is meant: pytest tests/render --update-golden"
    )


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
    components = components_of(pipeline)
    assert components[-1].name == "rayservice", "what comes after it has no effect on the cluster"
    assert len(components) == len(set(components)), "a component twice adds its group twice (K13)"


def test_images_are_named_after_all_containers_are_there(pipeline: Path) -> None:
    listed = load(ROOT / pipeline / "kustomization.yaml")["components"]
    assert Path(listed[-1]).name in {"environment", "images"}
    assert load(ROOT / pipeline.parent / "environment/kustomization.yaml")["components"][-1] == "images"


def test_every_overlay_is_tuned_and_restricted(pipeline: Path) -> None:
    names = {component.name for component in components_of(pipeline)}
    assert {"high-throughput", "pod-security", "disruption"} <= names


def load(file: Path) -> dict[str, list[str]]:
    loaded: dict[str, list[str]] = yaml.safe_load(file.read_text())
    return loaded


def components_of(folder: Path) -> list[Path]:
    """The components of base that a pipeline's overlay takes, in order; those of overlays/ list others."""
    found = []
    for entry in load(ROOT / folder / "kustomization.yaml").get("components", []):
        component = (ROOT / folder / entry).resolve().relative_to(ROOT)
        found += [component] if component.parts[0] == "base" else components_of(component)
    return found
