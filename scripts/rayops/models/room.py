"""Whether one replica of a worker group holds a model: GPUs, their memory, or the memory of a worker without any."""

from dataclasses import dataclass
from typing import Any

from rayops.models.places import Group
from rayops.models.schema import Catalogue, Model

Misfit = tuple[str, str]  # what is wrong, and the way out


@dataclass(frozen=True)
class Need:
    """What a model takes. size_gib: with its adapters; share: the part of a GPU's memory that its engine takes."""

    size_gib: float
    tensor: int
    pipeline: int
    share: float

    @property
    def parts(self) -> int:
        """GPUs that the weights are spread over, where there are any."""
        return self.tensor * self.pipeline


def need(catalogue: Catalogue, model: Model, environment: str, defaults: dict[str, Any]) -> Need | Misfit:
    """What a model takes, with its own engine arguments over `defaults`, those of its application."""
    arguments = {**defaults, **model.engine_args}
    tensor, pipeline = (arguments.get(f"{name}_parallel_size", 1) for name in ("tensor", "pipeline"))
    if any(isinstance(value, bool) or not isinstance(value, int) or value < 1 for value in (tensor, pipeline)):
        return f"tensor and pipeline parallel are {tensor!r} and {pipeline!r}", "whole numbers from 1 in engine_args"
    share = arguments.get("gpu_memory_utilization", catalogue.gpu_memory_utilization)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        return f"gpu_memory_utilization is {share!r}", "a number above 0 and up to 1 in engine_args"
    size = model.size_gib + sum(each.size_gib for each in catalogue.adapters_in(environment, model.id))
    return Need(size, tensor, pipeline, share)


def misfit(needed: Need, group: Group, gpu_memory_gib: float | None) -> Misfit | None:
    """Why a replica of a group does not hold it; None where it does. gpu_memory_gib: of one of its GPUs."""
    gpus = int(group.gpus * group.hosts)
    if needed.parts > max(gpus, 1):
        wants = f"{needed.parts} GPUs (tensor {needed.tensor}, pipeline {needed.pipeline})"
        has = f"a replica of group {group.name} has {gpus} ({group.hosts} of {group.gpus:g})"
        return f"no place for it: it needs {wants}, {has}", "fewer parts, or another group"
    if not gpus:
        return _in_memory(needed, group)
    if gpu_memory_gib is None:
        return f"nothing says what a GPU of group {group.name} holds", f"`{group.name}: GIB` in gpu_memory_gib"
    part, room = needed.size_gib / needed.parts, gpu_memory_gib * needed.share
    if part < room:  # the cache of keys and values needs what is left
        return None
    what = f"no place for it: {part:.4g} GiB for each of {needed.parts} GPUs of group {group.name}"
    return f"{what}, where the engine has {room:.4g}", "more parts, or another group"


def _in_memory(needed: Need, group: Group) -> Misfit | None:
    if needed.size_gib <= group.memory_gib:
        return None
    has = f"a worker of group {group.name} has {group.memory_gib:.4g} of memory and no GPU"
    return f"no place for it: {needed.size_gib:g} GiB, {has}", "more memory in its sizing.env, or another group"
