"""A namespace for each test, and the node ports that its Services may have."""

import secrets

from rayops.kube import Kube, Obj, Timeout
from rayops.kube.objects import NAMESPACE, POD, RAY_SERVICE, SERVICE, dig, name_of

# The user's own pipelines have 30080 and 30081.
NODE_PORTS = range(30082, 30100)
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
OURS = {"app.kubernetes.io/managed-by": "rayops-tests"}


def new_name(purpose: str) -> str:
    """A name for a namespace that is free, short and says what for: e2e-autoscale-4f1c."""
    return f"e2e-{purpose[:30]}-{secrets.token_hex(2)}"


def create(kube: Kube, name: str) -> None:
    """Make a namespace that admits what pod security `restricted` admits."""
    labels = {**RESTRICTED, **OURS}
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})


def remove(kube: Kube, name: str, *, wait: bool = True) -> None:
    """Delete a namespace with all that is in it; pods go at once, nobody is left to be served."""
    for service in kube.list(RAY_SERVICE, name):
        kube.delete(RAY_SERVICE, name_of(service), name)
    kube.delete(NAMESPACE, name)
    for pod in kube.list(POD, name):
        kube.delete(POD, name_of(pod), name, grace_s=0)
    if wait:
        kube.wait_gone(NAMESPACE, name, timeout=Timeout.MEDIUM)


def free_node_ports(kube: Kube, count: int) -> list[int]:
    """Node ports of our pool that no Service of the cluster has. LookupError when there are not enough."""
    taken = {port for service in kube.list(SERVICE) for port in node_ports(service)}
    free = [port for port in NODE_PORTS if port not in taken]
    if len(free) < count:
        raise LookupError(f"{len(free)} of {len(NODE_PORTS)} node ports are free, {count} are needed")
    return free[:count]


def node_ports(service: Obj) -> list[int]:
    """The node ports of a Service."""
    return [int(port["nodePort"]) for port in dig(service, "spec", "ports", default=[]) if port.get("nodePort")]
