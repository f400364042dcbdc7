"""GPUs that are only advertised: enough for scheduling, placement and autoscaling; no program can compute on them."""

import contextlib
from collections.abc import Iterator

from rayops.kube import GPU_RESOURCE, Kube, Timeout, dig, equals, eventually
from rayops.kube.objects import NODE, name_of


def worker_nodes(kube: Kube) -> list[str]:
    """Names of the nodes that pods may be scheduled on."""
    nodes = kube.list(NODE)
    taints = {name_of(node): [t.get("effect") for t in dig(node, "spec", "taints", default=[])] for node in nodes}
    return [name for name, effects in taints.items() if "NoSchedule" not in effects]


@contextlib.contextmanager
def advertised_gpus(kube: Kube, count: int) -> Iterator[str]:
    """One node has `count` GPUs while the block runs; its name."""
    node = worker_nodes(kube)[0]
    kube.advertise_gpus(node, count)
    try:
        eventually(
            lambda: kube.get(NODE, node),
            lambda found: dig(found, "status", "allocatable", GPU_RESOURCE),
            equals(str(count)),
            Timeout.SHORT,
            f"node {node} has {count} GPUs to give",
        )
        yield node
    finally:
        kube.advertise_gpus(node, 0)
