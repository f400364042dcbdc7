"""A deployment as Serve runs it: calls that wait, the choice of a replica, what a replica holds and works on."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from simpy import Environment, Timeout

from rayops.simulate.gpus import Gpus, Place
from rayops.simulate.model import Station

Done = Callable[[bool], None]


@dataclass(slots=True)
class Call:
    """One call: its work in seconds alone on a replica, when it came, whom to tell (True: done, False: refused)."""

    work: float
    came: float
    done: Done


@dataclass(eq=False)
class Replica:
    """One replica. ongoing: calls it holds, at most max_ongoing_requests; of them `running` are worked on."""

    place: Place
    ongoing: int = 0
    running: int = 0
    waiting: deque[Call] = field(default_factory=deque)
    leaving: bool = False


class Desk:
    """All replicas of a deployment, and the calls that wait because each holds max_ongoing_requests.

    A call goes to the shorter of two replicas chosen by chance, as Serve's router does; when both are full, to any that
    has room. sees_gpu: to the one whose GPU has the fewest jobs.

    area: integral of the calls here (calls x seconds); stay: their seconds here; done, refused: counts.
    """

    def __init__(
        self, env: Environment, station: Station, gpus: Gpus, chance: Random, *, sees_gpu: bool = False
    ) -> None:
        self.env, self.station, self.gpus, self.chance = env, station, gpus, chance
        self.sees_gpu = sees_gpu
        self.replicas: list[Replica] = []
        self.target = station.replicas
        self.coming = 0  # replicas that start
        self.queue: deque[Call] = deque()
        self.inside = self.done = self.refused = 0
        self.area = self.stay = self._last = 0.0
        self._held = self._counted = 0.0
        for _ in range(station.replicas):
            self.replicas.append(Replica(gpus.settle(station)))

    def area_until_now(self) -> float:
        """Integral of the number of calls here, up to now."""
        self.area += self.inside * (self.env.now - self._last)
        self._last = self.env.now
        return self.area

    def held_until_now(self) -> float:
        """Integral of the number of ready replicas, up to now."""
        self._held += len(self.replicas) * (self.env.now - self._counted)
        self._counted = self.env.now
        return self._held

    def request(self, work: float, done: Done) -> None:
        """A call arrives."""
        call = Call(work, self.env.now, done)
        replica = self._choose()
        if replica is None and 0 <= self.station.max_queued <= len(self.queue):
            self.refused += 1
            done(False)
            return
        self.area_until_now()
        self.inside += 1
        if replica is None:
            self.queue.append(call)
        else:
            self._hold(replica, call)

    def scale(self, target: int) -> None:
        """Start replicas, or let the newest ones end when they have answered what they hold."""
        self.held_until_now()
        self.target = target
        while len(self.replicas) + self.coming < target:
            self.coming += 1
            self.gpus.place(self.station, self._start)
        while len(self.replicas) > target:
            replica = self._least_missed()
            self.replicas.remove(replica)
            replica.leaving = True
            self._leave(replica)

    def _start(self, place: Place) -> None:
        """Room is found: the replica starts; ready `start_s` later."""
        Timeout(self.env, self.station.start_s, place).callbacks.append(lambda event: self._ready(event.value))

    def _ready(self, place: Place) -> None:
        self.coming -= 1
        if len(self.replicas) >= self.target:  # no longer wanted
            self.gpus.release(place)
            return
        self.held_until_now()
        replica = Replica(place)
        self.replicas.append(replica)
        self._take_from_queue(replica)

    def _least_missed(self) -> Replica:
        """On the worker with the fewest replicas, so that it soon is empty; of several the newest (Serve's order)."""
        newest = list(reversed(self.replicas))
        return min(newest, key=lambda each: each.place.worker.population() if each.place.worker else 0)

    def _choose(self) -> Replica | None:
        replicas, most = self.replicas, self.station.max_ongoing
        if self.sees_gpu:
            free = [each for each in replicas if each.ongoing < most]
            return min(free, key=lambda each: (each.place.processor.jobs, each.ongoing), default=None)
        if not replicas:
            return None
        one = int(self.chance.random() * len(replicas))
        other = (one + 1 + int(self.chance.random() * (len(replicas) - 1))) % len(replicas)  # of the rest
        first, second = replicas[one], replicas[other]
        best = first if first.ongoing <= second.ongoing else second
        if best.ongoing < most:
            return best
        return next((each for each in replicas if each.ongoing < most), None)

    def _hold(self, replica: Replica, call: Call) -> None:
        replica.ongoing += 1
        if replica.running < self.station.concurrency:
            self._work(replica, call)
        else:
            replica.waiting.append(call)

    def _work(self, replica: Replica, call: Call) -> None:
        replica.running += 1
        replica.place.processor.add(call.work, lambda: self._finished(replica, call))

    def _finished(self, replica: Replica, call: Call) -> None:
        replica.running -= 1
        replica.ongoing -= 1
        self.area_until_now()
        self.inside -= 1
        self.done += 1
        self.stay += self.env.now - call.came
        if replica.waiting:
            self._work(replica, replica.waiting.popleft())
        self._leave(replica) if replica.leaving else self._take_from_queue(replica)
        call.done(True)

    def _take_from_queue(self, replica: Replica) -> None:
        while self.queue and replica.ongoing < self.station.max_ongoing:
            self._hold(replica, self.queue.popleft())

    def _leave(self, replica: Replica) -> None:
        if not replica.ongoing:
            self.gpus.release(replica.place)
