"""Where models may be served: what the overlays name and render, read once for a run."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rayops.errors import RayopsError
from rayops.fit import GIB, pod_amount
from rayops.render import app_serve_file, capabilities_of, one, read_serve_file, render

GATEWAY = "gateway"
ROUTES = "apps.gateway.app:build_app"
# What an application calls its list of models, by what builds it.
SERVERS = {"apps.llm.app:build_app": "models", "apps.embeddings.app:build_app": "serve_models"}


@dataclass(frozen=True)
class Application:
    """An application of a Serve config."""

    name: str
    import_path: str
    prefix: str  # of its routes, without a slash at its end
    engine_args: dict[str, Any]  # of all its models; those of a model win


@dataclass(frozen=True)
class Group:
    """A worker group. replicas: the most it may have; gpus and memory_gib: of one of the `hosts` pods of a replica."""

    name: str
    replicas: int
    hosts: int
    gpus: float
    memory_gib: float


@dataclass(frozen=True)
class Overlay:
    """A RayService in an environment."""

    environment: str
    pipeline: str
    folder: Path
    serve_file: Path
    applications: dict[str, Application]
    caches: bool  # it lists the component model-cache
    objects: list[dict[str, Any]] | None = field(default=None, compare=False)

    @cached_property
    def groups(self) -> dict[str, Group]:
        """The worker groups as rendered, by name."""
        cluster = self._service["spec"]["rayClusterConfig"]
        return {each["groupName"]: _group(each) for each in cluster.get("workerGroupSpecs") or []}

    @cached_property
    def host(self) -> str:
        """The name of its Service as other namespaces call it."""
        meta = self._service["metadata"]
        return f"{meta['name']}-serve-svc.{meta['namespace']}"

    @property
    def _service(self) -> dict[str, Any]:
        return one(self.objects or [], "RayService")


@dataclass
class Places:
    """The overlays of a checkout that run a Serve config, and why others do not, by (environment, pipeline)."""

    root: Path
    overlays: dict[tuple[str, str], Overlay]
    broken: dict[tuple[str, str], str]

    def environments(self) -> set[str]:
        """The environments that there are."""
        return {file.parent.name for file in self.root.glob("overlays/*/kustomization.yaml")}

    def pipelines(self, environment: str) -> list[str]:
        """The pipelines of an environment."""
        return sorted(pipeline for place, pipeline in self.overlays if place == environment)

    def running(self, file: Path) -> list[Overlay]:
        """The overlays that run a serve.yaml."""
        return [each for each in self.overlays.values() if each.serve_file == file]


def look(root: Path, wanted: Iterable[tuple[str, str]]) -> Places:
    """Read all overlays, and render those that are `wanted`."""
    places, needed = Places(root, {}, {}), set(wanted)
    found = sorted((file.parent.parent.name, file.parent.name) for file in root.glob("overlays/*/*/sizing.env"))
    with ThreadPoolExecutor(4) as pool:
        for key, read in zip(
            found, pool.map(lambda key: _read(root, key, render_it=key in needed), found), strict=True
        ):
            if isinstance(read, Overlay):
                places.overlays[key] = read
            else:
                places.broken[key] = read
    return places


def _read(root: Path, key: tuple[str, str], *, render_it: bool) -> Overlay | str:
    environment, pipeline = key
    folder = root / "overlays" / environment / pipeline
    try:
        file = app_serve_file(pipeline, environment, root)
        applications = {each.name: each for each in applications_of(read_serve_file(file))}
        caches = "model-cache" in capabilities_of(folder, root)
        overlay = Overlay(
            environment, pipeline, folder, file, applications, caches, render(folder) if render_it else None
        )
        if render_it:
            _ = overlay.groups, overlay.host
    except RayopsError as error:
        return error.message.replace(f"{root}/", "")
    return overlay


def applications_of(config: dict[str, Any]) -> Iterator[Application]:
    """The applications of a Serve config."""
    for each in config.get("applications") or []:
        prefix = str(each.get("route_prefix", "/")).rstrip("/")
        engine = (each.get("args") or {}).get("engine") or {}
        arguments = dict(engine.get("engine_args") or {})
        yield Application(str(each.get("name")), str(each.get("import_path")), prefix, arguments)


def _group(spec: dict[str, Any]) -> Group:
    amount = pod_amount(spec["template"])
    hosts = int(spec.get("numOfHosts") or 1)
    return Group(spec["groupName"], int(spec.get("maxReplicas") or 0), hosts, amount.gpus, amount.memory / GIB)
