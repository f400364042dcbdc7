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
    """What a deployment of a Serve config asks for: its placement group where it has one, which holds the actor too.

    Ray's default is one CPU.
    """
    options = deployment.get("ray_actor_options") or {}
    bundles = deployment.get("placement_group_bundles")
    if not bundles:
        return Asks(((float(options.get("num_cpus", 1)), float(options.get("num_gpus", 0))),), _group(options))
    (selector, *_) = deployment.get("placement_group_bundle_label_selector") or [{}]
    parts = tuple((float(each.get("CPU", 0)), float(each.get("GPU", 0))) for each in bundles)
    return Asks(parts, selector.get(GROUP_LABEL))


def _group(options: dict[str, Any]) -> str | None:
    name = (options.get("label_selector") or {}).get(GROUP_LABEL)
    return str(name) if name else None
