"""What the delivery tests know of Argo CD and Flux: which folders a generator takes, what a project allows, what a rule
ignores. Each from the controller's documentation or source, named where it is used."""

import fnmatch
import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import yaml

from rayops.render import Obj, of_kind, one

ENVIRONMENTS = ("dev", "staging", "prod")
WAVE = "argocd.argoproj.io/sync-wave"
FLUX_KUSTOMIZATION = "kustomize.toolkit.fluxcd.io/v1"
# Of a kustomization that renders Argo CD's objects, and of Flux's.
ARGOCD, FLUX = "overlays/{}/delivery/argocd", "overlays/{}/delivery/flux"


def wave(obj: Obj) -> int:
    return int(obj["metadata"].get("annotations", {}).get(WAVE, 0))


def labelled(objects: Iterable[Obj], **labels: str) -> list[Obj]:
    wanted = {name.replace("__", "/").replace("_", "."): value for name, value in labels.items()}
    return [obj for obj in objects if wanted.items() <= obj["metadata"].get("labels", {}).items()]


def flux_kustomizations(objects: Iterable[Obj]) -> dict[str, Obj]:
    found = of_kind(objects, "Kustomization")
    return {obj["metadata"]["name"]: obj for obj in found if obj["apiVersion"] == FLUX_KUSTOMIZATION}


def applications(objects: list[Obj]) -> dict[str, Obj]:
    """The specs of all Applications by name; those that the ApplicationSet makes stand under its own name."""
    found = {obj["metadata"]["name"]: obj["spec"] for obj in of_kind(objects, "Application")}
    made = one(objects, "ApplicationSet")
    return {**found, made["metadata"]["name"]: made["spec"]["template"]["spec"]}


def matches(pattern: str, path: str) -> bool:
    """Go's path.Match, which the Git directory generator uses: a star stays within one name."""
    patterns, names = pattern.split("/"), path.split("/")
    return len(patterns) == len(names) and all(map(fnmatch.fnmatchcase, names, patterns))


def generated(generator: list[Obj], folders: Iterable[str]) -> set[str]:
    """The folders that a Git directory generator takes; an exclusion always wins (GitGenerator.filterApps)."""
    wanted = [entry["path"] for entry in generator if not entry.get("exclude")]
    refused = [entry["path"] for entry in generator if entry.get("exclude")]
    return {
        folder
        for folder in folders
        if any(matches(each, folder) for each in wanted) and not any(matches(each, folder) for each in refused)
    }


def allows_namespace(project: Obj, namespace: str) -> bool:
    """Any destination that fits, and none with an exclamation mark (user-guide/projects.md)."""
    patterns = [destination["namespace"] for destination in project["spec"]["destinations"]]
    denied = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    return any(fnmatch.fnmatchcase(namespace, each) for each in patterns if not each.startswith("!")) and not any(
        fnmatch.fnmatchcase(namespace, each) for each in denied
    )


def refused_by(project: Obj, objects: Iterable[Obj]) -> list[str]:
    """The objects that a project does not let into the cluster, as `Kind namespace/name`."""
    return [
        f"{obj['kind']} {obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"
        for obj in objects
        if not allowed(project, obj)
    ]


def allowed(project: Obj, obj: Obj) -> bool:
    spec, name = project["spec"], obj["metadata"]["name"]
    group = obj["apiVersion"].rpartition("/")[0]

    def listed(entries: str) -> bool:
        return any(
            (entry["group"], entry["kind"]) == (group, obj["kind"])
            and fnmatch.fnmatchcase(name, entry.get("name") or "*")
            for entry in spec.get(entries, [])
        )

    namespace = obj["metadata"].get("namespace")
    if namespace is None:
        return listed("clusterResourceWhitelist") and not listed("clusterResourceBlacklist")
    return listed("namespaceResourceWhitelist") and allows_namespace(project, namespace)


def ignore_rules(settings: Obj, kind: str) -> list[list[str]]:
    """The paths that argocd-cm ignores in a ray.io kind; `[]` steps into each item of a list.

    Only pointers and such jq paths are understood; anything else fails, so that no rule goes untested.
    """
    text = settings["data"][f"resource.customizations.ignoreDifferences.ray.io_{kind}"]
    rules = yaml.safe_load(text)
    paths = [pointer[1:].split("/") for pointer in rules.pop("jsonPointers", [])]
    for expression in rules.pop("jqPathExpressions", []):
        assert re.fullmatch(r"(\.\w+(\[\]\?)?)+", expression), expression
        paths.append(expression[1:].replace("[]?", ".[]").split("."))
    assert not rules
    return paths


def without(obj: Obj, paths: Iterable[list[str]]) -> Obj:
    """A copy of the object as Argo CD compares it: without what the rules name."""
    made = deepcopy(obj)
    for path in paths:
        remove(made, path)
    return made


def remove(node: Any, path: list[str]) -> None:
    key, *rest = path
    if key == "[]":
        for item in node if isinstance(node, list) else []:
            remove(item, rest)
    elif isinstance(node, dict) and key in node:
        if rest:
            remove(node[key], rest)
        else:
            del node[key]


def written_back(obj: Obj) -> Obj:
    """A RayService or RayJob after KubeRay 1.6.2 added its finalizer: `Update` writes what its Go types make of it.

    Found by sending every overlay's object through rayv1.RayService and rayv1.RayJob, and comparing: `metadata` and
    `status` of the Service and `targetPort` have no omitempty, and `suspend` has it.
    """
    made = deepcopy(obj)
    made["metadata"]["finalizers"] = ["ray.io/finalizer"]
    service = made["spec"].get("serveService")
    if service:
        service.setdefault("metadata", {})
        service.setdefault("status", {"loadBalancer": {}})
        for port in service["spec"].get("ports", []):
            port.setdefault("targetPort", 0)
    if made["kind"] == "RayJob" and made["spec"].get("suspend") is False:
        del made["spec"]["suspend"]
    return made


def drift(git: Any, live: Any, place: str = "") -> list[str]:
    """Where Argo CD sees a difference in a custom resource.

    What only the cluster has is left out first, also inside lists of one length (gitops-engine, RemoveMapFields).
    """
    if isinstance(git, dict) and isinstance(live, dict):
        return [
            found
            for key, value in git.items()
            for found in (drift(value, live[key], f"{place}.{key}") if key in live else [f"{place}.{key}"])
        ]
    if isinstance(git, list) and isinstance(live, list) and len(git) == len(live):
        pairs = enumerate(zip(git, live, strict=True))
        return [found for number, (mine, theirs) in pairs for found in drift(mine, theirs, f"{place}[{number}]")]
    return [] if git == live else [place]


def substituted(text: str, values: dict[str, str]) -> str:
    """Flux's postBuild substitution of `${name}`; a name without a value fails."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text)


def strings(node: Any) -> Iterator[str]:
    """Every string of an object, keys too."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key
            yield from strings(value)
    elif isinstance(node, list):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node
