"""What one replica of a deployment asks of Ray, and which workers have it."""

from dataclasses import dataclass
from typing import Any

# The label by which a deployment asks for a worker group of its own (base/components/workers-…).
GROUP_LABEL = "rayops.io/workers"


@dataclass(frozen=True)
class Asks:
    """bundles: CPUs and GPUs of each part of a replica, which lies on one worker; group: the one that it names."""

    bundles: tuple[tuple[float, float], ...]
    group: str | None = None

    @property
    def cpus(self) -> float:
        """Ray CPUs of the whole replica."""
        return sum(cpus for cpus, _ in self.bundles)

    @property
    def gpus(self) -> float:
        """GPUs of the whole replica."""
        return sum(gpus for _, gpus in self.bundles)

    @property
    def workers(self) -> str:
        """The worker group that it runs on."""
        return self.group or ("gpu" if self.gpus else "cpu")


def asks_of(deployment: dict[str, Any]) -> Asks:
    """What a deployment of a Serve config asks for: CPUs, GPUs, and the group that it names."""
    parts = tuple((each.get("CPU", 0.0), each.get("GPU", 0.0)) for each in bundles_of(deployment))
    if not deployment.get("placement_group_bundles"):
        return Asks(parts, _group(deployment.get("ray_actor_options") or {}))
    (selector, *_) = deployment.get("placement_group_bundle_label_selector") or [{}]
    return Asks(parts, selector.get(GROUP_LABEL))


def bundles_of(deployment: dict[str, Any]) -> tuple[dict[str, float], ...]:
    """Ray's resources by name for each part of a replica: CPU, GPU, memory in bytes, and custom ones.

    Its placement group where it has one, which holds the actor too (ray/serve/_private/config.py,
    ReplicaConfig._validate_placement_group_options); else the actor alone, whose default is one CPU.
    """
    options = deployment.get("ray_actor_options") or {}
    if bundles := deployment.get("placement_group_bundles"):
        return tuple({str(name): float(value or 0) for name, value in each.items()} for each in bundles)
    cpus = options.get("num_cpus")
    asked = {"CPU": float(1 if cpus is None else cpus)}
    for option, name in (("num_gpus", "GPU"), ("memory", "memory")):
        asked |= {name: float(options[option])} if options.get(option) else {}
    asked |= {str(name): float(value) for name, value in (options.get("resources") or {}).items() if value}
    if kind := options.get("accelerator_type"):
        asked[f"accelerator_type:{kind}"] = 0.001
    return (asked,)


def _group(options: dict[str, Any]) -> str | None:
    name = (options.get("label_selector") or {}).get(GROUP_LABEL)
    return str(name) if name else None
