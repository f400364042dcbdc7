"""The pipeline that a controller has put into the cluster: what is applied, who works for it, what it answers."""

from collections.abc import Callable

from rayops.kube import Kube, Obj, Timeout, dig, eventually, probe
from rayops.kube.objects import NAMESPACE, RAY_CLUSTER, RAY_SERVICE, Kind, name_of
from rayops.pipeline import first_answer
from rayops.render import serve_config
from tests.harness import getters
from tests.harness.cluster import Cluster
from tests.harness.selectors import active_cluster

DEMAND = """
import ray
from ray.autoscaler.sdk import request_resources
ray.init(address="auto", log_to_driver=False)
request_resources(bundles={bundles})
"""


class Pipeline:
    """A pipeline whose namespace, RayService and Serve application have its name."""

    def __init__(self, kube: Kube, cluster: Cluster, name: str) -> None:
        self.kube, self._cluster, self.name = kube, cluster, name

    def service(self) -> Obj:
        """The RayService."""
        return self.kube.get(RAY_SERVICE, self.name, self.name)

    def exists(self) -> bool:
        """Whether the RayService is there."""
        return self.kube.find(RAY_SERVICE, self.name, self.name) is not None

    def ray_cluster(self) -> Obj:
        """The RayCluster that serves."""
        return self.kube.get(RAY_CLUSTER, active_cluster(self.service()), self.name)

    def applied_config(self) -> Obj:
        """The Serve config that is in the cluster."""
        return serve_config(self.service())

    def application_message(self) -> str:
        """What Ray Serve says of the application."""
        apps = dig(self.service(), "status", "activeServiceStatus", "applicationStatuses", default={})
        return str(dig(apps, self.name, "message", default=""))

    def replicas(self, group: str) -> int:
        """What the child RayCluster asks for in a worker group: the autoscaler's number."""
        groups = dig(self.ray_cluster(), "spec", "workerGroupSpecs", default=[])
        return next(int(found.get("replicas") or 0) for found in groups if found["groupName"] == group)

    def workers(self, group: str) -> Callable[[], list[Obj]]:
        """Getter: the pods of a worker group."""
        return getters.group_pods(self.kube, self.name, group)

    def demand(self, workers: int) -> None:
        """Tell Ray's autoscaler that so many nodes of two CPUs are wanted, until told otherwise: 0 for no demand."""
        program = DEMAND.format(bundles=[{"CPU": 2}] * workers)
        done = self.kube.exec(self.name, self.head(), ["python", "-c", program])
        if not done.ok:
            raise AssertionError(f"the demand was not taken: {done}")

    def names(self, kind: Kind) -> list[str]:
        """Names of the objects of a kind in its namespace."""
        return sorted(name_of(obj) for obj in self.kube.list(kind, self.name))

    def url(self) -> str:
        """Loopback address of the serve Service."""
        return self._cluster.address(self.name, f"{self.name}-serve-svc", "serve")

    def answers(self) -> None:
        """Wait until the sample is answered through the data path."""
        first_answer(self.name, self.url())

    def shows_revision(self, revision: str) -> None:
        """Wait until the data path answers with this live setting."""
        url = f"{self.url()}/healthz"
        eventually(
            lambda: probe(url),
            lambda answer: dig(answer.body, "settings", "revision"),
            lambda seen: seen == revision,
            Timeout.SHORT,
            f"{url} shows revision {revision}",
            every=0.5,
        )

    def head(self) -> str:
        """Name of the head pod."""
        cluster = active_cluster(self.service())
        return str(getters.head_pod(self.kube, self.name, cluster)["metadata"]["name"])

    def is_gone(self) -> bool:
        """Whether the namespace is gone."""
        return self.kube.find(NAMESPACE, self.name) is None
