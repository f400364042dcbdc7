"""rayops status: what runs, how healthy it is, and where it answers."""

import argparse
from typing import TYPE_CHECKING

from rayops.paths import checkout_id

if TYPE_CHECKING:
    from rayops.cluster.kind import KindCluster
    from rayops.kube import Kube, Obj


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops status`."""
    parser.add_argument("--cluster", default=f"rayops-{checkout_id()}", metavar="NAME", help="name of the kind cluster")


def run(options: argparse.Namespace) -> int:
    """Print one line for the engine, the cluster and each RayService. Exit code 1 when something is not healthy."""
    from rayops import serve_only
    from rayops.cluster import engine
    from rayops.cluster.kind import KindCluster

    local = serve_only.status()
    if local:
        print(f"local Ray    {local}")
    cluster = KindCluster(options.cluster)
    if not engine.answers() or not cluster.running():
        print(f"cluster      {cluster.name} does not run → ./scripts/up")
        return 0 if local else 1
    print(f"cluster      {cluster.name} runs, export KUBECONFIG={cluster.kubeconfig}")
    return _services(cluster)


def _services(cluster: "KindCluster") -> int:
    from rayops.kube import Kube
    from rayops.kube.objects import RAY_SERVICE

    kube = Kube.connect(cluster.kubeconfig)
    services = kube.list(RAY_SERVICE)
    if not services:
        print("pipelines    none → ./scripts/up --pipeline rag")
    return max((_service(cluster, kube, service) for service in services), default=0)


def _service(cluster: "KindCluster", kube: "Kube", service: "Obj") -> int:
    from rayops.cluster.kind import NODE_PORTS
    from rayops.kube.rollout import look
    from rayops.render import node_ports

    namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
    health = look(kube, namespace, name)
    ports = node_ports([service])
    url = (
        f"http://127.0.0.1:{cluster.host_port(ports['serve'])}"
        if ports.get("serve") in NODE_PORTS
        else "in the cluster"
    )
    print(f"{f'{namespace}/{name}':<13}{health}  {url}")
    return 0 if health.healthy else 1
