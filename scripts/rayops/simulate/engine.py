"""The event simulation: documents arrive, go through the flow, and are answered or refused.

One run is deterministic for its seed. The draws of a document (arrival, pages, work of each call) do not depend on the
replicas: two variants of a pipeline with the same seed see the same documents (common random numbers).
"""

import gc
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from random import Random

from simpy import Environment, Event, Timeout

from rayops.errors import RayopsError
from rayops.simulate.gpus import Gpus
from rayops.simulate.model import Pipeline, Station
from rayops.simulate.scaling import autoscale
from rayops.simulate.stations import Desk, Done

HOUR = 3600.0
RARELY = 200_000  # objects between two collections of garbage
DRAIN = 10.0  # times the simulated time; who has not been answered by then never will be


@dataclass(frozen=True)
class Load:
    """Poisson arrivals. rate: mean documents a second. swing, period_s: rate x (1 - swing x cos(2 pi t / period_s))."""

    rate: float
    swing: float = 0.0
    period_s: float = 3600.0

    def at(self, seconds: float) -> float:
        """Documents a second at a time."""
        return self.rate * (1 - self.swing * math.cos(2 * math.pi * seconds / self.period_s))


@dataclass(frozen=True)
class StationRun:
    """One deployment over the measured time. calls: mean number here; stay_s: mean seconds of a call that ended."""

    calls: float
    stay_s: float
    done_per_s: float
    refused: int
    replicas: float


@dataclass(frozen=True)
class Run:
    """One run over its measured time. latencies: seconds of the answered documents that arrived in it, sorted.

    gpus: mean number held; busy: share of them with at least one job.
    """

    seconds: float
    arrived: int
    refused: int
    latencies: tuple[float, ...]
    gpus: float
    busy: float
    stations: dict[str, StationRun] = field(default_factory=dict)

    @property
    def per_s(self) -> float:
        """Documents answered a second."""
        return len(self.latencies) / self.seconds

    @property
    def mean(self) -> float:
        """Mean latency in seconds; not a number when nothing was answered."""
        return sum(self.latencies) / len(self.latencies) if self.latencies else math.nan

    def quantile(self, share: float) -> float:
        """The latency that this share of the documents does not exceed (nearest rank)."""
        if not self.latencies:
            return math.nan
        return self.latencies[max(0, math.ceil(share * len(self.latencies)) - 1)]


def simulate(pipeline: Pipeline, load: Load, *, seconds: float, seed: int, warmup: float = 0.0) -> Run:
    """Run `warmup` seconds that are not measured, then `seconds` that are; then arrivals end and the rest is answered.

    RayopsError where the replicas at rest do not fit the GPUs.
    """
    usual = gc.get_threshold()
    gc.set_threshold(RARELY)  # a third of the time went into looking for cycles
    try:
        return _Simulation(pipeline, load, seed).run(warmup, seconds)
    finally:
        gc.set_threshold(*usual)


