"""One table of what every overlay renders: pipeline, route, deployments, CPU and GPU per replica, replicas, image.

Environments that run equal deployments share a line. It stands in apps/README.md between two markers, as the table of
rayops.environments does in overlays/README.md; a test keeps both equal to the renders.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rayops.environments import order
from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, asks_of, of_kind, repository, serve_config

PAGE = ROOT / "apps" / "README.md"
BEGIN, END = "<!-- rayops matrix: begin -->", "<!-- rayops matrix: end -->"
HEADER = ("pipeline", "environments", "route", "deployment", "per replica", "replicas", "image")


@dataclass(frozen=True)
class Row:
    """One deployment of one application. replicas: fewest and most; image: without its version."""

    pipeline: str
    environment: str
    route: str
    deployment: str
    cpus: float
    gpus: float
    replicas: tuple[int, int]
    image: str


def overlays(root: Path = ROOT) -> list[Path]:
    """The folders that are one pipeline in one environment, sorted by pipeline, then as images travel."""
    found = [file.parent for file in (root / "overlays").glob("*/*/sizing.env")]
    return sorted(found, key=lambda folder: (folder.name, order(folder.parent.name)))


def rows(overlay: Path, objects: list[Obj]) -> list[Row]:
    """The deployments of the RayServices that an overlay renders (`objects`); none for an overlay of a job."""
    return [row for service in of_kind(objects, "RayService") for row in of_service(service, overlay)]


def of_service(service: Obj, overlay: Path) -> Iterator[Row]:
    """The deployments of a RayService, in the order of its Serve config."""
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    images = {group["groupName"]: group["template"]["spec"]["containers"][0]["image"] for group in groups}
    for application in serve_config(service)["applications"]:
        for deployment in application.get("deployments") or []:
            wanted = asks_of(deployment)
            yield Row(
                pipeline=service["metadata"]["name"],
                environment=overlay.parent.name,
                route=application.get("route_prefix", "/"),
                deployment=deployment["name"],
                cpus=wanted.cpus,
                gpus=wanted.gpus,
                replicas=replicas(deployment),
                image=repository(images[wanted.workers]),
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
    """The rows as Markdown, one line for each pipeline and the environments where its deployments are equal."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{'---|' * len(HEADER)}"]
    for environments, part in _grouped(found):
        columns = (
            [row.deployment for row in part],
            [_resources(row) for row in part],
            ["-".join(map(str, dict.fromkeys(row.replicas))) for row in part],
            dict.fromkeys(f"`{row.image}`" for row in part),
        )
        cells = [part[0].pipeline, ", ".join(environments), f"`{part[0].route}`"]
        lines.append(f"| {' | '.join([*cells, *('<br>'.join(column) for column in columns)])} |")
    return "\n".join(lines)


def _grouped(found: list[Row]) -> list[tuple[list[str], list[Row]]]:
    """The environments that run the same, and what they run; in the order of the first of them."""
    applications: dict[tuple[str, str, str], list[Row]] = {}
    for row in found:
        applications.setdefault((row.pipeline, row.environment, row.route), []).append(row)
    groups: dict[tuple[Row, ...], list[str]] = {}
    for (_, environment, _), part in applications.items():
        groups.setdefault(tuple(replace(row, environment="") for row in part), []).append(environment)
    return [(environments, list(part)) for part, environments in groups.items()]


def _resources(row: Row) -> str:
    gpu = f" + {row.gpus:g} GPU" if row.gpus else ""
    return f"{row.cpus:g} CPU{gpu}"


def put(text: str, page: str, file: Path = PAGE) -> str:
    """The page with the table between its markers. RayopsError where a marker is missing."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
        raise RayopsError(f"{name}: the marker {BEGIN if not begin else END} is missing")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
