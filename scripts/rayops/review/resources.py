"""CPU, memory and GPUs that the pods of a Ray cluster request, as the scheduler counts them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

from rayops.render import Obj

GIB = 2**30
# What KubeRay gives the autoscaler's container where autoscalerOptions.resources is silent
# (controllers/ray/common/pod.go, BuildAutoscalerContainer).
AUTOSCALER = {"requests": {"cpu": "500m", "memory": "512Mi"}}


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


def cluster_amounts(cluster: Obj) -> tuple[Amount, Amount]:
    """What a RayCluster's spec requests at its start (`replicas`, else `minReplicas`), and with all its workers."""
    head = pod_amount((cluster.get("headGroupSpec") or {}).get("template") or {})
    if cluster.get("enableInTreeAutoscaling"):
        options = cluster.get("autoscalerOptions") or {}
        head += _container({"resources": options.get("resources") or AUTOSCALER})
    start = most = head
    for group in cluster.get("workerGroupSpecs") or []:
        pod = pod_amount(group.get("template") or {}).times(int(group.get("numOfHosts") or 1))
        fewest = int(group.get("minReplicas") or 0)
        start += pod.times(max(int(group.get("replicas") or fewest), fewest))
        most += pod.times(max(int(group.get("maxReplicas") or 0), fewest))
    return start, most


def pod_amount(template: Mapping[str, Any]) -> Amount:
    """What a pod of a template requests; an init container counts where it asks for more than the rest together."""
    spec = template.get("spec") or {}
    first = reduce(Amount.most, map(_container, spec.get("initContainers") or []), Amount())
    return _sum(map(_container, spec.get("containers") or [])).most(first)


def _sum(amounts: Iterable[Amount]) -> Amount:
    return reduce(Amount.__add__, amounts, Amount())


def _container(container: Mapping[str, Any]) -> Amount:
    """Requests; a limit counts where there is no request, as the API server fills it in."""
    from kubernetes.utils.quantity import parse_quantity

    resources = container.get("resources") or {}
    wanted = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    gpus = sum(float(parse_quantity(value)) for name, value in wanted.items() if _is_gpu(name))
    return Amount(float(parse_quantity(wanted.get("cpu", 0))), float(parse_quantity(wanted.get("memory", 0))), gpus)


def _is_gpu(resource: str) -> bool:
    name = resource.rpartition("/")[2]
    return "/" in resource and (name.startswith(("gpu", "mig-")) or name.endswith("gpu"))