class _Simulation:
    """One run."""

    def __init__(self, pipeline: Pipeline, load: Load, seed: int) -> None:
        self.pipeline, self.load = pipeline, load
        self.env = Environment()
        self.arrivals, self.works, router = (Random(f"{seed} {each}") for each in ("arrivals", "works", "router"))  # noqa: S311
        self.gpus = Gpus(self.env, pipeline.workers, pipeline.speed)
        # The largest first: shares would otherwise cut up the GPUs that one replica needs together.
        order = sorted(pipeline.stations, key=lambda each: -each.gpus)
        self.desks = {each.name: Desk(self.env, each, self.gpus, router, sees_gpu=pipeline.sees_gpu) for each in order}
        self.inside = self.arrived = self.refused = 0
        self.latencies: list[float] = []
        self.measuring = False
        for each in order:
            if each.scaling is not None:
                self.env.process(autoscale(self.env, self.desks[each.name], each.scaling))

    def run(self, warmup: float, seconds: float) -> Run:
        """Warm-up, measured time, and the rest without arrivals."""
        self.env.process(self._arrive(warmup + seconds))
        if warmup:
            self.env.run(until=warmup)
        self.measuring, before = True, self._marks()
        self.env.run(until=warmup + seconds)
        self.measuring, after = False, self._marks()
        self._drain(warmup + seconds)
        stations = {name: _station_run(before[name], after[name], seconds) for name in self.desks}
        held, busy = (after["gpus"][index] - before["gpus"][index] for index in (0, 1))
        latencies = tuple(sorted(self.latencies))
        return Run(
            seconds, self.arrived, self.refused, latencies, held / seconds, busy / held if held else 0.0, stations
        )

    def _drain(self, end: float) -> None:
        """Answer the rest."""
        while self.inside:
            if self.env.now > DRAIN * end + HOUR:
                raise RayopsError(
                    f"{self.pipeline.name}: {self.inside} documents are never answered",
                    hint="a replica waits for a GPU that no worker has, or the load is far beyond the replicas",
                )
            self.env.step()

    def _marks(self) -> dict[str, tuple[float, ...]]:
        """All running sums as they are now."""
        marks: dict[str, tuple[float, ...]] = {"gpus": (self.gpus.held(), self.gpus.busy())}
        for name, desk in self.desks.items():
            marks[name] = (desk.area_until_now(), desk.stay, desk.done, desk.refused, desk.held_until_now())
        return marks

    def _arrive(self, end: float) -> Generator[Event, None, None]:
        """Poisson arrivals; a rate that changes by thinning (Lewis and Shedler, 1979)."""
        most = self.load.rate * (1 + self.load.swing)
        while True:
            yield Timeout(self.env, self.arrivals.expovariate(most))
            if self.env.now >= end:
                return
            if self.arrivals.random() * most <= self.load.at(self.env.now):
                self._document()

    def _document(self) -> None:
        works = {each.name: self._draw(each) for each in self.pipeline.stations}
        self.arrived += self.measuring
        if 0 < self.pipeline.in_flight <= self.inside:
            self.refused += self.measuring
            return
        self.inside += 1
        _Document(self, works).step(0)

    def _draw(self, station: Station) -> list[float]:
        """Seconds of work of each call: gamma, or constant with cv 0."""
        calls = self._pages() if station.per_page else 1
        if not station.cv:
            return [station.mean] * calls
        shape = station.cv**-2
        return [self.works.gammavariate(shape, station.mean / shape) for _ in range(calls)]

    def _pages(self) -> int:
        mean = self.pipeline.pages
        if mean <= 1:
            return 1
        draw = 1 + int(math.log(1 - self.works.random()) / math.log(1 - 1 / mean))
        return min(draw, self.pipeline.most_pages)


class _Document:
    """One document on its way. A refused call refuses the document; what else runs for it still ends."""

    def __init__(self, simulation: _Simulation, works: dict[str, list[float]]) -> None:
        self.simulation, self.works = simulation, works
        self.came, self.measured, self.over = simulation.env.now, simulation.measuring, False

    def step(self, number: int) -> None:
        """Start all branches of a step; the next one when all have ended."""
        flow = self.simulation.pipeline.flow
        if number == len(flow):
            self._end(answered=True)
            return
        together = _all(len(flow[number]), lambda: self.step(number + 1), lambda: self._end(answered=False))
        for branch in flow[number]:
            self._branch(branch, 0, together)

    def _branch(self, names: tuple[str, ...], number: int, done: Done) -> None:
        """The deployments of a branch, one after the other."""
        if number == len(names):
            done(True)
            return

        def after(ok: bool) -> None:
            self._branch(names, number + 1, done) if ok and not self.over else done(ok)

        self._calls(names[number], after)

    def _calls(self, name: str, done: Done) -> None:
        """All calls of one deployment, at most `at_once` in flight."""
        desk, works = self.simulation.desks[name], list(reversed(self.works[name]))
        together = _all(len(works), lambda: done(True), lambda: done(False))

        def after(ok: bool) -> None:
            together(ok)
            if ok and works and not self.over:
                desk.request(works.pop(), after)

        for _ in range(min(len(works), desk.station.at_once or len(works))):
            if not self.over:
                desk.request(works.pop(), after)

    def _end(self, *, answered: bool) -> None:
        if self.over:
            return
        self.over = True
        self.simulation.inside -= 1
        if not self.measured:
            return
        if answered:
            self.simulation.latencies.append(self.simulation.env.now - self.came)
        else:
            self.simulation.refused += 1


def _all(calls: int, done: Callable[[], None], refused: Callable[[], None]) -> Done:
    """A callback for several calls: `done` when the last has ended well, `refused` at the first that has not."""
    left, failed = calls, False

    def one(ok: bool) -> None:
        nonlocal left, failed
        if failed:
            return
        left, failed = left - 1, not ok
        if failed:
            refused()
        elif not left:
            done()

    return one


def _station_run(before: tuple[float, ...], after: tuple[float, ...], seconds: float) -> StationRun:
    area, stay, done, refused, held = (late - early for early, late in zip(before, after, strict=True))
    return StationRun(area / seconds, stay / done if done else math.nan, done / seconds, int(refused), held / seconds)
