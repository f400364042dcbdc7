"""What a check sees: everything of one source, and KubeRay's answers, asked once for all sources."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rayops.lint.model import Finding, Rule
from rayops.lint.view import KINDS, Ray
from rayops.render.objects import Obj

if TYPE_CHECKING:
    from rayops.kuberay import Answer
    from rayops.render.sources import Place, Resource


@dataclass(frozen=True)
class Context:
    """One source. Only objects that fit their schema are here: rules may trust the types of the CRD.

    source: its name; kind: kustomize, helm or manifest; files: what it was rendered from, relative to root.
    kuberay: KubeRay's answer for an object, None where the object cannot be asked about.
    """

    source: str
    kind: str
    resources: tuple["Resource", ...]
    root: Path = field(default_factory=Path)
    files: frozenset[str] = frozenset()
    kuberay: Callable[[Obj], "Answer | None"] = lambda _: None
    # What checks have worked out for all sources of one run: overlays share their bases.
    shared: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def ray(self) -> tuple[Ray, ...]:
        """All RayServices, RayClusters and RayJobs."""
        return tuple(
            Ray(each)
            for each in self.resources
            if str(each.obj.get("kind")) in KINDS and str(each.obj.get("apiVersion", "")).startswith("ray.io/")
        )

    @property
    def services(self) -> tuple[Ray, ...]:
        """The RayServices."""
        return tuple(each for each in self.ray if each.kind == "RayService")

    def of_kind(self, *kinds: str) -> Iterator["Resource"]:
        """All resources of some kinds."""
        return (each for each in self.resources if each.obj.get("kind") in kinds)

    def finding(self, rule: Rule, resource: "Resource", path: Sequence[str], message: str) -> Finding:
        """A finding at a field of a resource; `path` as in rayops.review.changes.Change.path."""
        place = place_of(resource, path)
        said = " ".join(message.split())  # names and values of a manifest may hold anything
        return Finding(rule, title(resource.obj), tuple(path), said, self.source, place, rule.severity)


def place_of(resource: "Resource", path: Sequence[str]) -> "Place | None":
    """Where a field is written; where that is not known, where the nearest field above it is; else the object's."""
    for end in range(len(path), 0, -1):
        if found := resource.place_of(path[:end]):
            return found
    return resource.place


def title(obj: Obj) -> str:
    """`RayService rag/rag`, whatever the object looks like."""
    meta = obj.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    space = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return " ".join(f"{obj.get('kind', '?')} {space}{meta.get('name', '?')}".split())
