"""What leads into an environment: the paths that its routes claim, and where they lead. Rules over rendered objects."""

from collections.abc import Iterable, Iterator
from typing import Any

from rayops.render import Obj, of_kind

ROUTES = {"Ingress", "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"}
LISTENERS = {80, 443}
# Serve's own, over HTTP and over gRPC.
SERVE = {8000, 9000}
# Where a route says a backend: of its rules, of a filter that mirrors, of an Ingress.
BACKENDS = {"backendRefs", "backendRef", "service", "resource"}


def routes(objects: Iterable[Obj]) -> list[Obj]:
    """The HTTPRoutes that take paths for a pipeline: not the one that sends the clear to https."""
    return [obj for obj in of_kind(objects, "HTTPRoute") if list(backends(obj["spec"]))]


def claims(objects: Iterable[Obj]) -> list[tuple[str, str]]:
    """Every (host, path) of the HTTPRoutes."""
    return [
        (host, match["path"]["value"])
        for route in routes(objects)
        for host in route["spec"]["hostnames"]
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    ]


def claimed_twice(objects: Iterable[Obj]) -> list[tuple[str, str]]:
    """Those that several rules claim: the older route would win, and the other be silent."""
    found = claims(objects)
    return sorted({claim for claim in found if found.count(claim) > 1})


def to_a_head(objects: Iterable[Obj]) -> list[str]:
    """Routes to anything but the Serve port of a serve Service of their own namespace; listeners of other ports."""
    found = []
    for obj in objects:
        title = f"{obj['kind']} {obj['metadata']['name']}"
        if obj["kind"] == "Gateway":
            found += [
                f"{title} listens on {each['port']}"
                for each in obj["spec"]["listeners"]
                if each["port"] not in LISTENERS
            ]
        elif obj["kind"] in ROUTES:
            found += [f"{title} leads to {_title(each)}" for each in backends(obj["spec"]) if not _is_serve(each)]
    return found


def backends(node: Any) -> Iterator[dict[str, Any]]:
    """Every backend below a node, at any depth."""
    if isinstance(node, list):
        for value in node:
            yield from backends(value)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in BACKENDS:
                yield from value if isinstance(value, list) else [value]
            yield from backends(value)


def _is_serve(backend: dict[str, Any]) -> bool:
    own = backend.get("kind", "Service") == "Service" and "namespace" not in backend
    return own and str(backend["name"]).endswith("-serve-svc") and _port(backend) in SERVE


def _port(backend: dict[str, Any]) -> Any:
    port = backend.get("port")
    return port.get("number", port.get("name")) if isinstance(port, dict) else port


def _title(backend: dict[str, Any]) -> str:
    return f"{backend.get('namespace', '')}/{backend['name']}:{_port(backend)}".removeprefix("/")
