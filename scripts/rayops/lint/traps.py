"""Kustomize family: what a build loses or moves without a word, because Ray's kinds are no kinds of its own."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from rayops.lint.context import Context
from rayops.lint.kustomizations import Kustomization, documents, kustomizations
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import KINDS, Group, Path, Ray

ORDER = "base/decisions/0002-order-of-worker-groups-is-api.md"
LIST_REPLACED = Rule(
    "merge-patch-replaces-list",
    "kustomize",
    "error",
    "Kustomize knows no merge keys of Ray's kinds: a list in a merge patch takes the place of the whole list",
    "patch it as JSON 6902 with a test of the name before it, or patch a PodTemplate that is copied in",
    "base/README.md",
)
GROUP_DUPLICATED = Rule(
    "group-duplicated",
    "kustomize",
    "error",
    "two worker groups have one name: KubeRay counts the pods of both as one group's, and deletes what is too many",
    "give each group a name of its own, or remove the one that was added twice",
    ORDER,
)
GROUP_REORDERED = Rule(
    "group-reordered",
    "kustomize",
    "error",
    "the order of worker groups is part of the cluster's hash: a group that is moved or inserted starts a new cluster",
    "append groups (path …/workerGroupSpecs/-) and leave the others where they are",
    ORDER,
)
GRAFT_NOT_LAST = Rule(
    "graft-not-last",
    "kustomize",
    "error",
    "the cluster was copied into the RayService or RayJob before: what is patched into the RayCluster then is lost",
    "list the component that copies the cluster last of all that touch it",
    "base/README.md",
)
OPENAPI_IN_BASE = Rule(
    "openapi-in-base",
    "kustomize",
    "error",
    "an openapi file takes the place of Kubernetes' own schema for the whole build: Deployments lose their merge keys",
    "remove it; JSON 6902 patches need none",
    "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/openapi/",
)
NAME_NOT_FOLLOWED = Rule(
    "generated-name-not-followed",
    "kustomize",
    "error",
    "Kustomize follows generated names into no pod template of Ray: the pods wait for a ConfigMap that is not there",
    "disableNameSuffixHash: true for it, or nameReference paths for Ray's kinds in configurations",
    "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/configmapgenerator/",
)
# The signs of Kustomize's hashes (api/hasher).
HASH = r"-[2456789bcdfghkmt]{10}"
CLUSTERS = ("RayCluster", "PodTemplate")


def _at(context: Context, rule: Rule, file: str, line: int, message: str) -> Finding:
    from rayops.render.sources import Place

    return Finding(rule, file, (), message, context.source, Place(file, line), rule.severity)


@check(LIST_REPLACED)
def merge_patches(context: Context) -> Iterator[Finding]:
    """Merge patches of Ray's kinds with groups or containers that are not whole: the rest of them is gone."""
    known = kustomizations(context)
    if any(each.obj.get("openapi") for each in known.values()):
        return  # merge keys may be there
    for each in known.values():
        for patch in each.patches:
            if patch.kind in KINDS and isinstance(patch.content, dict):
                for place in _incomplete(patch.content, ()):
                    said = f"the merge patch replaces the list {'.'.join(place)}, and its items are not whole"
                    yield _at(context, LIST_REPLACED, patch.file, patch.line, said)


def _incomplete(node: Any, path: Path) -> Iterator[Path]:
    """Lists of groups or containers with items that could not stand alone."""
    for key, value in node.items() if isinstance(node, dict) else ():
        place = (*path, str(key))
        items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
        if any("$patch" in item for item in items):
            continue
        whole = {"workerGroupSpecs": _whole_group, "containers": _whole_container, "initContainers": _whole_container}
        if key in whole and not all(whole[key](item) for item in items):
            yield place
        else:
            yield from _incomplete(value, place)


def _whole_container(container: dict[str, Any]) -> bool:
    return "image" in container


def _whole_group(group: dict[str, Any]) -> bool:
    spec = (group.get("template") or {}).get("spec") if isinstance(group.get("template"), dict) else None
    containers = spec.get("containers") if isinstance(spec, dict) else None
    given = containers if isinstance(containers, list) else []
    return bool(given) and all(isinstance(each, dict) and "image" in each for each in given)


@check(GROUP_DUPLICATED)
def duplicated(context: Context) -> Iterator[Finding]:
    """Names of worker groups that are there twice."""
    for ray in context.ray:
        for name, count in Counter(group.name for group in ray.workers).items():
            if count > 1:
                path = (*ray.cluster_path, "workerGroupSpecs")
                yield context.finding(GROUP_DUPLICATED, ray.resource, path, f"{count} worker groups are named {name}")


@check(GROUP_REORDERED)
def reordered(context: Context) -> Iterator[Finding]:
    """Patches that insert or move a group, and groups in another order than the manifest has them."""
    for each in kustomizations(context).values():
        for patch in each.patches:
            for operation in patch.content if patch.kind in KINDS and isinstance(patch.content, list) else ():
                if _moves(operation):
                    said = f"{operation['op']} {operation['path']}"
                    yield _at(context, GROUP_REORDERED, patch.file, patch.line, said)
    written = [order for file in sorted(context.files) for order in _shared_orders(context, file)]
    for ray in context.ray:
        now = [group.name for group in ray.workers]
        for order in written:
            before = [name for name in order if name in now]
            if len(before) > 1 and [name for name in now if name in order] != before and len(set(now)) == len(now):
                said = f"groups are {', '.join(now)}; the manifest has {', '.join(before)}"
                path = (*ray.cluster_path, "workerGroupSpecs")
                yield context.finding(GROUP_REORDERED, ray.resource, path, said)
                break


