"""Selectors: tiny functions that pick one fact of what a getter returned. For `eventually(getter, selector, …)`."""

from collections.abc import Callable, Sequence

from rayops.kube import Health, Obj, Status, dig
from rayops.kube.causes import ready, running
from rayops.kube.objects import name_of


def active_cluster(service: Obj) -> str:
    """Name of the RayCluster that serves."""
    return str(dig(service, "status", "activeServiceStatus", "rayClusterName", default=""))


def pending_cluster(service: Obj) -> str:
    """Name of the RayCluster that is to serve next."""
    return str(dig(service, "status", "pendingServiceStatus", "rayClusterName", default=""))


def status(health: Health) -> Status:
    """The verdict without its reason."""
    return health.status


def names(objects: Sequence[Obj]) -> set[str]:
    """The names of objects."""
    return {name_of(obj) for obj in objects}


def uids(objects: Sequence[Obj]) -> set[str]:
    """The identities of objects: a new one of the same name has another."""
    return {str(dig(obj, "metadata", "uid", default="")) for obj in objects}


def running_pods(pods: Sequence[Obj]) -> int:
    """How many pods run, ready or not, and are not going away."""
    return sum(1 for pod in pods if running(pod) and not dig(pod, "metadata", "deletionTimestamp"))


def ready_pods(pods: Sequence[Obj]) -> int:
    """How many pods are Ready and are not going away."""
    return sum(1 for pod in pods if ready(pod))


def images(pods: Sequence[Obj]) -> set[str]:
    """The images that pods were told to run, init containers included."""
    parts = ("initContainers", "containers")
    return {str(c["image"]) for pod in pods for part in parts for c in dig(pod, "spec", part, default=[])}


def running_replicas(deployment: str) -> Callable[[Obj], int]:
    """How many replicas of a deployment run, by the dashboard's word."""

    def select(answer: Obj) -> int:
        apps = dig(answer, "applications", default={}).values()
        found = [dig(app, "deployments", deployment, "replicas", default=[]) for app in apps]
        return sum(1 for replicas in found for replica in replicas if replica.get("state") == "RUNNING")

    return select


def at_least(minimum: int) -> Callable[[int], bool]:
    """The predicate that asks for a number not below a minimum."""
    return lambda value: value >= minimum
