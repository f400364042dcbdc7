"""Names that Kubernetes, KubeRay and Python take."""

import keyword
import re
from pathlib import Path

from rayops.errors import RayopsError

# KubeRay 1.6.2 makes names of Services and clusters from it (ray-operator/controllers/ray/utils/constant.go).
LONGEST = 47
LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# Folders of an environment that are no pipeline, and of apps that are none.
RESERVED = frozenset({"environment", "platform", "delivery", "common", "images", "pipeline"})
FORM = "a letter, then letters, digits and dashes, all lower case, no dash at the end"


def check(what: str, name: str) -> None:
    """RayopsError for a name that is no DNS label (RFC 1035) of at most 47 characters."""
    if not LABEL.fullmatch(name):
        raise RayopsError(f"{what} {name!r} is no name for Kubernetes", hint=FORM)
    if len(name) > LONGEST:
        raise RayopsError(f"{what} {name} has {len(name)} characters, KubeRay takes {LONGEST}", hint="a shorter name")


def check_pipeline(root: Path, name: str) -> None:
    """RayopsError for a name that is wrong, taken in any environment, or no package of Python."""
    check("pipeline", name)
    package = name.replace("-", "_")
    if name in RESERVED or keyword.iskeyword(package):
        raise RayopsError(f"pipeline {name}: the name means something else here or in Python", hint="another name")
    places = [root / "apps" / package, root / "tests/apps" / package, *(root / "overlays").glob(f"*/{name}")]
    if taken := [str(place.relative_to(root)) for place in places if place.exists()]:
        raise RayopsError(f"pipeline {name} is taken: {', '.join(sorted(taken))}", hint="another name")


def check_environment(root: Path, name: str, source: str) -> None:
    """RayopsError for a name that is wrong or taken, or a source that is not there."""
    check("env", name)
    there = sorted(file.parent.name for file in (root / "overlays").glob("*/kustomization.yaml"))
    if (root / "overlays" / name).exists():
        raise RayopsError(f"env {name} is taken: overlays/{name}", hint="another name")
    if source not in there:
        raise RayopsError(f"--from {source}: no such environment", hint=f"there are: {', '.join(there)}")
