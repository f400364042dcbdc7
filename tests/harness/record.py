"""Record ray.io objects as a cluster really shows them: every version that the API server tells of, without noise.

with Recorder(kube, "health-1", folder, versions) as recorder:
    kube.apply(objects, namespace="health-1")
    recorder.keep("new", "applied, the operator has not looked", RAY_SERVICE, lambda obj: "status" not in obj)
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

from rayops.kube import Kind, Kube, KubeError, Obj, Timeout, WaitError, dig
from rayops.kube.objects import RAY_CLUSTER, RAY_JOB, RAY_SERVICE, name_of

PLURALS: Final = {RAY_SERVICE: "rayservices", RAY_CLUSTER: "rayclusters", RAY_JOB: "rayjobs"}
METADATA: Final = ("name", "namespace", "generation", "deletionTimestamp", "finalizers")
# What a health rule could read of a spec; the rest is the pods' business.
SPEC: Final = {
    "RayService": ("serveConfigV2", "upgradeStrategy", "excludeHeadPodFromServeSvc"),
    "RayCluster": ("suspend", "enableInTreeAutoscaling"),
    "RayJob": ("suspend", "submissionMode", "backoffLimit", "clusterSelector", "shutdownAfterJobFinishes"),
}
GROUP: Final = ("groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "suspend")
NOISE: Final = frozenset(
    {
        "dashboardURL", "desiredCPU", "desiredGPU", "desiredMemory", "desiredTPU", "endpoints", "head",
        "stateTransitionTimes",
    }
)  # fmt: skip


def trimmed(obj: Obj) -> Obj:
    """The object without what no health rule reads: most metadata, the pods' specs, addresses. A fresh object."""
    spec = {key: obj["spec"][key] for key in SPEC[obj["kind"]] if key in dig(obj, "spec", default={})}
    if obj["kind"] == "RayCluster":
        spec |= _cluster_spec(obj["spec"])
    elif found := _cluster_spec(dig(obj, "spec", "rayClusterConfig", default={})):
        spec["rayClusterConfig"] = found
    metadata = {key: obj["metadata"][key] for key in METADATA if key in obj["metadata"]}
    if ours := {k: v for k, v in dig(obj, "metadata", "annotations", default={}).items() if k.startswith("ray.io/")}:
        metadata["annotations"] = ours
    rest = {"status": _without_noise(obj["status"])} if "status" in obj else {}
    return {"apiVersion": "ray.io/v1", "kind": obj["kind"], "metadata": metadata, "spec": spec, **rest}


def _cluster_spec(spec: Obj) -> Obj:
    found = {key: spec[key] for key in SPEC["RayCluster"] if key in spec}
    groups = [{key: group[key] for key in GROUP if key in group} for group in spec.get("workerGroupSpecs", [])]
    return found | ({"workerGroupSpecs": groups} if groups else {})


def _without_noise(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_noise(inner) for key, inner in value.items() if key not in NOISE}
    return [_without_noise(inner) for inner in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Version:
    """One version of an object. at: monotonic seconds at which we were told of it."""

    at: float
    obj: Obj


@dataclass
class Recorder:
    """All that the API server tells of the ray.io objects of a namespace. versions: of the software, in words."""

    kube: Kube
    namespace: str
    folder: Path
    versions: str
    seen: list[Version] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        for kind in PLURALS:
            threading.Thread(target=self._watch, args=(kind,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def mark(self) -> int:
        """Now: versions from here on are those that are told from now on."""
        return len(self.seen)

    def of(self, kind: Kind, since: int = 0) -> list[Version]:
        """The versions of objects of a kind since a mark."""
        return [version for version in self.seen[since:] if version.obj["kind"] == kind.name]

    def find(
        self, kind: Kind, wanted: Callable[[Obj], bool], *, since: int = 0, timeout: Timeout = Timeout.LONG
    ) -> Version:
        """The first version since a mark that is wanted. Raises WaitError with the last one when none comes in time."""
        started = time.monotonic()
        while time.monotonic() - started < timeout.value:
            if found := next((v for v in self.of(kind, since) if wanted(v.obj)), None):
                return found
            time.sleep(0.1)
        last = [trimmed(version.obj) for version in self.of(kind, since)[-1:]]
        raise WaitError(f"a {kind.name} to record", timeout.value, last)

    def keep(
        self, name: str, how: str, kind: Kind, wanted: Callable[[Obj], bool],
        *, since: int = 0, timeout: Timeout = Timeout.LONG,
    ) -> Version:  # fmt: skip
        """Write the first version that is wanted to `<folder>/<kind>/<name>.yaml`; the version."""
        found = self.find(kind, wanted, since=since, timeout=timeout)
        self.write(name, how, found.obj)
        return found

    def write(self, name: str, how: str, obj: Obj) -> Path:
        """Write an object with a note of how it came to be; the file."""
        file: Path = self.folder / obj["kind"].lower() / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        note = "".join(f"# {line}\n" for line in [how, f"Recorded from {self.versions}."])
        text: str = yaml.dump(trimmed(obj), Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)
        file.write_text(note + text)
        return file

    def _watch(self, kind: Kind) -> None:
        from kubernetes import client, watch

        api = client.CustomObjectsApi(client.ApiClient(self.kube.configuration))
        version = ""
        while not self._stop.is_set():
            try:
                for event in watch.Watch().stream(
                    api.list_namespaced_custom_object, "ray.io", "v1", self.namespace, PLURALS[kind],
                    resource_version=version, timeout_seconds=20,
                ):  # fmt: skip
                    version = event["object"]["metadata"]["resourceVersion"]
                    # The last version comes once more when the object is gone.
                    if event["type"] != "DELETED":
                        self.seen.append(Version(time.monotonic(), event["object"]))
            except (KubeError, client.ApiException, OSError):
                version = ""


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as they are, unless a line is too long to stay one."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    lines = value.splitlines()
    style = ("|" if max(map(len, lines)) <= 120 else '"') if len(lines) > 1 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


@dataclass
class Asked:
    """Whether requests were answered, by the clock. looks: (began, ended, answered), oldest first."""

    ask: Callable[[], bool]
    looks: list[tuple[float, float, bool]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            answered = self.ask()
            self.looks.append((began, time.monotonic(), answered))
            self._stop.wait(0.25)

    def at(self, moment: float) -> str:
        """What the first request said that began at a moment or later."""
        found = next((look for look in self.looks if look[0] >= moment), None)
        if not found:
            return "not asked"
        return "answered" if found[2] else f"not answered within {found[1] - found[0]:.1f} s"


def of_name(name: str, wanted: Callable[[Obj], bool] = bool) -> Callable[[Obj], bool]:
    """The predicate that also asks for a name."""
    return lambda obj: name_of(obj) == name and wanted(obj)
