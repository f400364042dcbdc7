"""A pipeline as numbers: read from the files that the cluster reads, and changed for what-if questions."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from rayops.errors import RayopsError
from rayops.paths import ROOT, app_folder
from rayops.render.app import app_serve_file, read_serve_file, read_sizing
from rayops.simulate.spec import FILE, Mix, Spec, Stage, branches, faults, read_spec

Checked = TypeVar("Checked", bound=BaseModel)
Flow = tuple[tuple[tuple[str, ...], ...], ...]
INGRESS = "Ingress"  # its own work is not simulated: it waits for the others
IN_FLIGHT = 128  # apps/common: limits.in_flight where serve.yaml does not set it


class Scaling(BaseModel):
    """autoscaling_config of a deployment, with the defaults of Ray 2.60 (ray.serve.config.AutoscalingConfig)."""

    min_replicas: NonNegativeInt = 1
    max_replicas: PositiveInt = 1
    initial_replicas: NonNegativeInt | None = None
    target_ongoing_requests: PositiveFloat = 2.0
    metrics_interval_s: PositiveFloat = 10.0
    look_back_period_s: PositiveFloat = 30.0
    upscale_delay_s: NonNegativeFloat = 30.0
    downscale_delay_s: NonNegativeFloat = 600.0
    upscaling_factor: PositiveFloat = 1.0
    downscaling_factor: PositiveFloat = 1.0


class _Actor(BaseModel):
    num_cpus: NonNegativeFloat = 1.0
    num_gpus: NonNegativeFloat = 0.0


class _Deployment(BaseModel):
    name: str
    num_replicas: PositiveInt | None = None
    autoscaling_config: Scaling | None = None
    max_ongoing_requests: PositiveInt = 5
    max_queued_requests: int = Field(default=-1, ge=-1)
    ray_actor_options: _Actor = _Actor()
    user_config: dict[str, Any] = {}


class _Application(BaseModel):
    name: str
    args: dict[str, Any] = {}
    deployments: list[_Deployment]


class _ServeFile(BaseModel):
    applications: list[_Application] = Field(min_length=1, max_length=1)


class _Sizing(BaseModel):
    gpuMin: NonNegativeInt  # noqa: N815
    gpuMax: NonNegativeInt  # noqa: N815
    gpuGpus: PositiveInt  # noqa: N815
    cpuMax: PositiveInt  # noqa: N815
    cpuRayCpus: PositiveInt  # noqa: N815
    idleTimeoutSeconds: NonNegativeFloat  # noqa: N815


@dataclass(frozen=True)
class Station:
    """One deployment. mean, cv: seconds of work of a call. gpus: of one replica, below 1 a share of one.

    max_queued: calls that wait for a replica, over all callers; -1: no limit. speed: total speed of one replica that
    works on several calls at once. at_once: calls of one document in flight, 0: no limit.
    """

    name: str
    mean: float
    cv: float
    per_page: bool = False
    replicas: int = 1
    scaling: Scaling | None = None
    max_ongoing: int = 5
    max_queued: int = -1
    concurrency: int = 1
    speed: float = 1.0
    at_once: int = 0
    cpus: float = 1.0
    gpus: float = 0.0
    start_s: float = 0.0


@dataclass(frozen=True)
class Workers:
    """The group of GPU workers: GPUs of one, how many there are, seconds to start one and to give up an empty one."""

    gpus: int
    least: int
    most: int
    start_s: float = 0.0
    idle_s: float = 0.0


@dataclass(frozen=True)
class Pipeline:
    """Everything that a simulation needs. speed: of a GPU that several replicas share.

    in_flight: documents that the ingress takes at once before it answers 503; 0: no limit. sees_gpu: see `Mix`.
    """

    name: str
    stations: tuple[Station, ...]
    flow: Flow
    workers: Workers
    pages: float = 1.0
    most_pages: int = 100
    speed: float = 1.0
    in_flight: int = 0
    sees_gpu: bool = False

    def station(self, name: str) -> Station:
        """The station of a name; RayopsError with the names that there are."""
        for station in self.stations:
            if station.name == name:
                return station
        there = ", ".join(station.name for station in self.stations)
        raise RayopsError(f"{self.name}: no deployment {name}", hint=f"there are: {there}")

    def calls(self, station: Station) -> float:
        """Mean calls of a station per document."""
        return mean_pages(self.pages, self.most_pages) if station.per_page else 1.0

    def gpu_work(self) -> float:
        """Mean GPU-seconds of one document: a call on a share occupies its GPU, one on four GPUs occupies four."""
        return sum(self.calls(each) * each.mean * max(1.0, each.gpus) for each in self.stations if each.gpus)

    def gpus_asked(self) -> float:
        """GPUs that the replicas at rest ask for."""
        return sum(each.gpus * each.replicas for each in self.stations)

    def changed(self, change: Callable[[Station], Station]) -> "Pipeline":
        """The same pipeline with each station changed."""
        return replace(self, stations=tuple(change(station) for station in self.stations))


def mean_pages(mean: float, most: int) -> float:
    """Mean of the geometric distribution from 1 with this mean, cut off at `most`."""
    return mean * (1 - (1 - 1 / mean) ** most)


def load(pipeline: str, environment: str, root: Path = ROOT) -> tuple[Pipeline, Spec]:
    """The pipeline as its overlay deploys it. RayopsError with file and field where a file is missing or wrong."""
    serve_file = app_serve_file(pipeline, environment, root)
    sizing_file = root / "overlays" / environment / pipeline / "sizing.env"
    spec_folder = app_folder(pipeline, root)
    spec = read_spec(spec_folder)
    application = _checked(_ServeFile, read_serve_file(serve_file), serve_file).applications[0]
    sizing = _checked(_Sizing, read_sizing(sizing_file), sizing_file)
    given = {each.name: each for each in application.deployments}
    _same_names(set(spec.stages), set(given) - {INGRESS}, spec_folder / FILE, serve_file)
    ingress = given.get(INGRESS)
    callers = _replicas(ingress) if ingress else 1
    settings = ingress.user_config if ingress else {}
    stations = tuple(_station(given[name], stage, callers, settings) for name, stage in spec.stages.items())
    _fit_cpus(given.values(), sizing, sizing_file)
    limit = application.args.get("limits", {}).get("in_flight", IN_FLIGHT)
    per_ingress = min(int(limit), ingress.max_ongoing_requests) if ingress else 0
    start, idle = spec.gpu.worker_start_s.value, sizing.idleTimeoutSeconds
    built = Pipeline(
        name=application.name,
        stations=stations,
        flow=branches(spec),
        workers=Workers(sizing.gpuGpus, sizing.gpuMin, sizing.gpuMax, start, idle),
        pages=spec.pages.mean,
        most_pages=spec.pages.most,
        speed=spec.gpu.shared_speed.value,
        in_flight=per_ingress * callers,
    )
    return built, spec


def sequential(pipeline: Pipeline) -> Pipeline:
    """Branches one after the other."""
    return replace(pipeline, flow=tuple(((name,),) for step in pipeline.flow for branch in step for name in branch))


def dedicated(pipeline: Pipeline) -> Pipeline:
    """A whole GPU for each replica that has a share of one."""
    return pipeline.changed(lambda each: replace(each, gpus=float(math.ceil(each.gpus))))


def fixed(pipeline: Pipeline) -> Pipeline:
    """No autoscaling: each deployment at its most replicas, all workers there from the start."""
    most = pipeline.changed(
        lambda each: replace(each, replicas=each.scaling.max_replicas, scaling=None) if each.scaling else each
    )
    return replace(most, workers=replace(most.workers, least=most.workers.most))


def on_gpus(pipeline: Pipeline, gpus: int) -> Pipeline:
    """One worker with that many GPUs in place of those of sizing.env."""
    return replace(pipeline, workers=Workers(gpus, 1, 1))


def with_replicas(pipeline: Pipeline, replicas: Mapping[str, int]) -> Pipeline:
    """That many replicas of some deployments, not autoscaled."""
    for name in replicas:
        pipeline.station(name)
    return pipeline.changed(
        lambda each: replace(each, replicas=replicas[each.name], scaling=None) if each.name in replicas else each
    )


def with_gpus(pipeline: Pipeline, gpus: Mapping[str, float]) -> Pipeline:
    """Another number of GPUs for a replica of some deployments."""
    for name in gpus:
        pipeline.station(name)
    return pipeline.changed(lambda each: replace(each, gpus=gpus.get(each.name, each.gpus)))


def with_assumptions(pipeline: Pipeline, mix: Mix) -> Pipeline:
    """The same pipeline under other assumptions."""
    for name in {**mix.mean, **mix.stage_speed}:
        pipeline.station(name)
    changed = pipeline.changed(
        lambda each: replace(
            each,
            mean=mix.mean.get(each.name, each.mean),
            cv=each.cv if mix.cv is None else mix.cv,
            speed=mix.stage_speed.get(each.name, each.speed),
        )
    )
    return replace(changed, speed=mix.shared_speed or pipeline.speed, sees_gpu=mix.sees_gpu)


def _replicas(deployment: _Deployment) -> int:
    """Replicas at rest."""
    scaling = deployment.autoscaling_config
    if scaling is None:
        return deployment.num_replicas or 1
    return scaling.min_replicas if scaling.initial_replicas is None else scaling.initial_replicas


def _station(deployment: _Deployment, stage: Stage, callers: int, settings: dict[str, Any]) -> Station:
    """callers: replicas of the ingress; each has a queue of its own before this deployment (Serve's handle).

    settings: user_config of the ingress.
    """
    actor, queued = deployment.ray_actor_options, deployment.max_queued_requests
    at_once = settings.get(stage.at_once) if isinstance(stage.at_once, str) else stage.at_once or 0
    if not isinstance(at_once, int):
        hint = f"there are: {', '.join(settings) or 'none'}"
        place = f"{FILE}: stages.{deployment.name}.at_once"
        raise RayopsError(f"{place}: user_config of {INGRESS} has no whole number {stage.at_once}", hint=hint)
    return Station(
        name=deployment.name,
        mean=stage.service_s.mean,
        cv=stage.service_s.cv,
        per_page=stage.per == "page",
        replicas=_replicas(deployment),
        scaling=deployment.autoscaling_config,
        max_ongoing=deployment.max_ongoing_requests,
        max_queued=queued * callers if queued >= 0 else -1,
        concurrency=stage.concurrency,
        speed=stage.shared_speed.value if stage.shared_speed else 1.0 if actor.num_gpus else float(stage.concurrency),
        at_once=at_once,
        cpus=actor.num_cpus,
        gpus=actor.num_gpus,
        start_s=stage.start_s.value if stage.start_s else 0.0,
    )


def _fit_cpus(deployments: Iterable[_Deployment], sizing: _Sizing, file: Path) -> None:
    """Replicas without a GPU must fit the CPU workers at most, or some of them would never start."""
    asked = 0.0
    for each in deployments:
        most = each.autoscaling_config.max_replicas if each.autoscaling_config else each.num_replicas or 1
        asked += most * each.ray_actor_options.num_cpus * (not each.ray_actor_options.num_gpus)
    there = sizing.cpuMax * sizing.cpuRayCpus
    if asked > there + 1e-9:
        raise RayopsError(
            f"{file}: cpuMax: {there} CPUs at most, the deployments ask for {asked:g}", hint="raise cpuMax"
        )


def _same_names(stages: set[str], deployments: set[str], spec_file: Path, serve_file: Path) -> None:
    """All deployments but the ingress have a stage, and no other."""
    for name in sorted(stages - deployments):
        known = f"there are: {', '.join(sorted(deployments))}"
        raise RayopsError(f"{spec_file}: stages.{name}: no such deployment in {serve_file}", hint=known)
    for name in sorted(deployments - stages):
        hint = f"add stages.{name} with service_s, and its place in flow"
        raise RayopsError(f"{spec_file}: stages: {name} of {serve_file} is missing", hint=hint)


def _checked(schema: type[Checked], loaded: object, file: Path) -> Checked:
    try:
        return schema.model_validate(loaded)
    except ValidationError as error:
        raise RayopsError(faults(file, error), hint=f"mend the field in {file.name}") from error
