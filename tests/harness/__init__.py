"""A library for tests on real clusters: clusters, namespaces, getters and selectors, a service under test, load.

    service = ServiceUnderTest.deploy(cluster, kube, namespace, Path("overlays/local/rag"))
    with service.load(folder / "load.jsonl") as load:
        service.change(user_config("Ingress", revision="2"))
        service.wait_healthy()
    assert not load.summary().failed

Built on rayops.kube and rayops.render. `tests.harness.kind` is not imported here: it needs a container engine.
"""

from tests.harness.cluster import Cluster, ExternalCluster
from tests.harness.compare import differences, pod_template_differences, quantity
from tests.harness.load import Failure, Load, Request, Summary
from tests.harness.service import ServiceUnderTest

__all__ = [
    "Cluster",
    "ExternalCluster",
    "Failure",
    "Load",
    "Request",
    "ServiceUnderTest",
    "Summary",
    "differences",
    "pod_template_differences",
    "quantity",
]
