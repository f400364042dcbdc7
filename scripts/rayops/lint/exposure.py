"""Safety family: who can reach what runs code, and what a pod may do to its node."""

import re
from collections.abc import Iterator
from typing import Any

from rayops.lint.context import Context
from rayops.lint.model import Finding, Rule
from rayops.lint.rules import check
from rayops.lint.view import Group, Path, Ray

# Ports that run code or hold a cluster's state: GCS, dashboard, Ray Client, the nodes' agent.
INSIDE = (6379, 8265, 10001, 52365)
INSIDE_NAMES = ("gcs-server", "dashboard", "client")
OUTWARD = ("NodePort", "LoadBalancer")
TOO_MUCH = ("ALL", "SYS_ADMIN")

EXPOSED = Rule(
    "dashboard-exposed",
    "safety",
    "error",
    "dashboard, Ray Client or GCS can be reached from outside the cluster: whoever reaches them runs code (ShadowRay)",
    "keep them ClusterIP without ingress; kubectl port-forward for people, a route of its own for Serve's port",
    "https://docs.ray.io/en/latest/ray-security/index.html",
)
PRIVILEGED = Rule(
    "pod-privileged",
    "safety",
    "error",
    "a pod of Ray, which runs code of whoever reaches the dashboard, is more than a container: it can become the node",
    "remove it; Ray needs none of it",
    "base/components/pod-security/README.md",
)
HOST_PATH = Rule(
    "host-path",
    "safety",
    "error",
    "a pod of Ray sees files of its node, and another node has others",
    "use a PersistentVolumeClaim, or an emptyDir",
    "base/components/shared-volume/README.md",
)
ROOT = Rule(
    "runs-as-root",
    "safety",
    "warning",
    "nothing keeps the container from running as root: an escape from it is root on the node",
    "runAsNonRoot: true for the pod (the autoscaler's container has its own securityContext)",
    "base/components/pod-security/README.md",
)


@check(EXPOSED)
def exposed(context: Context) -> Iterator[Finding]:
    """Ways from outside to ports that run code: of Ray's kinds, Services, Ingresses and routes."""
    for ray in context.ray:
        for path, said in (*_head_service(ray), *_serve_service(ray)):
            yield context.finding(EXPOSED, ray.resource, path, said)
    for resource in context.of_kind("Service"):
        spec = _mapping(resource.obj.get("spec"))
        selector = _mapping(spec.get("selector"))
        of_ray = any(str(key).startswith("ray.io/") for key in selector)
        if of_ray and spec.get("type") in OUTWARD and (inside := _inside_ports(spec)):
            said = f"a {spec['type']} leads to {', '.join(inside)}"
            yield context.finding(EXPOSED, resource, ("spec", "ports"), said)
    for resource in context.of_kind("Ingress", "HTTPRoute", "TCPRoute", "GRPCRoute"):
        for name, port in sorted(set(_backends(resource.obj.get("spec"))), key=str):
            if str(name).endswith("-head-svc") and (port in INSIDE or port in INSIDE_NAMES):
                yield context.finding(EXPOSED, resource, ("spec",), f"leads to port {port} of {name}")


def _head_service(ray: Ray) -> Iterator[tuple[Path, str]]:
    head = ray.head.obj
    if head.get("serviceType") in OUTWARD:
        yield (*ray.head.path, "serviceType"), f"the head's Service is a {head['serviceType']}"
    kind = ((head.get("headService") or {}).get("spec") or {}).get("type")
    if kind in OUTWARD:
        yield (*ray.head.path, "headService", "spec", "type"), f"the head's Service is a {kind}"
    if head.get("enableIngress"):
        yield (*ray.head.path, "enableIngress"), "the dashboard has an Ingress"


def _serve_service(ray: Ray) -> Iterator[tuple[Path, str]]:
    spec = (ray.spec.get("serveService") or {}).get("spec") or {}
    if spec.get("type") in OUTWARD and (inside := _inside_ports(spec)):
        yield ("spec", "serveService", "spec", "ports"), f"a {spec['type']} leads to {', '.join(inside)}"


def _inside_ports(spec: dict[str, Any]) -> list[str]:
    given = spec.get("ports")
    ports = [port for port in (given if isinstance(given, list) else []) if isinstance(port, dict)]
    ends = (str(port.get(key)) for port in ports for key in ("port", "targetPort"))
    return [end for end in dict.fromkeys(ends) if _is_inside(end)]


def _is_inside(end: str) -> bool:
    return end in INSIDE_NAMES or end in map(str, INSIDE)


def _backends(node: Any) -> Iterator[tuple[Any, Any]]:
    """(Service, port) of all backends: `port: {number: 8265}` of an Ingress, `port: 8265` of a route."""
    if isinstance(node, dict):
        if "port" in node and "name" in node:
            port = node["port"]
            number = port.get("number", port.get("name")) if isinstance(port, dict) else port
            yield str(node["name"]), number if isinstance(number, int | str) else ""
        for value in node.values():
            yield from _backends(value)
    elif isinstance(node, list):
        for value in node:
            yield from _backends(value)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@check(PRIVILEGED)
def privileged(context: Context) -> Iterator[Finding]:
    """Pods and containers that may act on their node."""
    for ray in context.ray:
        for group in ray.groups:
            for path, said in _privileges(group):
                yield context.finding(PRIVILEGED, ray.resource, path, said)


def _privileges(group: Group) -> Iterator[tuple[Path, str]]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if group.pod.get(key):
            yield (*group.pod_path, key), f"{group.name} has {key}"
    for container in group.containers:
        context = container.obj.get("securityContext") or {}
        place = (*container.path, "securityContext")
        for key in ("privileged", "allowPrivilegeEscalation"):
            if context.get(key):
                yield (*place, key), f"{group.name}/{container.name} has {key}"
        added = (context.get("capabilities") or {}).get("add") or []
        if found := [each for each in added if each in TOO_MUCH]:
            yield (*place, "capabilities", "add"), f"{group.name}/{container.name} adds {', '.join(found)}"
        if any(port.get("hostPort") for port in container.obj.get("ports") or []):
            yield (*container.path, "ports"), f"{group.name}/{container.name} takes a port of its node"


@check(HOST_PATH)
def host_path(context: Context) -> Iterator[Finding]:
    """Volumes that are folders of the node."""
    for ray in context.ray:
        for group in ray.groups:
            for volume in group.pod.get("volumes") or []:
                if volume.get("hostPath"):
                    path = (*group.pod_path, "volumes", f"[{volume.get('name')}]")
                    said = f"{group.name} mounts {volume['hostPath'].get('path')} of its node"
                    yield context.finding(HOST_PATH, ray.resource, path, said)


@check(ROOT)
def root(context: Context) -> Iterator[Finding]:
    """Containers that may be root: neither they nor their pod say runAsNonRoot, or a user that is root."""
    for ray in context.ray:
        for group in ray.groups:
            whole = group.pod.get("securityContext") or {}
            may = [each.name for each in group.containers if _may_be_root(whole, each.obj.get("securityContext") or {})]
            if may:
                said = f"{group.name}: {', '.join(may)} may be root"
                yield context.finding(ROOT, ray.resource, (*group.pod_path, "securityContext"), said)


def _may_be_root(pod: dict[str, Any], container: dict[str, Any]) -> bool:
    user = container.get("runAsUser", pod.get("runAsUser"))
    another = container.get("runAsNonRoot", pod.get("runAsNonRoot")) or re.match(r"[1-9]", str(user))
    return user == 0 or not another
