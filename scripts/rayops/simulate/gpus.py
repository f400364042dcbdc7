"""GPUs, the workers that bring them, and how replicas that share a GPU share its speed.

`num_gpus: 0.25` is bookkeeping: Ray places at most four such replicas on a GPU and isolates nothing. A replica that
runs alone has the whole GPU; k that run at once have its shared speed together, in equal parts (processor sharing).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from simpy import Environment, Event, Timeout

from rayops.errors import RayopsError
from rayops.simulate.model import Station, Workers

TINY = 1e-9


class Processor:
    """Works on k jobs at once, each at min(k, speed) / k; one job alone at 1 (egalitarian processor sharing).

    Kept by virtual time: the work that each job present has received since the start. gpus: how many are busy with it.
    busy: seconds with at least one job.
    """

    def __init__(self, env: Environment, speed: float, gpus: int = 0) -> None:
        self.env, self.speed, self.gpus = env, speed, gpus
        self.busy = self._virtual = self._last = 0.0
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._number, self._version = count(), 0

    def add(self, work: float, done: Callable[[], None]) -> None:
        """Start a job of that many seconds alone; `done` is called at its end."""
        self._advance()
        heappush(self._jobs, (self._virtual + work, next(self._number), done))
        self._plan()

    @property
    def jobs(self) -> int:
        """Jobs that are worked on."""
        return len(self._jobs)

    def busy_until_now(self) -> float:
        """Seconds with at least one job, up to now."""
        self._advance()
        return self.busy

    def _rate(self) -> float:
        jobs = len(self._jobs)
        return 1.0 if jobs == 1 else min(jobs, self.speed) / jobs

    def _advance(self) -> None:
        now = self.env.now
        if self._jobs:
            self.busy += now - self._last
            self._virtual += (now - self._last) * self._rate()
        self._last = now

    def _plan(self) -> None:
        """The next end. An earlier plan is void: it carries an older version."""
        self._version += 1
        if self._jobs:
            left = max(0.0, self._jobs[0][0] - self._virtual)
            Timeout(self.env, left / self._rate(), self._version).callbacks.append(self._end)

    def _end(self, event: Event) -> None:
        if event.value != self._version:
            return
        self._advance()
        finish, _, done = heappop(self._jobs)
        self._virtual = max(self._virtual, finish)
        self._plan()
        done()


@dataclass
class Gpu:
    """One GPU. free: what Ray's bookkeeping has left of it; names: the deployments that share it."""

    processor: Processor
    free: float = 1.0
    names: list[str] = field(default_factory=list)


@dataclass
class Worker:
    """A pod with GPUs. processors: of the replicas that have GPUs of their own."""

    gpus: list[Gpu]
    since: float
    processors: list[Processor] = field(default_factory=list)
    empty_since: float | None = None

    def holds(self, name: str) -> int:
        """Replicas of a deployment that have a share here."""
        return sum(gpu.names.count(name) for gpu in self.gpus)

    def population(self) -> int:
        """Replicas of all deployments; one on several GPUs counts for each."""
        return sum(len(gpu.names) for gpu in self.gpus)

    def busy(self) -> float:
        """GPU-seconds with work, up to now."""
        whole = sum(each.busy_until_now() * each.gpus for each in self.processors)
        return whole + sum(gpu.processor.busy_until_now() for gpu in self.gpus)


@dataclass
class Place:
    """Where a replica runs: its GPUs (none for a CPU replica) and the processor that does its work."""

    processor: Processor
    worker: Worker | None = None
    gpus: list[Gpu] = field(default_factory=list)
    share: float = 0.0
    name: str = ""


