"""Safety family: which image runs, whether it stays the same, and whether it is the Ray that the object says."""

import re
from collections.abc import Iterator

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import Path, Ray

# These patterns stand in base/policies too, so they are RE2's as well as Python's.
TAGGED = r"^(.*/)?[^/:@]+:[^/:@]+$"
MOVING = r":(latest|nightly|.*-latest)$"
RAY_IMAGE = r"(^|/)ray(-[a-z]+)?:[0-9]+\.[0-9]+\.[0-9]+"
VERSION = r"[0-9]+\.[0-9]+\.[0-9]+"
PYTHON = r"-py3[0-9]{1,2}"

LATEST = Rule(
    "image-latest",
    "safety",
    "error",
    "an image without a tag, or with one that moves by design, is another one on each node and after each restart",
    "name a version, better a digest",
    "base/observability/runbooks/image-pull-failure.md",
)
MUTABLE = Rule(
    "image-mutable",
    "safety",
    "note",
    "a tag can be pushed again: the same commit of Git may run other code tomorrow",
    "name the image by digest where it matters: image@sha256:…",
    "https://kubernetes.io/docs/concepts/containers/images/#image-names",
)
RAY_VERSION = Rule(
    "image-ray-version",
    "safety",
    "error",
    "the image has another Ray than rayVersion says, which decides on probes, authentication and autoscaler",
    "make rayVersion and the tag the same, on head and workers",
    "https://docs.ray.io/en/latest/cluster/kubernetes/user-guides/config.html",
)
PYTHON_VERSION = Rule(
    "image-python",
    "safety",
    "error",
    "head and workers run different Pythons: Ray refuses a worker whose Python has another minor version",
    "use images of one Python version in all groups",
    "https://docs.ray.io/en/latest/ray-core/handling-dependencies.html",
)


def images(ray: Ray) -> Iterator[tuple[str, Path]]:
    """Every image of the object's pods with its path: containers, init containers, the autoscaler's."""
    for group in ray.groups:
        for container in group.containers:
            if container.obj.get("image"):
                yield str(container.obj["image"]), (*container.path, "image")
    if image := (ray.cluster.get("autoscalerOptions") or {}).get("image"):
        yield str(image), (*ray.cluster_path, "autoscalerOptions", "image")


@check(LATEST, MUTABLE)
def immutable(context: Context) -> Iterator[Finding]:
    """Images with a tag that says which; notes where it is no digest."""
    for ray in context.ray:
        # Once for each image of an object: the groups of a cluster tend to share theirs.
        for image, path in dict(reversed([*images(ray)])).items():
            if "@" in image:
                continue
            if not re.search(TAGGED, image):
                yield context.finding(LATEST, ray.resource, path, f"{image} has no tag")
            elif re.search(MOVING, image):
                yield context.finding(LATEST, ray.resource, path, f"{image} has a tag that moves")
            else:
                yield context.finding(MUTABLE, ray.resource, path, f"{image} is no digest")


@check(RAY_VERSION)
def ray_version(context: Context) -> Iterator[Finding]:
    """Official Ray images, whose tag starts with the version of Ray, against rayVersion."""
    for ray in context.ray:
        wanted = str(ray.cluster.get("rayVersion") or "")
        for image, path in images(ray):
            if re.fullmatch(VERSION, wanted) and re.search(RAY_IMAGE, image):
                found = re.search(":" + VERSION, image)
                if found and found[0] != f":{wanted}":
                    said = f"{image} has Ray {found[0][1:]}, rayVersion is {wanted}"
                    yield context.finding(RAY_VERSION, ray.resource, path, said)


@check(PYTHON_VERSION)
def python_version(context: Context) -> Iterator[Finding]:
    """Ray images whose tags name a Python (`-py311`): each worker group's against the head's."""
    for ray in context.ray:
        head = re.search(PYTHON, str(ray.head.ray.obj.get("image", "")))
        for group in ray.workers:
            found = re.search(PYTHON, str(group.ray.obj.get("image", "")))
            if head and found and head[0] != found[0]:
                said = f"group {group.name} has {found[0][1:]}, the head has {head[0][1:]}"
                yield context.finding(PYTHON_VERSION, ray.resource, (*group.ray.path, "image"), said)