def _moves(operation: Any) -> bool:
    if not isinstance(operation, dict):
        return False
    place = str(operation.get("path", ""))
    inserts = operation.get("op") == "add" and re.search(r"/workerGroupSpecs/\d+$", place)
    return bool(inserts) or (operation.get("op") == "move" and bool(re.search(r"/workerGroupSpecs/(\d+|-)$", place)))


def _shared_orders(context: Context, file: str) -> list[list[str]]:
    key = ("orders", file)
    if key not in context.shared:
        context.shared[key] = list(_orders(context, file))
    found: list[list[str]] = context.shared[key]
    return found


def _orders(context: Context, file: str) -> Iterator[list[str]]:
    """The worker groups of the Ray manifests in a file; a patch file is none, since it has no head."""
    if not file.endswith((".yaml", ".yml")):
        return
    for document in documents(context.root, file):
        if isinstance(document, dict) and document.get("kind") in KINDS:
            found: Any = document
            for key in KINDS[document["kind"]]:
                found = found.get(key) if isinstance(found, dict) else None
            groups = found.get("workerGroupSpecs") if isinstance(found, dict) and "headGroupSpec" in found else None
            if isinstance(groups, list):
                yield [str(group.get("groupName")) for group in groups if isinstance(group, dict)]


@check(GRAFT_NOT_LAST)
def graft(context: Context) -> Iterator[Finding]:
    """What patches the RayCluster after a component has copied it into the RayService or RayJob."""
    known = kustomizations(context)
    for each in known.values():
        copied = ""
        for position, path in enumerate(each.items("components")):
            inner = known.get(each.below(path))
            if inner is None:
                continue
            if copied and _touches(inner, known):
                said = f"{path} changes the cluster that {copied} has copied already"
                yield _at(context, GRAFT_NOT_LAST, each.file, each.line("components", position), said)
            copied = copied or (str(path) if _copies(inner, known) else "")
        if copied:
            for patch in each.patches:
                if patch.kind in CLUSTERS:
                    said = f"a patch of {patch.kind} comes after {copied}, which has copied the cluster"
                    yield _at(context, GRAFT_NOT_LAST, patch.file, patch.line, said)


def _inner(each: Kustomization, known: dict[str, Kustomization]) -> Iterator[Kustomization]:
    """It and all components that it lists, at any depth."""
    waiting, seen = [each], {each.folder}
    while waiting:
        here = waiting.pop()
        yield here
        for path in here.items("components"):
            inner = known.get(here.below(path))
            if inner and inner.folder not in seen:
                seen.add(inner.folder)
                waiting.append(inner)


def _copies(each: Kustomization, known: dict[str, Kustomization]) -> bool:
    return any(
        _kind(found.get("source")) == "RayCluster" and any(kind in ("RayService", "RayJob") for kind in _targets(found))
        for here in _inner(each, known)
        for found in here.replacements
    )


def _touches(each: Kustomization, known: dict[str, Kustomization]) -> bool:
    return any(
        any(patch.kind in CLUSTERS for patch in here.patches)
        or any(kind in CLUSTERS for found in here.replacements for kind in _targets(found))
        for here in _inner(each, known)
    )


def _kind(node: Any) -> str:
    return str(node.get("kind", "")) if isinstance(node, dict) else ""


def _targets(replacement: dict[str, Any]) -> list[str]:
    targets = replacement.get("targets")
    return [
        _kind(each.get("select")) for each in (targets if isinstance(targets, list) else []) if isinstance(each, dict)
    ]


@check(OPENAPI_IN_BASE)
def openapi(context: Context) -> Iterator[Finding]:
    """Kustomizations below the one that is built which bring a schema."""
    for each in kustomizations(context).values():
        if each.obj.get("openapi") and each.folder != context.source:
            said = "openapi in a base holds for every build that uses it"
            yield _at(context, OPENAPI_IN_BASE, each.file, each.line("openapi"), said)


@check(NAME_NOT_FOLLOWED)
def names(context: Context) -> Iterator[Finding]:
    """ConfigMaps and Secrets of Ray's pods that are there under a generated name only."""
    for kind in ("ConfigMap", "Secret"):
        there = {str((each.obj.get("metadata") or {}).get("name")) for each in context.of_kind(kind)}
        generated = {re.sub(rf"{HASH}$", "", name) for name in there if re.search(rf"{HASH}$", name)} - there
        for ray in context.ray if generated else ():
            for path, name in _references(ray, kind):
                if name in generated:
                    said = f"there is no {kind} {name}, only one with a hash at the end of its name"
                    yield context.finding(NAME_NOT_FOLLOWED, ray.resource, path, said)


def _references(ray: Ray, kind: str) -> Iterator[tuple[Path, str]]:
    for group in ray.groups:
        yield from _of_volumes(group, kind)
        source, key = ("configMapRef", "configMapKeyRef") if kind == "ConfigMap" else ("secretRef", "secretKeyRef")
        for container in group.containers:
            for position, entry in enumerate(container.obj.get("envFrom") or []):
                yield (*container.path, "envFrom", f"[{position}]"), str((entry.get(source) or {}).get("name"))
            for name, entry in container.env.items():
                found = ((entry.get("valueFrom") or {}).get(key) or {}).get("name")
                yield (*container.path, "env", f"[{name}]"), str(found)


def _of_volumes(group: Group, kind: str) -> Iterator[tuple[Path, str]]:
    source, key = ("configMap", "name") if kind == "ConfigMap" else ("secret", "secretName")
    for volume in group.pod.get("volumes") or []:
        path = (*group.pod_path, "volumes", f"[{volume.get('name')}]")
        yield path, str((volume.get(source) or {}).get(key))
        for each in (volume.get("projected") or {}).get("sources") or []:
            yield path, str((each.get(source) or {}).get("name"))
