"""Which lists a strategic merge patch merges, and which it replaces: Kustomize's rules for known kinds and others.

Kustomize merges a list where Kubernetes' own API description names a merge key; every other list of a patch takes the
place of the one that is there, silently. Kinds that Kustomize does not know, all of ray.io among them, have no keys.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CONTAINER_KEYS = {
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
}
POD_KEYS = {
    "volumes": "name",
    "imagePullSecrets": "name",
    "topologySpreadConstraints": "topologyKey",
    **{
        f"{containers}{rest}": key
        for containers in ("containers", "initContainers")
        for rest, key in {"": "name", **{f"[].{name}": key for name, key in CONTAINER_KEYS.items()}}.items()
    },
}
PODS = {  # where the pod's spec lies
    "Pod": "spec",
    "PodTemplate": "template.spec",
    "CronJob": "spec.jobTemplate.spec.template.spec",
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), "spec.template.spec"),
}
KEYS: dict[str, dict[str, str]] = {
    **{kind: {f"{place}.{path}": key for path, key in POD_KEYS.items()} for kind, place in PODS.items()},
    "Service": {"spec.ports": "port"},
    "ServiceAccount": {"secrets": "name"},  # not its imagePullSecrets
}


@dataclass(frozen=True)
class Patch:
    """A strategic merge patch and what it is aimed at. where: the file that holds it.

    name: a regular expression, "" for any, as in Kustomize's targets; labels: those that a target must have.
    """

    where: str
    kind: str
    name: str
    labels: frozenset[tuple[str, str]]
    body: dict[str, Any]

    def hits(self, obj: dict[str, Any]) -> bool:
        meta = obj["metadata"]
        named = not self.name or bool(re.fullmatch(self.name, meta.get("name", "")))
        return obj["kind"] == self.kind and named and self.labels <= set((meta.get("labels") or {}).items())


@dataclass
class Tree:
    """All manifests and all merge patches below some folders."""

    objects: list[dict[str, Any]] = field(default_factory=list)
    patches: list[Patch] = field(default_factory=list)


def read(*folders: Path) -> Tree:
    """Follow every kustomization.yaml below the folders: what it lists as a resource, what it patches, also inline."""
    tree = Tree()
    for file in sorted(path for folder in folders for path in folder.rglob("kustomization.yaml")):
        kustomization = yaml.safe_load(file.read_text())
        for entry in kustomization.get("resources", []):
            if (file.parent / entry).is_file():
                tree.objects += [each for each in yaml.safe_load_all((file.parent / entry).read_text()) if each]
        tree.patches += list(patches_of(file, kustomization))
    return tree


def patches_of(file: Path, kustomization: dict[str, Any]) -> Iterator[Patch]:
    old_style = [{"path": entry} for entry in kustomization.get("patchesStrategicMerge", [])]
    for entry in [*kustomization.get("patches", []), *old_style]:
        source = file.parent / entry["path"] if "path" in entry else file
        text = source.read_text() if "path" in entry else entry["patch"]
        for body in yaml.safe_load_all(text):
            if isinstance(body, dict):  # a list of operations merges nothing
                aim: dict[str, Any] = entry.get("target") or {"name": re.escape(body["metadata"]["name"])}
                pairs = [part.partition("=") for part in aim.get("labelSelector", "").split(",") if part]
                labels = frozenset((key, value) for key, _, value in pairs)
                yield Patch(str(source), str(aim.get("kind") or body["kind"]), aim.get("name", ""), labels, body)


def faults(tree: Tree) -> list[str]:
    """Each list of a merge patch that takes the place of another one, or would with the next list beside it."""
    found = []
    for patch in tree.patches:
        keys = KEYS.get(patch.kind, {})
        others = [obj for obj in tree.objects if patch.hits(obj)]
        others += [other.body for other in tree.patches if other is not patch and meet(patch, other)]
        there = {place for other in others for place in places(other, keys)}
        for place, value in lists_of(patch.body, keys):
            cause = fault(value, place, there, ray=patch.kind.startswith("Ray"))
            if cause:
                found.append(f"{patch.where}: {place} {cause}")
        found += [f"{patch.where}: {place} is a directive that replaces" for place in directives(patch.body)]
    return found


def meet(one: Patch, other: Patch) -> bool:
    """Whether two patches may be aimed at the same object."""
    named = one.name == other.name or "" in (one.name, other.name)
    return one.kind == other.kind and named and (one.labels <= other.labels or other.labels <= one.labels)


def fault(value: Any, place: str, there: set[str], *, ray: bool) -> str:
    """What is wrong with a list that has no merge key (None: with a field that is taken away); "" for nothing."""
    if place in there:
        return "takes a list away" if value is None else "replaces a list that is there already: append by JSON 6902"
    if ray and isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return "is a list of objects in a Ray kind, which has no merge keys: append by JSON 6902"
    return ""


def places(body: Any, keys: dict[str, str]) -> set[str]:
    return {place for place, value in lists_of(body, keys) if value is not None}


def lists_of(node: Any, keys: dict[str, str], place: str = "", shape: str = "") -> Iterator[tuple[str, Any]]:
    """(place, value) of each list that would replace another, and of each null.

    `place` names the items of merged lists (containers[ray].args), `shape` does not (containers[].args): as in `keys`.
    """
    for name, value in node.items():
        here, form = (f"{prefix}.{name}" if prefix else str(name) for prefix in (place, shape))
        if isinstance(value, dict):
            yield from lists_of(value, keys, here, form)
        elif isinstance(value, list) and form in keys:
            for item in value:
                yield from lists_of(item, keys, f"{here}[{item.get(keys[form])}]", f"{form}[]")
        elif isinstance(value, list) or value is None:
            yield here, value


def directives(node: Any, place: str = "") -> Iterator[str]:
    """The places of `$patch: replace` at any depth; `$patch: delete` takes one whole object or item, by name."""
    if isinstance(node, dict):
        if node.get("$patch") == "replace":
            yield place or "the object"
        for name, value in node.items():
            yield from directives(value, f"{place}.{name}" if place else str(name))
    if isinstance(node, list):
        for item in node:
            yield from directives(item, place)
