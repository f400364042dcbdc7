"""What an operator of another version does to the RayServices that are there.

On its first look KubeRay writes the whole spec over the running RayCluster, its hash included, because the annotation
ray.io/kuberay-version differs (rayservice_controller.go, shouldUpdateCluster and modifyRayCluster). Pods stay as they
are. So sizes that waited land; and what would have started a new cluster in the same sync is not rolled out at all.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rayops.render.sources import Place, Resource, Source
from rayops.review.changes import Change
from rayops.review.effects import Effect, Judged, Verdict
from rayops.review.inputs import environment_of

VERSION = "ray.io/kuberay-version"
REWRITTEN = (
    "an operator of another version writes the running RayCluster once: its pods stay, and a replica count that the "
    "autoscaler chose jumps back to the one of Git"
)
LANDS = "lands with the operator's upgrade, which writes the whole spec"
NOT_ROLLED_OUT = (
    "written over the running RayCluster with the operator's upgrade, so no new cluster is made and its pods stay as "
    "they are: upgrade the operator, wait, then change this"
)
_IMAGE = re.compile(r"(?:^|/)(?:kuberay/)?(?:kuberay-)?operator:v?(\d+\.\d+\.\d+[\w.-]*)(?:@|$)")


@dataclass(frozen=True)
class Operator:
    """KubeRay's operator of an environment. place: where it is written."""

    version: str
    place: Place | None


def operators(sources: Iterable[Source]) -> dict[str, Operator]:
    """By environment, the operator whose Deployment is rendered there. An image by digest alone tells no version."""
    found: dict[str, Operator] = {}
    for source in sources:
        for resource in source.resources:
            if version := _version(resource):
                found[environment_of(source.name)] = Operator(version, resource.place)
    return found


def _version(resource: Resource) -> str:
    obj: dict[str, Any] = resource.obj
    if obj.get("kind") != "Deployment" or "kuberay" not in str((obj.get("metadata") or {}).get("name")):
        return ""
    pod = ((obj.get("spec") or {}).get("template") or {}).get("spec") or {}
    for container in pod.get("containers") or []:
        if match := _IMAGE.search(str(container.get("image"))):
            return match[1]
    return ""


def of(operators: Mapping[str, Operator], environment: str) -> Operator | None:
    """The operator of an environment: its own, else the only one that the repository has."""
    alone = next(iter(operators.values())) if len(operators) == 1 else None
    return operators.get(environment, alone)


def upgraded(verdict: Verdict | None, obj: str, before: Operator, after: Operator) -> Verdict:
    """The verdict for a RayService that is there before and after, when its operator gets another version."""
    judged = [_moved(each) for each in (verdict.changes if verdict else ())]
    change = Change(obj, ("metadata", "annotations", VERSION), f"v{before.version}", f"v{after.version}")
    why = f"{before.version} → {after.version}: {REWRITTEN}"
    judged.append(Judged(change, Effect.CLUSTER_UPDATE, why, place=str(after.place or "")))
    order = {effect: position for position, effect in enumerate(Effect)}
    first = min(judged, key=lambda each: order[each.effect])
    kept = verdict or Verdict(obj, Effect.NOTHING, "", ())
    return replace(kept, effect=first.effect, why=first.why, changes=tuple(judged))


def _moved(each: Judged) -> Judged:
    if each.effect is Effect.NEW_CLUSTER:
        return replace(each, effect=Effect.NOT_APPLIED, why=NOT_ROLLED_OUT)
    if each.effect is Effect.NOT_APPLIED and each.change.path[:2] == ("spec", "rayClusterConfig"):
        return replace(each, effect=Effect.CLUSTER_UPDATE, why=LANDS)
    return each
