"""Kubernetes objects as plain dictionaries, and the few ways in which we read them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Obj = dict[str, Any]
Objs = list[Obj]


@dataclass(frozen=True)
class Kind:
    """One kind of one API version, for example `Kind("ray.io/v1", "RayService")`."""

    api_version: str
    name: str


NAMESPACE = Kind("v1", "Namespace")
NODE = Kind("v1", "Node")
POD = Kind("v1", "Pod")
SERVICE = Kind("v1", "Service")
EVENT = Kind("v1", "Event")
CONFIG_MAP = Kind("v1", "ConfigMap")
DEPLOYMENT = Kind("apps/v1", "Deployment")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice")
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy")
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget")
RAY_SERVICE = Kind("ray.io/v1", "RayService")
RAY_CLUSTER = Kind("ray.io/v1", "RayCluster")
RAY_JOB = Kind("ray.io/v1", "RayJob")

CLUSTER_LABEL = "ray.io/cluster"
NODE_TYPE_LABEL = "ray.io/node-type"
GROUP_LABEL = "ray.io/group"


def dig(obj: object, *path: str, default: Any = None) -> Any:
    """The value at a path of keys, or the default where a step is missing or null."""
    here = obj
    for key in path:
        if not isinstance(here, Mapping):
            return default
        here = here.get(key)
        if here is None:
            return default
    return here


def kind_of(obj: Obj) -> Kind:
    """The kind of an object that carries apiVersion and kind."""
    return Kind(obj["apiVersion"], obj["kind"])


def name_of(obj: Obj) -> str:
    """metadata.name, or an empty string."""
    return str(dig(obj, "metadata", "name", default=""))


def labels_of(obj: Obj) -> dict[str, str]:
    """metadata.labels, never null."""
    return dict(dig(obj, "metadata", "labels", default={}))


def condition(obj: Obj, type_: str) -> Obj | None:
    """The status condition of that type, or None."""
    found = (c for c in dig(obj, "status", "conditions", default=[]) if c.get("type") == type_)
    return next(found, None)


def is_true(obj: Obj, type_: str) -> bool:
    """Whether the status condition of that type says True."""
    return bool(dig(condition(obj, type_), "status") == "True")


def parse_time(text: object) -> datetime | None:
    """An RFC 3339 time of the API server as an aware datetime; None for what is not one."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def first_line(text: object, limit: int = 300) -> str:
    """The first line of a text that says something, cut to a limit of characters."""
    lines = (line.strip() for line in str(text or "").splitlines())
    line = next((line for line in lines if line), "")
    return line if len(line) <= limit else line[: limit - 1] + "…"


def gist(text: object, limit: int = 300) -> str:
    """First line of a text and, where more follows, the last line that is not indented: a traceback's exception."""
    lines = [line.rstrip() for line in str(text or "").splitlines() if line.strip()]
    outer = [line for line in lines[1:] if not line[0].isspace()]
    first = first_line(text, limit)
    return f"{first} … {first_line(outer[-1], limit)}" if outer else first
