"""Flux's kustomize-controller, unmodified, and an open stand-in for its source-controller.

source-controller cannot be built from Go modules (one of them is not served), so `Source` does its part here: it looks
at the branch every `spec.interval` of the real GitRepository object, and fills that object's status with a real archive
that the Git server serves. All that follows (fetch, digest, build, apply, prune, health) is the real controller.
"""

import hashlib
import re
import threading
import time
from datetime import UTC, datetime
from typing import Any

from rayops.errors import RayopsError
from rayops.kube import Kube, Obj, Timeout, dig
from rayops.kube.objects import Kind, condition, name_of
from tests.harness.delivery import images
from tests.harness.delivery.controller import Verdict
from tests.harness.delivery.crds import apply_crds
from tests.harness.delivery.repository import IN_CLUSTER, GitServer, artifact_path, install

KUSTOMIZATION = Kind("kustomize.toolkit.fluxcd.io/v1", "Kustomization")
GIT_REPOSITORY = Kind("source.toolkit.fluxcd.io/v1", "GitRepository")
REQUESTED = "reconcile.fluxcd.io/requestedAt"
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
# From the beginning of a reconciliation to its verdict, with a health check that fails at its first look.
REPORT_S = 30.0
FAILED = {"BuildFailed", "HealthCheckFailed", "ReconciliationFailed", "ArtifactFailed", "PruneFailed"}


class Flux:
    """Flux and the one Kustomization that syncs a pipeline. objects: what a company applies to Flux's namespace."""

    name = "flux"
    namespace = "flux-system"

    def __init__(self, kube: Kube, image: str, kustomization: str, objects: list[Obj], server: GitServer) -> None:
        self._kube, self._image, self._kustomization, self._objects = kube, image, kustomization, objects
        (pipeline,) = (obj for obj in objects if obj["kind"] == KUSTOMIZATION.name and name_of(obj) == kustomization)
        self.looks_again_s = seconds(pipeline["spec"]["interval"]) + REPORT_S
        self.sources = [Source(kube, server, obj) for obj in objects if obj["kind"] == GIT_REPOSITORY.name]

    def install(self) -> None:
        """Definitions, pod."""
        kustomizations, sources = images.flux_sources()
        apply_crds(self._kube, kustomizations / "config/crd/bases", sources / "config/crd/bases")
        install(self._kube, "flux", self._image)

    def start(self) -> None:
        """Apply the company's objects, serve the first commit."""
        self._kube.apply(self._objects, namespace=self.namespace)
        for source in self.sources:
            source.publish()
            source.start()

    def look_now(self) -> None:
        """What Flux's webhook receiver does: the source looks at once, and the Kustomization is asked to."""
        for source in self.sources:
            source.look_now()
        body = {"metadata": {"annotations": {REQUESTED: datetime.now(UTC).isoformat()}}}
        self._kube.patch(KUSTOMIZATION, self._kustomization, self.namespace, body)

    def verdict(self) -> Verdict:
        """The Ready condition and the revision that it is about."""
        found = self._kube.get(KUSTOMIZATION, self._kustomization, self.namespace)
        ready = condition(found, "Ready") or {}
        reason, message = str(ready.get("reason", "")), str(ready.get("message", ""))
        attempted = str(dig(found, "status", "lastAttemptedRevision", default=""))
        observed = dig(found, "status", "observedGeneration") == dig(found, "metadata", "generation")
        applied = dig(found, "status", "lastAppliedRevision") == attempted
        return Verdict(
            commit=attempted.rpartition(":")[2],
            state=f"Ready={ready.get('status')} {reason}",
            healthy=bool(observed and applied and ready.get("status") == "True"),
            failed=ready.get("status") == "False" and reason in FAILED,
            message=message,
        )

    def stop(self) -> None:
        """Delete the Kustomizations, and with them what they applied."""
        for source in self.sources:
            source.stop()
        for found in self._kube.list(KUSTOMIZATION, self.namespace):
            self._kube.delete(KUSTOMIZATION, name_of(found), self.namespace)
        for found in self._kube.list(KUSTOMIZATION, self.namespace):
            self._kube.wait_gone(KUSTOMIZATION, name_of(found), self.namespace, timeout=Timeout.MEDIUM)

    def objects(self) -> dict[str, object]:
        """Kustomizations and the source."""
        return {kind.name: self._kube.list(kind, self.namespace) for kind in (KUSTOMIZATION, GIT_REPOSITORY)}


class Source:
    """Stands in for source-controller, for one GitRepository that names a branch or a tag."""

    def __init__(self, kube: Kube, server: GitServer, source: Obj) -> None:
        self._kube, self._server = kube, server
        self._name, self._namespace = name_of(source), source["metadata"]["namespace"]
        self._repository = str(source["spec"]["url"]).rpartition("/")[2].removesuffix(".git")
        ((kind, self._ref),) = source["spec"]["ref"].items()
        self._full_ref = {"branch": "refs/heads/", "tag": "refs/tags/"}[kind] + self._ref
        self.interval = seconds(source["spec"]["interval"])
        self._published = ""
        self._lock = threading.Lock()
        self._end, self._begin_anew = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._poll, name=f"source-{self._name}", daemon=True)

    def start(self) -> None:
        """Look at it again and again."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._end.set()
        self._begin_anew.set()
        if self._thread.is_alive():
            self._thread.join(timeout=Timeout.SHORT.value)

    def look_now(self) -> None:
        """Look at once; the next look is a whole interval later."""
        self.publish()
        self._begin_anew.set()

    def publish(self) -> None:
        """If the branch or tag has moved, fill the GitRepository's status with its head."""
        with self._lock:
            sha = self._server.commit_of(self._repository, self._full_ref)
            if sha != self._published:
                self._kube.patch(GIT_REPOSITORY, self._name, self._namespace, self._status(sha), subresource="status")
                self._published = sha

    def _poll(self) -> None:
        while not self._end.is_set():
            if self._begin_anew.wait(self.interval):
                self._begin_anew.clear()
                continue
            try:
                self.publish()
            except (RayopsError, OSError, LookupError):  # the cluster may be going; who waits says what was seen
                time.sleep(1)

    def _status(self, sha: str) -> dict[str, Any]:
        live = self._kube.get(GIT_REPOSITORY, self._name, self._namespace)
        archive, revision = self._server.archive(self._repository, sha), f"{self._ref}@sha1:{sha}"
        path = artifact_path(self._repository, sha)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        stored = f"stored artifact for revision '{revision}'"
        generation = live["metadata"]["generation"]
        ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": stored}
        artifact = {
            "digest": f"sha256:{hashlib.sha256(archive).hexdigest()}",
            "size": len(archive),
            "lastUpdateTime": now,
            "path": path.lstrip("/"),
            "revision": revision,
            "url": IN_CLUSTER + path,
        }
        ready |= {"lastTransitionTime": now, "observedGeneration": generation}
        return {"status": {"observedGeneration": generation, "artifact": artifact, "conditions": [ready]}}


def seconds(duration: str) -> float:
    """A Go duration (1m30s) in seconds."""
    parts = re.findall(r"(\d+)([hms])", duration)
    if "".join(number + unit for number, unit in parts) != duration or not parts:
        raise ValueError(f"{duration!r} is no duration of whole hours, minutes and seconds")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
