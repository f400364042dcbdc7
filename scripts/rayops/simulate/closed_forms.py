"""What queueing theory says of single stations: the simulation must agree with it, and the claim must obey its bounds.

Notation: rate: arrivals a second; service: mean seconds of work; load: rate x service / servers, below 1.
Sources: A. K. Erlang 1917 (waiting in M/M/c); F. Pollaczek 1930 and A. Khinchine 1932 (M/G/1); P. J. Burke 1956 (what
leaves an M/M/c queue is Poisson again, so queues in a row are independent); J. D. C. Little 1961 (L = rate x W);
L. Kleinrock, Queueing Systems, volume 1, 1975 (birth and death) and volume 2, 1976 (processor sharing).
"""

import math
from collections.abc import Callable


def erlang_c(rate: float, service: float, servers: int) -> float:
    """Probability that an arrival to M/M/c waits."""
    offered = rate * service
    load = offered / servers
    last: float = offered**servers / math.factorial(servers) / (1 - load)
    return last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)


def mmc_stay(rate: float, service: float, servers: int = 1) -> float:
    """Mean seconds in M/M/c, waiting and service."""
    return service + erlang_c(rate, service, servers) * service / (servers - rate * service)


def mg1_stay(rate: float, service: float, cv: float) -> float:
    """Mean seconds in M/G/1, first come first served (Pollaczek-Khinchine); M/D/1 with cv 0."""
    load = rate * service
    return service + load * service * (1 + cv**2) / (2 * (1 - load))


def sharing_stay(rate: float, service: float) -> float:
    """Mean seconds in M/G/1 with processor sharing: the same for every distribution of the work."""
    return service / (1 - rate * service)


def birth_death_stay(rate: float, service: float, speed: Callable[[int], float], most: int = 2000) -> float:
    """Mean seconds in a station that works at speed(k) on k calls together, each equally fast.

    Insensitive to the distribution of the work (Kelly 1979, symmetric queues). most: states that are counted.
    """
    weights = [1.0]
    for calls in range(1, most + 1):
        weights.append(weights[-1] * rate * service / speed(calls))
    mean = sum(calls * weight for calls, weight in enumerate(weights)) / sum(weights)
    return mean / rate


def mmck_refused(rate: float, service: float, servers: int, places: int) -> float:
    """Share of arrivals that M/M/c/K refuses. places: calls in service and waiting together."""
    weights = [1.0]
    for calls in range(1, places + 1):
        weights.append(weights[-1] * rate * service / min(calls, servers))
    return weights[-1] / sum(weights)


def tandem_stay(rate: float, services: list[float]) -> float:
    """Mean seconds through M/M/1 stations in a row: Burke lets each be looked at alone."""
    return sum(mmc_stay(rate, service) for service in services)


def utilisation(rate: float, gpu_seconds: float, gpus: float) -> float:
    """Busy share of GPUs: work is conserved, however it is laid out. gpu_seconds: of one document."""
    return rate * gpu_seconds / gpus


def parallel_saving(branches: list[float], whole: float) -> float:
    """The most that running branches side by side can take off the time of one document alone, as a share of it."""
    return (sum(branches) - max(branches)) / whole
