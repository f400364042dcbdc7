"""One table of what every overlay renders: pipeline, route, deployments, CPU and GPU per replica, replicas, image.

It stands in apps/README.md between two markers; a test keeps it equal to the renders.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, of_kind, render, serve_config

PAGE = ROOT / "apps" / "README.md"
BEGIN, END = "<!-- rayops matrix: begin -->", "<!-- rayops matrix: end -->"
HEADER = ("pipeline", "environment", "route", "deployment", "per replica", "replicas", "image")


@dataclass(frozen=True)
class Row:
    """One deployment of one application. replicas: fewest and most."""

    pipeline: str
    environment: str
    route: str
    deployment: str
    cpus: float
    gpus: float
    replicas: tuple[int, int]
    image: str


def overlays(root: Path = ROOT) -> list[Path]:
    """The folders that are one pipeline in one environment, sorted by pipeline, then environment."""
    found = [file.parent for file in (root / "overlays").glob("*/*/sizing.env")]
    return sorted(found, key=lambda folder: (folder.name, folder.parent.name != "local", folder.parent.name))


def rows(overlay: Path) -> list[Row]:
    """The deployments of the RayServices that an overlay renders; none for an overlay of a job."""
    return [row for service in of_kind(render(overlay), "RayService") for row in of_service(service, overlay)]


def of_service(service: Obj, overlay: Path) -> Iterator[Row]:
    """The deployments of a RayService, in the order of its Serve config."""
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    images = {group["groupName"]: group["template"]["spec"]["containers"][0]["image"] for group in groups}
    for application in serve_config(service)["applications"]:
        for deployment in application.get("deployments") or []:
            wanted = deployment.get("ray_actor_options") or {}
            gpus = float(wanted.get("num_gpus", 0))
            yield Row(
                pipeline=service["metadata"]["name"],
                environment=overlay.parent.name,
                route=application.get("route_prefix", "/"),
                deployment=deployment["name"],
                cpus=float(wanted.get("num_cpus", 1)),
                gpus=gpus,
                replicas=replicas(deployment),
                image=images["gpu" if gpus else "cpu"],
            )


def replicas(deployment: dict[str, Any]) -> tuple[int, int]:
    """Fewest and most replicas, with Ray's own defaults where the config is silent (ray.serve.config)."""
    scaling = deployment.get("autoscaling_config")
    number = deployment.get("num_replicas", 1)
    if scaling is None and number != "auto":
        return int(number), int(number)
    scaling = scaling or {}
    return int(scaling.get("min_replicas", 1)), int(scaling.get("max_replicas", 100 if number == "auto" else 1))


def table(found: list[Row]) -> str:
    """The rows as Markdown, one line for each pipeline and environment."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    for head in dict.fromkeys((row.pipeline, row.environment, row.route) for row in found):
        part = [row for row in found if (row.pipeline, row.environment, row.route) == head]
        columns = (
            [row.deployment for row in part],
            [_resources(row) for row in part],
            ["-".join(map(str, dict.fromkeys(row.replicas))) for row in part],
        )
        images = dict.fromkeys(f"`{row.image}`" for row in part)
        pipeline, environment, route = head
        cells = [pipeline, environment, f"`{route}`", *("<br>".join(column) for column in columns), "<br>".join(images)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _resources(row: Row) -> str:
    gpu = f" + {row.gpus:g} GPU" if row.gpus else ""
    return f"{row.cpus:g} CPU{gpu}"


def put(text: str, page: str) -> str:
    """The page with the table between its markers. RayopsError where a marker is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RayopsError(f"{PAGE.relative_to(ROOT)}: the marker {BEGIN if not begin else END} is missing")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
