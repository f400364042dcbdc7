"""Render an overlay of components by their names, and what their README.md gives to copy."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

from rayops.paths import ROOT
from rayops.render import Obj, one, render

AT = "base/components/"
# Those that keep a pipeline safe, in an order that works: what fetches Secrets after what needs them.
TOGETHER = (
    *("autoscaling", "pod-security", "disruption", "high-throughput", "gcs-fault-tolerance", "token-auth"),
    *("network-policy", "tls-ingress", "external-secrets"),
)
SEEN: dict[tuple[tuple[str, ...], str, str], list[Obj]] = {}


def composed_of(
    compose: Callable[..., Path], kustomize: Path, *names: str, extra: str = "", pipeline: str = "rag"
) -> list[Obj]:
    """Render components by name, base/rayservice last, for a pipeline; the same ones once a session.

    extra: YAML to append to the kustomization, such as `patches`.
    """
    key = (names, extra, pipeline)
    if key not in SEEN:
        folder = compose(*(AT + name for name in names), "base/rayservice", extra=extra)
        file = folder / "kustomization.yaml"
        file.write_text(file.read_text().replace("pipeline=rag", f"pipeline={pipeline}"))
        SEEN[key] = render(folder, binary=kustomize)
    return deepcopy(SEEN[key])


def block(component: str, first: str) -> str:
    """An indented block of a component's README.md, by its first line: the text that its reader copies."""
    text = (ROOT / AT / component / "README.md").read_text()
    found = re.search(rf"^    {re.escape(first)}.*\n(?:    .*\n)+", text, re.MULTILINE)
    assert found, f"{component}/README.md has no block {first}"
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


def cluster(objects: list[Obj]) -> dict[str, Any]:
    """The cluster spec of the one RayService."""
    found: dict[str, Any] = one(objects, "RayService")["spec"]["rayClusterConfig"]
    return found
