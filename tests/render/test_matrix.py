"""The tables in apps/README.md and overlays/README.md are what the overlays render; read back without the code."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops import environments, matrix
from rayops.cli import main
from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, capabilities_of, components_of, of_kind

Rendered = Callable[[Path], list[Obj]]
PAGE = (ROOT / "apps/README.md").read_text("utf-8")
OVERLAYS = (ROOT / "overlays/README.md").read_text("utf-8")


def tables(page: str) -> list[list[dict[str, str]]]:
    """The tables between the markers: each row by its header."""
    text = page.partition(matrix.BEGIN)[2].partition(matrix.END)[0].strip()
    found = []
    for block in text.split("\n\n"):
        header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        found.append([dict(zip(header, row, strict=True)) for row in rows])
    return found


def committed() -> dict[tuple[str, str, str], dict[str, tuple[str, str]]]:
    """(environment, pipeline, route) → deployment → (resources, replicas), from the page."""
    (table,) = tables(PAGE)
    found = {}
    for row in table:
        cells = zip(*(row[name].split("<br>") for name in ("deployment", "per replica", "replicas")), strict=True)
        deployments = {name: (what, number) for name, what, number in cells}
        for environment in row["environments"].split(", "):
            key = (environment, row["pipeline"], row["route"].strip("`"))
            assert key not in found
            found[key] = deployments
    return found


def test_every_pipeline_of_every_environment_is_in_the_table(pipeline: Path, service: Obj) -> None:
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    for application in config["applications"]:
        row = committed()[pipeline.parts[1], pipeline.name, application["route_prefix"]]
        assert list(row) == [deployment["name"] for deployment in application["deployments"]]
        for deployment in application["deployments"]:
            assert row[deployment["name"]] == resources_and_replicas(deployment)


def resources_and_replicas(deployment: dict[str, Any]) -> tuple[str, str]:
    scaling = deployment.get("autoscaling_config")
    number = f"{scaling['min_replicas']}-{scaling['max_replicas']}" if scaling else f"{deployment['num_replicas']}"
    if bundles := deployment.get("placement_group_bundles"):  # a replica is all of them, its actor is in the first
        cpus, gpus = (sum(bundle.get(name, 0) for bundle in bundles) for name in ("CPU", "GPU"))
    else:
        options = deployment["ray_actor_options"]
        cpus, gpus = options["num_cpus"], options.get("num_gpus", 0)
    return f"{cpus:g} CPU" + (f" + {gpus:g} GPU" if gpus else ""), number


def test_the_table_has_nothing_else_and_names_the_images(rendered: Rendered) -> None:
    folders = [folder for folder in matrix.overlays() if of_kind(rendered_of(folder, rendered), "RayService")]
    assert {key[:2] for key in committed()} == {(folder.parent.name, folder.name) for folder in folders}
    (table,) = tables(PAGE)
    for folder in folders:
        row, *_ = (
            row
            for row in table
            if row["pipeline"] == folder.name and folder.parent.name in row["environments"].split(", ")
        )
        (service,) = of_kind(rendered_of(folder, rendered), "RayService")
        image = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["image"]
        assert f"`{re.split('[:@]', image)[0]}`" in row["image"].split("<br>")


def test_equal_environments_share_a_line_and_others_do_not() -> None:
    row = matrix.Row("rag", "staging", "/", "Ingress", 0.1, 0, (2, 2), "ray/pipeline")
    prod = replace(row, environment="prod")
    assert "| rag | staging, prod | `/` | Ingress | 0.1 CPU | 2 |" in matrix.table([row, prod])
    for change in ({"replicas": (2, 3)}, {"image": "other"}, {"cpus": 0.2}, {"deployment": "Other"}):
        assert len(matrix.table([row, replace(prod, **change)]).splitlines()) == 4, change
    more = replace(prod, deployment="More")
    assert len(matrix.table([row, prod, more]).splitlines()) == 4, "the same and one more is not the same"


def test_every_overlay_has_a_line_of_sizes_and_quota(rendered: Rendered) -> None:
    table = {(row["environment"], row["pipeline"]): row for row in tables(OVERLAYS)[0]}
    folders = matrix.overlays()
    assert set(table) == {(folder.parent.name, folder.name) for folder in folders}
    for folder in folders:
        row, objects = table[folder.parent.name, folder.name], rendered_of(folder, rendered)
        sizing = dict(re.findall(r"^(\w+)=(.*)$", (folder / "sizing.env").read_text(), re.MULTILINE))
        workers = "-".join(dict.fromkeys((sizing["cpuMin"], sizing["cpuMax"])))
        cpu, *others = row["CPU workers"].split("<br>")
        assert cpu == f"{workers} of {sizing['cpuCpuRequest']} CPU, {sizing['cpuMemoryRequest']}"
        assert [each.partition(":")[0] for each in others] == ["multihost"] * ("multihostMax" in sizing)
        assert row["head"] == f"{sizing['headCpuRequest']} CPU, {sizing['headMemoryRequest']}"
        assert (row["GPU workers"] == "none") == (sizing["gpuMax"] == "0")
        assert (row["quota"] == "none") == (not of_kind(objects, "ResourceQuota"))
        if "quotaCpu" in sizing:
            for part in (f"{sizing['quotaCpu']} CPU", sizing["quotaMemory"], f"{sizing['quotaPods']} pods"):
                assert part in row["quota"].split(", ")
        assert row["drift"] == "-" or folder.parent.name in ("staging", "prod")


def test_every_component_of_an_overlay_is_in_the_table_of_capabilities() -> None:
    table = {row["capability"]: row for row in tables(OVERLAYS)[1]}
    for folder in matrix.overlays():
        for capability in capabilities_of(folder):
            cell = table[capability][folder.parent.name]
            named = re.split(r"^all but |, ", cell)
            assert cell == "all" or (folder.name in named) != cell.startswith("all but"), (folder, capability)
    taken = {name for folder in matrix.overlays() for name in capabilities_of(folder)}
    assert set(table) == taken


def rendered_of(folder: Path, rendered: Rendered) -> list[Obj]:
    return rendered(folder.relative_to(ROOT))


def test_check_says_when_a_page_is_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any, rendered: Rendered
) -> None:
    deployments, overlays = tmp_path / "README.md", tmp_path / "overlays.md"
    deployments.write_text(PAGE)
    overlays.write_text(OVERLAYS)
    monkeypatch.setattr(matrix, "PAGE", deployments)
    monkeypatch.setattr(environments, "PAGE", overlays)
    monkeypatch.setattr("rayops.render.render", lambda folder: rendered_of(folder, rendered))
    assert main(["matrix", "--check"]) == 0
    deployments.write_text(PAGE.replace("| rag | local | `/` | Ingress", "| rag | local | `/` | Ingres"))
    assert main(["matrix", "--check"]) == 1
    assert "rayops matrix --write" in capsys.readouterr().err
    deployments.write_text(PAGE)
    overlays.write_text(OVERLAYS.replace("| rag | prod | 2 CPU", "| rag | prod | 3 CPU"))
    assert main(["matrix", "--check"]) == 1
    assert "overlays.md is not what the overlays render" in capsys.readouterr().err
    assert main(["matrix", "--write"]) == 0
    assert (deployments.read_text(), overlays.read_text()) == (PAGE, OVERLAYS)
    assert main(["matrix"]) == 0
    first, _, second = capsys.readouterr().out.strip().partition("\n\n")
    assert first in PAGE
    assert second in OVERLAYS


def test_a_page_without_markers_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RayopsError, match="begin --> is missing"):
        matrix.put("x", "nothing")
    with pytest.raises(RayopsError, match=r"overlays/README\.md: .*end --> is missing"):
        matrix.put("x", matrix.BEGIN, environments.PAGE)


def test_components_are_followed_through_profiles_and_environments(tmp_path: Path) -> None:
    for folder, components in {
        "overlays/x/app": ["../environment"],
        "overlays/x/environment": ["../../../base/profiles/p", "../../../base/rayservice"],
        "base/profiles/p": ["../../components/a", "../../platform/b"],
        "base/components/a": [],
        "base/platform/b": ["../../components/c"],
        "base/components/c": [],
        "base/rayservice": [],
    }.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "kustomization.yaml").write_text(yaml.safe_dump({"components": components}))
    app = tmp_path / "overlays/x/app"
    assert components_of(app, tmp_path) == [
        f"base/{name}" for name in ("components/a", "components/c", "platform/b", "profiles/p", "rayservice")
    ]
    assert capabilities_of(app, tmp_path) == ["a", "c", "b"]
    (tmp_path / "base/components/c/kustomization.yaml").unlink()
    with pytest.raises(RayopsError, match=r"base/components/c/kustomization\.yaml is missing"):
        components_of(app, tmp_path)
    for text, cause in (("components: [", "is not YAML"), ("- a", "empty or no mapping")):
        (tmp_path / "base/components/c/kustomization.yaml").write_text(text)
        with pytest.raises(RayopsError, match=cause):
            components_of(app, tmp_path)


def test_an_overlay_of_nothing_has_no_place(tmp_path: Path) -> None:
    with pytest.raises(RayopsError, match="expected one RayService or RayJob, found 0"):
        environments.place(tmp_path, [{"kind": "Namespace", "metadata": {"name": "x"}}])


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