class Gpus:
    """All GPU workers of a cluster: placement, start of new ones, end of empty ones, what they cost and did.

    A share goes to the worker that has fewest replicas of its deployment (Serve's default strategy is SPREAD), there to
    the fullest GPU that has room (Ray fills one before the next). speed: of a GPU that several replicas share.
    """

    def __init__(self, env: Environment, workers: Workers, speed: float) -> None:
        self.env, self.plan, self.speed = env, workers, speed
        self.workers: list[Worker] = []
        self._waiting: list[tuple[Station, Callable[[Place], None]]] = []
        self._starting: list[float] = []  # since when
        self._held = self._busy = 0.0  # of workers that are gone
        for _ in range(workers.least):
            self._new()

    def settle(self, station: Station) -> Place:
        """Room for a replica at the start: its worker is there already. RayopsError when there is not enough."""
        if not station.gpus:
            return Place(Processor(self.env, station.speed))
        while (place := self._find(station)) is None:
            if len(self.workers) >= self.plan.most:
                size = f"{self.plan.most} workers of {self.plan.gpus}"
                raise RayopsError(
                    f"{station.name}: {station.replicas} replicas of {station.gpus:g} GPU need more than {size}",
                    hint="raise gpuMax or gpuGpus in sizing.env, or --gpus N",
                )
            self._new()
        return place

    def place(self, station: Station, ready: Callable[[Place], None]) -> None:
        """Find room for a replica, now or when a worker has started; never when the most workers have none."""
        if not station.gpus:
            ready(Place(Processor(self.env, station.speed)))
        elif (place := self._find(station)) is not None:
            ready(place)
        else:
            self._waiting.append((station, ready))
            self._start_worker()

    def release(self, place: Place) -> None:
        """Give the room of a replica back."""
        if place.worker is None:
            return
        for gpu in place.gpus:
            gpu.free = min(1.0, gpu.free + place.share)
            gpu.names.remove(place.name)
        if not any(gpu.names for gpu in place.worker.gpus):
            place.worker.empty_since = self.env.now
            worker = place.worker
            Timeout(self.env, self.plan.idle_s).callbacks.append(lambda _: self._end_empty(worker))
        self._serve_waiting()

    def held(self) -> float:
        """GPU-seconds of all workers from their start up to now."""
        now = self.env.now
        starting = sum(self.plan.gpus * (now - since) for since in self._starting)
        return self._held + starting + sum(len(each.gpus) * (now - each.since) for each in self.workers)

    def busy(self) -> float:
        """GPU-seconds with at least one job up to now."""
        return self._busy + sum(each.busy() for each in self.workers)

    def _new(self) -> None:
        gpus = [Gpu(Processor(self.env, self.speed, 1)) for _ in range(self.plan.gpus)]
        self.workers.append(Worker(gpus, self.env.now))

    def _start_worker(self) -> None:
        """One more when those that start have too few GPUs for all that wait.

        A worker is paid for from the moment it starts; its GPUs can be used `start_s` later.
        """
        wanted = sum(station.gpus for station, _ in self._waiting)
        coming = len(self._starting) * self.plan.gpus
        if coming < wanted - TINY and len(self.workers) + len(self._starting) < self.plan.most:
            self._starting.append(self.env.now)
            Timeout(self.env, self.plan.start_s).callbacks.append(self._started)

    def _started(self, _: Event) -> None:
        self._new()
        self.workers[-1].since = self._starting.pop(0)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Place those that wait and now fit."""
        waiting, self._waiting = self._waiting, []
        for station, ready in waiting:
            place = self._find(station)
            if place is None:
                self._waiting.append((station, ready))
            else:
                ready(place)
        self._start_worker()

    def _end_empty(self, worker: Worker) -> None:
        idle = worker.empty_since is not None and self.env.now - worker.empty_since >= self.plan.idle_s - TINY
        if idle and worker in self.workers and len(self.workers) > self.plan.least:
            self.workers.remove(worker)
            self._held += len(worker.gpus) * (self.env.now - worker.since)
            self._busy += worker.busy()

    def _find(self, station: Station) -> Place | None:
        if station.gpus < 1:
            return self._find_share(station)
        wanted = math.ceil(station.gpus)
        for worker in self.workers:
            whole = [gpu for gpu in worker.gpus if not gpu.names][:wanted]
            if len(whole) == wanted:
                processor = Processor(self.env, station.speed, wanted)
                worker.processors.append(processor)
                return self._take(Place(processor, worker, whole, 1.0, station.name))
        return None

    def _find_share(self, station: Station) -> Place | None:
        fitting = [(gpu, worker) for worker in self.workers for gpu in worker.gpus if gpu.free >= station.gpus - TINY]
        if not fitting:
            return None
        gpu, worker = min(fitting, key=lambda each: (each[1].holds(station.name), each[0].free))
        return self._take(Place(gpu.processor, worker, [gpu], station.gpus, station.name))

    def _take(self, place: Place) -> Place:
        for gpu in place.gpus:
            gpu.free -= place.share
            gpu.names.append(place.name)
        if place.worker is not None:
            place.worker.empty_since = None
        return place
