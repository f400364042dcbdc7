"""Getters: tiny functions that return a function which looks once. For `eventually(getter, selector, predicate, …)`."""

from collections.abc import Callable, Mapping

from rayops.kube import Health, Kube, Obj, look
from rayops.kube.objects import CLUSTER_LABEL, GROUP_LABEL, NODE_TYPE_LABEL, POD, RAY_CLUSTER, RAY_SERVICE, dig, name_of

DASHBOARD_PORT = 8265


def ray_service(kube: Kube, namespace: str, name: str) -> Callable[[], Obj]:
    """The RayService."""
    return lambda: kube.get(RAY_SERVICE, name, namespace)


def ray_clusters(kube: Kube, namespace: str) -> Callable[[], list[Obj]]:
    """Every RayCluster of a namespace."""
    return lambda: kube.list(RAY_CLUSTER, namespace)


def pods(kube: Kube, namespace: str, labels: Mapping[str, str] | None = None) -> Callable[[], list[Obj]]:
    """The pods of a namespace with these labels."""
    return lambda: kube.list(POD, namespace, labels=labels)


def group_pods(kube: Kube, namespace: str, group: str, cluster: str = "") -> Callable[[], list[Obj]]:
    """The pods of a worker group (the head's group is `headgroup`), of one RayCluster or of all."""
    return pods(kube, namespace, {GROUP_LABEL: group} | ({CLUSTER_LABEL: cluster} if cluster else {}))


def head_pod(kube: Kube, namespace: str, cluster: str) -> Obj:
    """The head pod of a RayCluster."""
    labels = {CLUSTER_LABEL: cluster, NODE_TYPE_LABEL: "head"}
    found = [pod for pod in kube.list(POD, namespace, labels=labels) if not dig(pod, "metadata", "deletionTimestamp")]
    if not found:
        raise LookupError(f"RayCluster {namespace}/{cluster} has no head pod")
    return found[0]


def serve_applications(kube: Kube, namespace: str, cluster: Callable[[], str]) -> Callable[[], Obj]:
    """Serve's own view of the applications (`GET /api/serve/applications/` of the dashboard)."""

    def get() -> Obj:
        head = name_of(head_pod(kube, namespace, cluster()))
        answer: Obj = kube.proxy_json(namespace, head, DASHBOARD_PORT, "api/serve/applications/")
        return answer

    return get


def health(kube: Kube, namespace: str, name: str) -> Callable[[], Health]:
    """The verdict of the health rule."""
    return lambda: look(kube, namespace, name)
