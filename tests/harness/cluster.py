"""Clusters that tests may use: one of our own on kind, or one that somebody names."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rayops.errors import RayopsError
from rayops.kube import Forward, Kube, Obj, dig
from rayops.kube.objects import ENDPOINT_SLICE, SERVICE


class Cluster(Protocol):
    """What the tests need to know of a cluster."""

    @property
    def ours(self) -> bool:
        """Whether it was made for the tests, and may be deleted by them."""

    def start(self) -> Kube:
        """Make it answer, with the operator and the pipeline image in place. Does nothing that is already done."""

    def stop(self) -> None:
        """Let it go; delete it only when it is ours."""

    def load_image(self, reference: str) -> None:
        """Put an image of this machine's engine onto every node."""

    def address(self, namespace: str, service: str, port: str) -> str:
        """A loopback address (http://127.0.0.1:…) that leads to a port of a Service."""


class ExternalCluster:
    """A cluster that is already there: the operator and the images are its owner's business. Never deleted."""

    ours = False

    def __init__(self, kubeconfig: Path, *, context: str | None = None, i_know: bool = False) -> None:
        self._kubeconfig, self._context, self._i_know = kubeconfig, context, i_know
        self._forwards: list[Forward] = []
        self._kube: Kube | None = None

    def start(self) -> Kube:
        """Connect. Raises RemoteClusterError unless it is local or somebody said that they know."""
        self._kube = Kube.connect(self._kubeconfig, self._context, i_know=self._i_know)
        return self._kube

    def stop(self) -> None:
        """Close the forwarded ports; the cluster stays."""
        while self._forwards:
            self._forwards.pop().close()

    def load_image(self, reference: str) -> None:
        """Refused: nobody but its owner puts images onto the nodes of an existing cluster."""
        raise RayopsError(f"{reference} cannot be loaded into a cluster that is not ours")

    def address(self, namespace: str, service: str, port: str) -> str:
        """A forwarded port that asks the Service's endpoints anew for every connection."""
        kube = self._kube or self.start()
        number = target_port(kube.get(SERVICE, service, namespace), port)
        self._forwards.append(Forward(kube, namespace, ready_endpoint(kube, namespace, service), number))
        return self._forwards[-1].url


def target_port(service: Obj, port: str) -> int:
    """The container port behind a named port of a Service; a name is taken to be that of the same number."""
    found = next((p for p in dig(service, "spec", "ports", default=[]) if p.get("name") == port), None)
    if found is None:
        raise LookupError(f"Service {service['metadata']['name']} has no port {port}")
    target = found.get("targetPort", found["port"])
    return int(target) if isinstance(target, int) else int(found["port"])


def node_port(service: Obj, port: str) -> int:
    """The node port of a named port of a Service."""
    found = [p for p in dig(service, "spec", "ports", default=[]) if p.get("name") == port and p.get("nodePort")]
    if not found:
        raise LookupError(f"Service {service['metadata']['name']} has no node port {port}")
    return int(found[0]["nodePort"])


def ready_endpoint(kube: Kube, namespace: str, service: str) -> Callable[[], str]:
    """A function that names a pod which is a ready endpoint of a Service; LookupError while there is none."""

    def pick() -> str:
        slices = kube.list(ENDPOINT_SLICE, namespace, labels={"kubernetes.io/service-name": service})
        for endpoint in (e for found in slices for e in found.get("endpoints") or []):
            if dig(endpoint, "conditions", "ready", default=True) and (name := dig(endpoint, "targetRef", "name")):
                return str(name)
        raise LookupError(f"Service {namespace}/{service} has no ready endpoint")

    return pick
