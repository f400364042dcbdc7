"""The source environment as it runs: read from the cluster that was named, or from a file that kubectl wrote."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rayops.errors import RayopsError
from rayops.kube.closer import Surroundings, assess_closely
from rayops.kube.health import assess_job
from rayops.kube.objects import CLUSTER_LABEL, POD, RAY_JOB, RAY_SERVICE, Obj, dig, labels_of
from rayops.kube.verdict import Status
from rayops.promote.plan import runs
from rayops.render import name_of, repository

HOW = "--kubeconfig FILE, --context NAME, or --status FILE of `kubectl get rayservices,rayjobs,pods -A -o json`"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Live:
    """Objects of one moment. taken: when they were read from a cluster; None for a file, whose age is not known."""

    objects: tuple[Obj, ...]
    taken: datetime | None = None

    def find(self, wanted: Obj) -> Obj | None:
        """The live object of a rendered one: same kind, namespace and name."""
        return next((each for each in self.objects if name_of(each) == name_of(wanted)), None)

    def pods(self, namespace: str) -> list[Obj]:
        """The pods of a namespace."""
        mine = [each for each in self.objects if each.get("kind") == "Pod"]
        return [pod for pod in mine if dig(pod, "metadata", "namespace") == namespace]


def from_file(file: Path) -> Live:
    """What kubectl wrote: a List, or one object. RayopsError naming what is wrong with the file."""
    try:
        loaded = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RayopsError(f"--status {file}: {' '.join(str(error).split())}", hint=HOW) from error
    items = loaded.get("items", [loaded]) if isinstance(loaded, dict) else None
    if not isinstance(items, list) or not all(isinstance(each, dict) and each.get("kind") for each in items):
        raise RayopsError(f"--status {file}: no list of Kubernetes objects", hint=HOW)
    return Live(tuple(items))


def from_cluster(kubeconfig: Path, context: str | None) -> Live:
    """RayServices, RayJobs and pods of a cluster; it is only read. RayopsError, KubeError when it does not answer."""
    from rayops.kube import Kube

    kube = Kube.connect(kubeconfig, context, i_know=True)
    objects = [obj for kind in (RAY_SERVICE, RAY_JOB, POD) for obj in kube.list(kind)]
    return Live(tuple(objects), datetime.now(UTC))


def problem(live: Live, wanted: Obj) -> str:
    """Why what runs is no proof of what Git has; "" when it is. wanted: the RayService or RayJob of the source."""
    found = live.find(wanted)
    if found is None:
        return f"{name_of(wanted)} is not there"
    return _unhealthy(live, found) or _other_images(wanted, found)


def _unhealthy(live: Live, found: Obj) -> str:
    if found["kind"] == "RayJob":
        verdict = assess_job(found)
        ended = dig(found, "status", "jobStatus") == "SUCCEEDED" and verdict.status is Status.HEALTHY
        return "" if ended else f"{name_of(found)} has not succeeded: {verdict.message}"
    pods = live.pods(str(dig(found, "metadata", "namespace", default="")))
    health = assess_closely(found, Surroundings(pods, (), live.taken))
    return "" if health.healthy else f"{name_of(found)} is {health}"


def _other_images(wanted: Obj, found: Obj) -> str:
    ours, theirs = runs(wanted), runs(found)
    for image in sorted(set(ours) | set(theirs)):
        if ours.get(image) != theirs.get(image):
            git, runs_now = (", ".join(sorted(each.get(image, {"nothing"}))) for each in (ours, theirs))
            return f"{name_of(found)} runs {runs_now}, Git has {git}"
    return ""


def digests(live: Live, wanted: Obj, images: Iterable[str]) -> dict[str, str]:
    """The digests that the pods of a RayService's active cluster run, by repository; an image without a pod has none.

    RayopsError where pods run two digests of one tag, or an image that was loaded by hand and has no registry's digest.
    """
    found = live.find(wanted)
    cluster = dig(found or {}, "status", "activeServiceStatus", "rayClusterName", default="")
    running: dict[str, set[str]] = {}
    for pod in live.pods(str(dig(wanted, "metadata", "namespace", default=""))):
        if cluster and labels_of(pod).get(CLUSTER_LABEL) == cluster:
            for image, digest in _of_pod(pod).items():
                running.setdefault(image, set()).add(digest)
    return {image: _one(image, running[image]) for image in images if image in running}


def _of_pod(pod: Obj) -> dict[str, str]:
    """Repository → imageID of the containers of a pod that run."""
    images = {each["name"]: each["image"] for each in dig(pod, "spec", "containers", default=[])}
    states = dig(pod, "status", "containerStatuses", default=[])
    return {repository(images[each["name"]]): str(each.get("imageID", "")) for each in states if each["name"] in images}


def _one(image: str, ids: set[str]) -> str:
    known = {each.rpartition("://")[2] for each in ids}  # docker-pullable://…
    found = {each.rpartition("@")[2] for each in known if DIGEST.search(each) and repository(each) == image}
    if len(found) != 1 or len(found) != len({each.rpartition("@")[2] for each in known}):
        what = "has no digest of a registry" if not found else "is two images under one tag"
        raise RayopsError(f"{image} {what} ({', '.join(sorted(ids))})", hint=f"--digest {image}=sha256:…")
    return found.pop()


def parse_digests(given: Iterable[str], images: Mapping[str, str]) -> dict[str, str]:
    """`sha256:…` for the only image there is, or `IMAGE=sha256:…`. RayopsError for what is neither."""
    found = {}
    for text in given:
        image, equals, digest = text.rpartition("=")
        if not DIGEST.fullmatch(digest) or set(digest[7:]) == {"0"}:
            raise RayopsError(f"--digest {text}: no digest", hint="[IMAGE=]sha256: and 64 hex digits, not all zero")
        if not equals and len(images) != 1:
            raise RayopsError(
                f"--digest {text}: of which image?", hint=f"IMAGE={digest[:14]}…, one of {', '.join(images)}"
            )
        found[image or next(iter(images))] = digest
    return found
