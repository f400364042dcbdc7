"""A pipeline's overlay, deployed into a namespace of its own, and everything that tests do with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rayops.kube import Answer, Health, Kube, Obj, Timeout, eventually, look, probe, wait_healthy
from rayops.kube.objects import name_of
from rayops.pipeline import first_answer
from rayops.render import node_ports, one, render, set_namespace, set_node_port
from tests.harness import getters, selectors
from tests.harness.cluster import Cluster
from tests.harness.load import Check, Load, Request
from tests.harness.namespaces import free_node_ports
from tests.harness.overlay import Change, changed

# Asked under load; what they must be answered from is learned from the healthy pipeline before.
QUESTIONS = (
    "What does the operator do after a ValidationFailed, does it retry on its own?",
    "How much spare capacity do I need so that an upgrade can finish?",
    "Where can I read the Python traceback of an application that failed to deploy?",
)


@dataclass
class ServiceUnderTest:
    """A RayService that a test owns. objects: what is applied now; base: what was deployed first."""

    kube: Kube
    cluster: Cluster
    namespace: str
    name: str
    base: list[Obj]
    objects: list[Obj] = field(default_factory=list)

    @classmethod
    def deploy(
        cls, cluster: Cluster, kube: Kube, namespace: str, overlay: Path, *changes: Change
    ) -> "ServiceUnderTest":
        """Render an overlay into a namespace, with node ports of our pool, apply it and wait until it is healthy."""
        base = changed(with_own_ports(kube, set_namespace(render(overlay), namespace)), *changes)
        self = cls(kube, cluster, namespace, name_of(one(base, "RayService")), base)
        self.apply(base)
        self.wait_healthy()
        return self

    # Change ----------------------------------------------------------------------------------------------------

    def apply(self, objects: Sequence[Obj]) -> None:
        """Apply objects, and do not wait."""
        self.kube.apply(objects, namespace=self.namespace)
        self.objects = list(objects)

    def change(self, *changes: Change) -> None:
        """Apply what is applied now with these changes, and do not wait."""
        self.apply(changed(self.objects, *changes))

    def restore(self, timeout: Timeout = Timeout.LONG) -> None:
        """Back to what was deployed first, healthy and with no second cluster."""
        if self.objects != self.base:
            self.apply(self.base)
        self.wait_healthy(timeout)
        self.wait_single_cluster(timeout)

    # See -------------------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """The verdict of the health rule now."""
        return look(self.kube, self.namespace, self.name)

    def wait_healthy(self, timeout: Timeout = Timeout.LONG) -> Health:
        """Wait until the rule says Healthy and the data path answers the pipeline's sample."""
        found = wait_healthy(self.kube, self.namespace, self.name, timeout=timeout)
        first_answer(self.name, self.url)
        return found

    def wait_single_cluster(self, timeout: Timeout = Timeout.LONG) -> str:
        """Wait until exactly the active RayCluster is left; its name."""
        return eventually(
            lambda: (self.active(), selectors.names(getters.ray_clusters(self.kube, self.namespace)())),
            lambda pair: pair[0] if pair[1] == {pair[0]} else "",
            bool,
            timeout,
            f"only the active RayCluster of {self.namespace} is left",
        )

    def active(self) -> str:
        """Name of the RayCluster that serves."""
        return selectors.active_cluster(getters.ray_service(self.kube, self.namespace, self.name)())

    def cluster_uids(self) -> set[str]:
        """The identities of the namespace's RayClusters."""
        return selectors.uids(getters.ray_clusters(self.kube, self.namespace)())

    def group(self, group: str) -> Callable[[], list[Obj]]:
        """Getter: the pods of a worker group of any of our clusters."""
        return getters.group_pods(self.kube, self.namespace, group)

    def serve_status(self) -> Callable[[], Obj]:
        """Getter: Serve's own view of its applications."""
        return getters.serve_applications(self.kube, self.namespace, self.active)

    # Ask -------------------------------------------------------------------------------------------------------

    @cached_property
    def url(self) -> str:
        """Loopback address of the serve Service."""
        return self.cluster.address(self.namespace, f"{self.name}-serve-svc", "serve")

    def ask(self, question: str) -> Answer:
        """One question through the data path."""
        return probe(f"{self.url}/ask", {"question": question})

    def load(
        self, log: Path, *, rate: float = 10.0, keep_alive: bool = False, observe: Callable[[Any], Any] = str
    ) -> Load:
        """A load of questions whose right answers are learned now. Use it in a `with`."""
        requests = [self._learned(question) for question in QUESTIONS]
        return Load(f"{self.url}/ask", requests, log=log, rate=rate, keep_alive=keep_alive, observe=observe)

    def _learned(self, question: str) -> Request:
        answer = self.ask(question)
        document = top_document(answer.body)
        if not answer.ok or not document:
            raise AssertionError(f"no right answer to learn from: {answer}")
        return Request({"question": question}, answered_from(document))


def with_own_ports(kube: Kube, objects: list[Obj]) -> list[Obj]:
    """The objects with every fixed node port moved into our pool."""
    wanted = sorted(node_ports(objects))
    for port, number in zip(wanted, free_node_ports(kube, len(wanted)), strict=True):
        objects = set_node_port(objects, port, number)
    return objects


def top_document(body: Any) -> str:
    """The document of the first source of an answer, or an empty string."""
    sources = body.get("sources") if isinstance(body, dict) else None
    return str(sources[0].get("document", "")) if sources else ""


def answered_from(document: str) -> Check:
    """The check that an answer is not empty and rests on the same document as before."""

    def check(body: Any) -> str:
        if not isinstance(body, dict) or not body.get("answer"):
            return "no answer in the body"
        found = top_document(body)
        return "" if found == document else f"answered from {found or 'nothing'}, not from {document}"

    return check


def revision(body: Any) -> str:
    """The live setting that an answer was made with: what a Serve-only change changes."""
    return str(body["settings"]["revision"])
