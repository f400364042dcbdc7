"""Small ways of looking into rendered objects; pods of Ray kinds included, which the usual tools do not see."""

from collections.abc import Iterable, Iterator
from typing import Any

from rayops.errors import RayopsError

Obj = dict[str, Any]


def name_of(obj: Obj) -> str:
    """Kind, namespace and name in one word, for messages: `RayService rag/rag`."""
    meta = obj.get("metadata") or {}
    space = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{obj.get('kind', '?')} {space}{meta.get('name', '?')}"


def of_kind(objects: Iterable[Obj], kind: str) -> list[Obj]:
    """All objects of a kind."""
    return [obj for obj in objects if obj.get("kind") == kind]


def one(objects: Iterable[Obj], kind: str, name: str | None = None) -> Obj:
    """The one object of a kind (and name). RayopsError where there is none or more than one."""
    found = [obj for obj in of_kind(objects, kind) if name in (None, obj["metadata"]["name"])]
    if len(found) != 1:
        wanted = f"{kind} {name}" if name else kind
        raise RayopsError(f"expected one {wanted}, found {', '.join(map(name_of, found)) or 'none'}")
    return found[0]


def pod_specs(obj: Obj) -> Iterator[tuple[str, Obj]]:
    """The pod specs inside an object with the place of each: `head`, a group's name, `submitter` of a job, or `pod`."""
    spec = obj.get("spec") or {}
    cluster = spec.get("rayClusterConfig") or spec.get("rayClusterSpec") or spec
    if "headGroupSpec" in cluster:
        yield "head", cluster["headGroupSpec"]["template"]["spec"]
        for group in cluster.get("workerGroupSpecs") or []:
            yield group["groupName"], group["template"]["spec"]
        if "submitterPodTemplate" in spec:
            yield "submitter", spec["submitterPodTemplate"]["spec"]
    elif obj.get("kind") == "Pod":
        yield "pod", spec
    elif "template" in spec:
        yield "pod", spec["template"]["spec"]


def containers(obj: Obj) -> Iterator[tuple[str, Obj]]:
    """Every container and init container of an object with its place: `head/ray-head`, `gpu/wait-gcs`."""
    for place, spec in pod_specs(obj):
        for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
            yield f"{place}/{container['name']}", container


def images(objects: Iterable[Obj]) -> list[str]:
    """Every image that the objects run, once, sorted."""
    return sorted({container["image"] for obj in objects for _, container in containers(obj)})


def node_ports(objects: Iterable[Obj]) -> dict[str, int]:
    """The fixed node ports by port name: {"serve": 30080, "dashboard": 30081}."""
    return {port["name"]: port["nodePort"] for port in service_ports(objects) if "nodePort" in port}


def service_ports(objects: Iterable[Obj]) -> Iterator[Obj]:
    """The ports of all Services, those inside a RayService included; changing one changes the object."""
    for obj in objects:
        spec = obj.get("spec") or {}
        if obj.get("kind") == "Service":
            yield from spec.get("ports") or []
        if obj.get("kind") == "RayService":
            yield from ((spec.get("serveService") or {}).get("spec") or {}).get("ports") or []
