"""Ray's kinds as rules want to see them: cluster, groups, pod templates, Serve deployments, each with its path.

Everything below tolerates fields that are missing or null. Types are those of the CRD: objects that do not fit their
schema are never given to rules.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rayops.render.objects import Obj

if TYPE_CHECKING:
    from rayops.render.sources import Resource

KINDS = {"RayService": ("spec", "rayClusterConfig"), "RayCluster": ("spec",), "RayJob": ("spec", "rayClusterSpec")}
Path = tuple[str, ...]


@dataclass(frozen=True)
class Container:
    """One container of a pod template. kind: `containers` or `initContainers`."""

    obj: Obj
    path: Path
    kind: str

    @property
    def name(self) -> str:
        """Its name; "" where it has none."""
        return str(self.obj.get("name", ""))

    @property
    def env(self) -> dict[str, Obj]:
        """The environment entries by name; the last one counts, as in Kubernetes."""
        return {str(entry.get("name")): entry for entry in self.obj.get("env") or []}

    @property
    def resources(self) -> dict[str, Any]:
        """Limits, and requests where there is no limit: what Ray takes as the node's resources."""
        given = self.obj.get("resources") or {}
        return {**(given.get("requests") or {}), **(given.get("limits") or {})}


@dataclass(frozen=True)
class Group:
    """The head (`head` true, name "head") or one worker group of a cluster."""

    obj: Obj
    path: Path
    name: str
    head: bool

    @property
    def template(self) -> Obj:
        """The pod template; {} where there is none."""
        return self.obj.get("template") or {}

    @property
    def pod(self) -> Obj:
        """The pod spec; {} where there is none."""
        return self.template.get("spec") or {}

    @property
    def pod_path(self) -> Path:
        """Where the pod spec is."""
        return (*self.path, "template", "spec")

    @cached_property
    def containers(self) -> tuple[Container, ...]:
        """Containers first (the first of them is Ray), then init containers."""
        return tuple(_containers(self.pod, self.pod_path))

    @property
    def ray(self) -> Container:
        """The container that runs Ray: the first one (an empty one where the template has none)."""
        found = [each for each in self.containers if each.kind == "containers"]
        return found[0] if found else Container({}, (*self.pod_path, "containers"), "containers")

    @property
    def start_params(self) -> dict[str, str]:
        """rayStartParams as text."""
        return {str(key): str(value) for key, value in (self.obj.get("rayStartParams") or {}).items()}


@dataclass(frozen=True)
class Deployment:
    """One deployment of a Serve config with its application."""

    obj: Obj
    path: Path
    application: str

    @property
    def name(self) -> str:
        """Its name; "?" where it has none."""
        return str(self.obj.get("name", "?"))

    @property
    def replicas(self) -> tuple[int, int] | None:
        """Fewest and most replicas that the config says; None where it leaves them to the code."""
        scaling, fixed = self.obj.get("autoscaling_config"), self.obj.get("num_replicas")
        if isinstance(scaling, dict) or fixed == "auto":
            # Defaults: ray.serve.config.AutoscalingConfig; num_replicas: auto means at most 100.
            scaling = scaling or {}
            most = scaling.get("max_replicas", 100 if fixed == "auto" else 1)
            return int(scaling.get("min_replicas", 1)), int(most)
        return (int(fixed), int(fixed)) if isinstance(fixed, int) else None


@dataclass(frozen=True)
class Ray:
    """A RayService, RayCluster or RayJob."""

    resource: "Resource"

    @property
    def obj(self) -> Obj:
        """The object as rendered."""
        return self.resource.obj

    @property
    def kind(self) -> str:
        """RayService, RayCluster or RayJob."""
        return str(self.obj.get("kind"))

    @property
    def name(self) -> str:
        """`RayService rag/rag`."""
        from rayops.lint.context import title

        return title(self.obj)

    @property
    def spec(self) -> Obj:
        """The object's spec."""
        return self.obj.get("spec") or {}

    @property
    def cluster_path(self) -> Path:
        """Where the cluster's spec is."""
        return KINDS[self.kind]

    @property
    def cluster(self) -> Obj:
        """The cluster's spec; {} where it has none (a RayJob on a running cluster)."""
        found: Obj = self.obj
        for key in self.cluster_path:
            found = found.get(key) or {}
        return found

    @cached_property
    def head(self) -> Group:
        """The head."""
        return Group(self.cluster.get("headGroupSpec") or {}, (*self.cluster_path, "headGroupSpec"), "head", head=True)

    @cached_property
    def workers(self) -> tuple[Group, ...]:
        """The worker groups in their order."""
        place = (*self.cluster_path, "workerGroupSpecs")
        return tuple(
            Group(
                group, (*place, f"[{group.get('groupName', number)}]"), str(group.get("groupName", number)), head=False
            )
            for number, group in enumerate(self.cluster.get("workerGroupSpecs") or [])
        )

    @property
    def groups(self) -> tuple[Group, ...]:
        """Head and worker groups; none where the object has no cluster of its own."""
        return (self.head, *self.workers) if self.cluster else ()

    @cached_property
    def serve(self) -> Obj:
        """The Serve config as a mapping; {} where there is none, or where Ray refuses it (schema family)."""
        from rayops.lint import guard, schema

        text = self.spec.get("serveConfigV2") if self.kind == "RayService" else None
        if text is None or any(not each.unknown for each in schema.serve_problems(text)):
            return {}
        found: Obj = guard.load(str(text))
        return found

    @property
    def serve_path(self) -> Path:
        """Where the Serve config is."""
        return ("spec", "serveConfigV2")

    @property
    def applications(self) -> Iterator[tuple[Obj, Path]]:
        """The applications of the Serve config with their paths, by name."""
        listed = self.serve.get("applications")
        for number, found in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(found, dict):
                yield found, (*self.serve_path, "applications", f"[{found.get('name', number)}]")

    @property
    def deployments(self) -> Iterator[Deployment]:
        """The deployments that the Serve config lists."""
        for application, path in self.applications:
            listed = application.get("deployments")
            for number, found in enumerate(listed if isinstance(listed, list) else []):
                if isinstance(found, dict):
                    place = (*path, "deployments", f"[{found.get('name', number)}]")
                    yield Deployment(found, place, str(application.get("name", "default")))


def _containers(pod: Obj, path: Path) -> Iterator[Container]:
    for kind in ("containers", "initContainers"):
        for number, container in enumerate(pod.get(kind) or []):
            yield Container(container, (*path, kind, f"[{container.get('name', number)}]"), kind)
