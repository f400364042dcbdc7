"""CPU, memory and GPUs that pods request, as the scheduler counts them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

GIB = 2**30

_SUFFIXES = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3}
_SUFFIXES |= {letter: 1000.0**power for power, letter in enumerate("kMGTPE", 1)}
_SUFFIXES |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([numkMGTPE]|[KMGTPE]i|)")

# Kubernetes' names of resources, and how much: cores, bytes, pieces.
Requests = dict[str, float]


@dataclass(frozen=True)
class Amount:
    """cpus: cores. memory: bytes. gpus: whole ones, and slices of one counted as one each."""

    cpus: float = 0.0
    memory: float = 0.0
    gpus: float = 0.0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.cpus + other.cpus, self.memory + other.memory, self.gpus + other.gpus)

    def times(self, count: int) -> "Amount":
        """The amount of that many."""
        return Amount(self.cpus * count, self.memory * count, self.gpus * count)

    def most(self, other: "Amount") -> "Amount":
        """The larger of each."""
        return Amount(max(self.cpus, other.cpus), max(self.memory, other.memory), max(self.gpus, other.gpus))

    def __str__(self) -> str:
        return f"{self.cpus:.4g} CPU, {self.memory / GIB:.4g} GiB, {self.gpus:g} GPU"


def amount_of(requests: Requests) -> Amount:
    """Requests by name as an amount."""
    gpus = sum(value for name, value in requests.items() if is_gpu(name))
    return Amount(requests.get("cpu", 0.0), requests.get("memory", 0.0), gpus)


def pod_amount(template: Mapping[str, Any]) -> Amount:
    """What a pod of a template requests; see `pod_requests`."""
    return amount_of(pod_requests(template.get("spec") or {}))


def pod_requests(
    spec: Mapping[str, Any], *, beside: Iterable[Requests] = (), first: Iterable[Requests] = ()
) -> Requests:
    """What the scheduler counts for a pod spec, with what KubeRay adds: containers beside, init containers first.

    The sum of all containers, or one init container where that is more, and the pod's overhead. An init container that
    stays (restartPolicy Always) counts among the containers, and beside each init container after it
    (k8s.io/component-helpers/resource, PodRequests).
    """
    running = _sum([*map(container_requests, spec.get("containers") or []), *beside])
    staying: Requests = {}
    most: Requests = {}
    for container in spec.get("initContainers") or []:
        asked = container_requests(container)
        if container.get("restartPolicy") == "Always":
            staying = _sum([staying, asked])
            most = _most(most, staying)
        else:
            most = _most(most, _sum([staying, asked]))
    most = reduce(_most, (_sum([staying, asked]) for asked in first), most)
    overhead = {name: quantity(value) for name, value in (spec.get("overhead") or {}).items()}
    return _sum([_most(_sum([running, staying]), most), overhead])


def container_requests(container: Mapping[str, Any]) -> Requests:
    """Requests of a container; a limit counts where there is no request, as the API server fills it in."""
    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return {name: quantity(value) for name, value in wanted.items()}


def quantity(value: object) -> float:
    """A Kubernetes quantity (`500m`, `2Gi`, `1e3`, 4) as a number; nothing is 0. ValueError where it is none.

    As kubernetes.utils.quantity.parse_quantity, a test holds; importing that package takes as long as a whole lint.
    """
    if value is None:
        return 0.0
    found = _QUANTITY.fullmatch(str(value))
    if found is None or isinstance(value, bool):
        raise ValueError(f"{value!r} is no quantity")
    return float(found[1]) * _SUFFIXES[found[2]]


def is_gpu(resource: str) -> bool:
    """Whether a resource of Kubernetes is a GPU or a slice of one: `nvidia.com/gpu`, `nvidia.com/mig-1g.5gb`."""
    name = resource.rpartition("/")[2]
    return "/" in resource and (name.startswith(("gpu", "mig-")) or name.endswith("gpu"))


def _sum(parts: Iterable[Requests]) -> Requests:
    total: Requests = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total


def _most(one: Requests, other: Requests) -> Requests:
    return {name: max(one.get(name, 0.0), other.get(name, 0.0)) for name in one | other}
