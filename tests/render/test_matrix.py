"""The table in apps/README.md is what the overlays render; read back here without the code that wrote it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops import matrix
from rayops.cli import main
from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj

Rendered = Callable[[Path], list[Obj]]
PAGE = (ROOT / "apps/README.md").read_text("utf-8")


def committed() -> dict[tuple[str, str], dict[str, tuple[str, str]]]:
    """(environment, pipeline) → deployment → (resources, replicas), from the page."""
    table = PAGE.partition(matrix.BEGIN)[2].partition(matrix.END)[0].strip().splitlines()[2:]
    found = {}
    for line in table:
        pipeline, environment, _, names, resources, replicas, _ = (cell.strip() for cell in line.strip("|").split("|"))
        cells = zip(*(cell.split("<br>") for cell in (names, resources, replicas)), strict=True)
        found[environment, pipeline] = {name: (what, number) for name, what, number in cells}
    return found


def test_every_pipeline_of_every_environment_is_in_the_table(pipeline: Path, service: Obj) -> None:
    row = committed()[pipeline.parts[1], pipeline.name]
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    assert list(row) == [deployment["name"] for deployment in application["deployments"]]
    for deployment in application["deployments"]:
        options, scaling = deployment["ray_actor_options"], deployment.get("autoscaling_config")
        gpu = f" + {options['num_gpus']:g} GPU" if "num_gpus" in options else ""
        number = f"{scaling['min_replicas']}-{scaling['max_replicas']}" if scaling else f"{deployment['num_replicas']}"
        assert row[deployment["name"]] == (f"{options['num_cpus']:g} CPU{gpu}", number)


def test_the_table_has_nothing_else_and_names_the_images(rendered: Rendered) -> None:
    folders = [
        folder
        for folder in matrix.overlays()
        if any(obj["kind"] == "RayService" for obj in rendered_of(folder, rendered))
    ]
    assert set(committed()) == {(folder.parent.name, folder.name) for folder in folders}
    for folder in folders:
        (line,) = (each for each in PAGE.splitlines() if each.startswith(f"| {folder.name} | {folder.parent.name} |"))
        (service,) = (obj for obj in rendered_of(folder, rendered) if obj["kind"] == "RayService")
        groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        assert f"`{groups[0]['template']['spec']['containers'][0]['image']}`" in line


def rendered_of(folder: Path, rendered: Rendered) -> list[Obj]:
    return rendered(folder.relative_to(ROOT))


def test_check_says_when_the_page_is_old(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> None:
    page = tmp_path / "README.md"
    page.write_text(PAGE)
    monkeypatch.setattr(matrix, "PAGE", page)
    assert main(["matrix", "--check"]) == 0
    page.write_text(PAGE.replace("| rag | local | `/` | Ingress", "| rag | local | `/` | Ingres"))
    assert main(["matrix", "--check"]) == 1
    assert "rayops matrix --write" in capsys.readouterr().err
    assert main(["matrix", "--write"]) == 0
    assert page.read_text() == PAGE
    assert main(["matrix"]) == 0
    assert capsys.readouterr().out.strip() in PAGE


def test_a_page_without_markers_is_an_error() -> None:
    with pytest.raises(RayopsError, match="begin --> is missing"):
        matrix.put("x", "nothing")
    with pytest.raises(RayopsError, match="end --> is missing"):
        matrix.put("x", matrix.BEGIN)


@pytest.mark.parametrize(
    ("deployment", "bounds"),
    [
        ({}, (1, 1)),
        ({"num_replicas": 3}, (3, 3)),
        ({"num_replicas": "auto"}, (1, 100)),
        ({"autoscaling_config": {}}, (1, 1)),
        ({"autoscaling_config": {"min_replicas": 0, "max_replicas": 4}}, (0, 4)),
        ({"num_replicas": "auto", "autoscaling_config": {"min_replicas": 2}}, (2, 100)),
    ],
)
def test_replicas_are_as_ray_would_read_them(deployment: dict[str, Any], bounds: tuple[int, int]) -> None:
    assert matrix.replicas(deployment) == bounds
