"""CPU, memory and GPUs that the pods of a Ray cluster request, as the scheduler counts them."""

from rayops.fit.amounts import GIB, Amount, pod_amount
from rayops.fit.capacity import of_cluster
from rayops.render import Obj

__all__ = ["GIB", "Amount", "cluster_amounts", "pod_amount"]


def cluster_amounts(cluster: Obj) -> tuple[Amount, Amount]:
    """What a RayCluster's spec requests at its start (`replicas`, else `minReplicas`), and with all its workers."""
    found = of_cluster(cluster)
    return found.start, found.most
