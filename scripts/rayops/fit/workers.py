"""The Ray resources of a pod, as KubeRay writes them into `ray start` and Ray takes them.

KubeRay 1.6.2, controllers/ray/common/pod.go: the group's `resources` go into rayStartParams
(updateRayStartParamsResources); what is still missing comes from the first container: num-cpus from its limit, else its
request, rounded up; memory from its limit; num-gpus from the limit of the first resource that is a GPU by name; TPU or
neuron_cores from theirs (generateRayStartCommand, addWellKnownAcceleratorResources). What is nowhere, Ray measures on
the node when it starts: nobody can know it before.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rayops.errors import RayopsError
from rayops.fit.amounts import quantity
from rayops.fit.cluster import HEAD, Group

_MIG = re.compile(r"nvidia\.com/mig-\d+g\.\d+gb$")
_ACCELERATORS = {"aws.amazon.com/neuroncore": "neuron_cores", "google.com/tpu": "TPU"}
# Labels that Ray sets itself when it starts (ray/_private/resource_and_label_spec.py, _get_default_labels).
GROUP_LABEL = "ray.io/node-group"
MEASURED_LABELS = ("ray.io/",)
_HEAD_GROUP = "headgroup"


@dataclass(frozen=True)
class RayNode:
    """A pod as a node of Ray. resources: CPU, GPU, memory (bytes) and custom ones.

    unknown: those that Ray measures where it starts. labels: the group's; those that Ray finds out itself are unknown.
    """

    group: str
    resources: Mapping[str, float]
    unknown: frozenset[str]
    labels: Mapping[str, str]

    def has(self, name: str) -> float:
        """How much of a resource; inf where it may be anything."""
        if name in self.unknown:
            return math.inf
        if name.startswith("accelerator_type:") and name not in self.resources:
            # Ray adds the type of the GPUs that it finds, 1 of it for each node.
            return math.inf if self.resources.get("GPU") or "GPU" in self.unknown else 0.0
        return self.resources.get(name, 0.0)


def ray_node(group: Group) -> RayNode:
    """The node that a pod of a group becomes. RayopsError names the group and the field that cannot be read."""
    try:
        return _ray_node(group)
    except (ValueError, TypeError, AttributeError) as error:
        text = f"group {group.name}: the resources of its Ray cannot be read: {' '.join(str(error).split())}"
        raise RayopsError(text, hint="rayStartParams, resources, or the first container's resources") from error


def _ray_node(group: Group) -> RayNode:
    params = {str(key): str(value) for key, value in (group.spec.get("rayStartParams") or {}).items()}
    custom = _custom(params.get("resources", ""))
    found: dict[str, float] = {name: float(params[flag]) for flag, name in _FLAGS.items() if params.get(flag)}
    for name, value in (group.spec.get("resources") or {}).items():
        kind = name.lower()
        target = {"cpu": "CPU", "memory": "memory"}.get(kind, "GPU" if is_gpu_of_kuberay(kind) else "")
        if target:
            found[target] = math.ceil(quantity(value))
        else:
            custom[name] = quantity(value)
    limits, requests = _of_container(group)
    if "CPU" not in found and (cpus := limits.get("cpu") or requests.get("cpu")):
        found["CPU"] = math.ceil(cpus)
    if "memory" not in found and (memory := limits.get("memory")):
        found["memory"] = math.ceil(memory)
    for name, value in sorted(limits.items()):
        if value and "GPU" not in found and is_gpu_of_kuberay(name):
            found["GPU"] = math.ceil(value)
        if value and name in _ACCELERATORS and not set(_ACCELERATORS.values()) & custom.keys():
            custom[_ACCELERATORS[name]] = value
    labels = {GROUP_LABEL: _HEAD_GROUP if group.name == HEAD else group.name}
    labels |= {str(key): str(value) for key, value in (group.spec.get("labels") or {}).items()}
    if group.name == HEAD:
        custom["node:__internal_head__"] = 1.0
    unknown = frozenset({"CPU", "memory"} - found.keys())
    return RayNode(group.name, {"GPU": 0.0, **custom, **found}, unknown, labels)


_FLAGS = {"num-cpus": "CPU", "num-gpus": "GPU", "memory": "memory"}


def is_gpu_of_kuberay(resource: str) -> bool:
    """What KubeRay takes for GPUs (utils/resources.go, IsGPUResourceKey)."""
    return resource.endswith("gpu") or bool(_MIG.search(resource))


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector of Ray fits a node: `a`, `!a`, `in(a,b)`, `!in(a,b)`, all of them.

    A label `ray.io/…` that the group does not set is one that Ray finds out when it starts: it fits.
    """
    return all(_one(str(value), labels.get(name), name) for name, value in selector.items() if value is not None)


def _one(wanted: str, there: str | None, name: str) -> bool:
    if there is None and name.startswith(MEASURED_LABELS):
        return True
    negated = wanted.startswith("!")
    text = wanted.removeprefix("!").strip()
    listed = re.fullmatch(r"in\((.*)\)", text)
    values = [each.strip() for each in listed[1].split(",")] if listed else [text]
    return (there in values) != negated


def _custom(text: str) -> dict[str, float]:
    """The JSON of rayStartParams.resources, in whatever quotes."""
    text = text.strip("'\"` ").replace('\\"', '"')
    loaded = json.loads(text) if text else {}
    if not isinstance(loaded, dict):
        raise ValueError(f"rayStartParams.resources: {text} is no JSON object")
    return {str(name): float(value) for name, value in loaded.items()}


def _of_container(group: Group) -> tuple[dict[str, float], dict[str, float]]:
    """Limits and requests of the container that runs Ray: the first."""
    first = (group.pod.get("containers") or [{}])[0]
    given = first.get("resources") or {}
    limits, requests = (
        {name: quantity(value) for name, value in (given.get(part) or {}).items()} for part in ("limits", "requests")
    )
    return limits, requests
