"""What a run decides and Git does not: the tag of an image, the namespace, a node port. Each returns new objects."""

from collections.abc import Sequence
from copy import deepcopy

from rayops.errors import RayopsError
from rayops.render.objects import Obj, containers, images, node_ports, service_ports


def set_namespace(objects: Sequence[Obj], namespace: str) -> list[Obj]:
    """The same objects in another namespace, the Namespace itself and the subjects of role bindings included.

    RayopsError where the objects lie in more than one namespace.
    """
    changed = deepcopy(list(objects))
    before = {obj["metadata"]["namespace"] for obj in changed if obj["metadata"].get("namespace")}
    if len(before) > 1:
        raise RayopsError(f"cannot move objects of several namespaces at once: {', '.join(sorted(before))}")
    for obj in changed:
        meta = obj["metadata"]
        if meta.get("namespace"):
            meta["namespace"] = namespace
        if obj["kind"] == "Namespace" and meta["name"] in before:
            meta["name"] = namespace
        for subject in obj.get("subjects") or []:
            if subject.get("namespace") in before:
                subject["namespace"] = namespace
    return changed


def set_image(objects: Sequence[Obj], image: str, reference: str) -> list[Obj]:
    """The same objects with another image; `image` names a repository or its last part: `local/pipeline`, `pipeline`.

    RayopsError where no container runs it.
    """
    changed = deepcopy(list(objects))
    hits = [
        container
        for obj in changed
        for _, container in containers(obj)
        if image in (repository(container["image"]), repository(container["image"]).rsplit("/", 1)[-1])
    ]
    if not hits:
        raise RayopsError(f"no container runs {image}; there are {', '.join(images(objects)) or 'none'}")
    for container in hits:
        container["image"] = reference
    return changed


def set_node_port(objects: Sequence[Obj], port: str, number: int) -> list[Obj]:
    """The same objects with another node port. `port` is the name of the Service's port: `serve`, `dashboard`.

    RayopsError where no port of that name has a node port.
    """
    if port not in node_ports(objects):
        raise RayopsError(f"no node port named {port}; there are {', '.join(node_ports(objects)) or 'none'}")
    changed = deepcopy(list(objects))
    for entry in service_ports(changed):
        if entry.get("name") == port and "nodePort" in entry:
            entry["nodePort"] = number
    return changed


def repository(reference: str) -> str:
    """The reference without tag and digest: `host:5000/a/b:c@sha256:d` becomes `host:5000/a/b`."""
    name = reference.split("@", 1)[0]
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name
