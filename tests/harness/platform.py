"""What a company's platform gives its clusters and kind lacks, stood in for openly, so that staging and prod run here.

- `establish`: the kinds of other projects, with nobody who acts on them.
- `fill_secrets`: the external secret store. Each ExternalSecret's target Secret gets random values.
- `give_volumes`: the provisioner of volumes. A folder of the node for each claim that is rendered.
- `way_in`: the ingress controller. A pod in a namespace labelled as one, which forwards bytes to the serve Service; it
  is the only one here that the network policies let through.

The registry is a real one (tests/harness/registry.py), GPUs are only advertised (tests/harness/gpu.py).
"""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from rayops import proc
from rayops.cluster.kind import KindCluster
from rayops.kube import Kube, Obj, Timeout, dig, eventually
from rayops.kube.objects import NAMESPACE, Kind, is_true, name_of
from rayops.render.crds import crds_of
from tests.harness import namespaces
from tests.harness.helpers import helper_pod, run_pods

CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")
VOLUMES = "/var/lib/rayops-volumes"
INGRESS_LABEL = {"rayops.io/ingress": "true"}
# Bytes both ways; a connection of its own to the Service for each one taken, as kube-proxy then picks the pod. The name
# is asked for each time (a Service that is made anew has another address), with its last dot: no other name is tried.
FORWARDER = """
import asyncio, sys
host, port = sys.argv[1], int(sys.argv[2])
async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def forward(reader, writer):
    try:
        target = await asyncio.wait_for(asyncio.open_connection(host, port), 3)
    except (OSError, TimeoutError):
        return writer.close()
    await asyncio.gather(copy(reader, target[1]), copy(target[0], writer))
async def main():
    async with await asyncio.start_server(forward, "0.0.0.0", 8000) as server:
        await server.serve_forever()
asyncio.run(main())
"""
# Connects to HOST:PORT for each argument and prints those that answer.
KNOCKER = """
import socket, sys
for address in sys.argv[1:]:
    host, port = address.rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), 1.5).close()
    except OSError:
        continue
    print(address)
"""


def establish(kube: Kube, objects: Iterable[Obj]) -> None:
    """The kinds of other projects (PodMonitor, ExternalSecret, HTTPRoute …) are known; Ray's are the operator's."""
    define(kube, [crd for crd in crds_of(objects) if crd["spec"]["group"] != "ray.io"])


def define(kube: Kube, found: list[Obj]) -> None:
    """Apply CRDs, and wait until the API server serves their kinds."""
    kube.apply(found)
    for name in map(name_of, found):
        eventually(
            partial(kube.get, CRD, name),
            lambda crd: is_true(crd, "Established"),
            bool,
            Timeout.SHORT,
            f"{name} is known",
        )


def fill_secrets(kube: Kube, objects: Iterable[Obj], namespace: str) -> dict[str, list[str]]:
    """Make the Secrets that the ExternalSecrets among the objects ask for; their keys by name."""
    made = {}
    for wanted in (obj for obj in objects if obj["kind"] == "ExternalSecret"):
        name = dig(wanted, "spec", "target", "name", default=name_of(wanted))
        keys = [entry["secretKey"] for entry in wanted["spec"]["data"]]
        kind = dig(wanted, "spec", "target", "template", "type", default="Opaque")
        secret = {"apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name}}
        kube.apply([{**secret, "stringData": {key: secrets.token_urlsafe(32) for key in keys}}], namespace=namespace)
        made[name] = keys
    return made


def give_volumes(kube: Kube, cluster: KindCluster, objects: Iterable[Obj], namespace: str) -> list[str]:
    """A volume for each claim of a StatefulSet or by itself among the objects; names of the volumes."""
    wanted = [(name, spec) for obj in objects for name, spec in claims(obj)]
    for name, spec in wanted:
        folder = f"{VOLUMES}/{namespace}-{name}"
        for node in cluster.nodes():
            proc.run(
                ["docker", "exec", node, "bash", "-c", f"rm -rf {folder} && mkdir -p {folder} && chmod 777 {folder}"]
            )
        volume = {
            "capacity": spec["resources"]["requests"],
            "accessModes": spec["accessModes"],
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name},
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": spec.get("storageClassName", ""),
            "hostPath": {"path": folder},
        }
        metadata = {"name": f"{namespace}-{name}", "labels": namespaces.OURS}
        kube.apply([{"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": volume}])
    return [f"{namespace}-{name}" for name, _ in wanted]


def claims(obj: Obj) -> list[tuple[str, Obj]]:
    """Name and spec of the claims that an object makes: its own, or those of a StatefulSet's pods."""
    if obj["kind"] == "PersistentVolumeClaim":
        return [(name_of(obj), obj["spec"])]
    if obj["kind"] != "StatefulSet":
        return []
    ordinals = range(int(obj["spec"].get("replicas", 1)))
    templates = obj["spec"].get("volumeClaimTemplates", [])
    return [(f"{name_of(t)}-{name_of(obj)}-{ordinal}", t["spec"]) for t in templates for ordinal in ordinals]


@contextmanager
def way_in(kube: Kube, service: str, namespace: str) -> Iterator[str]:
    """A namespace that is labelled as an ingress controller's, with the Service `way-in` in front of SERVICE:8000.

    It is a node port of our pool; the pod is called `way-in`, too.
    """
    place = namespaces.new_name("ingress")
    labels = {**namespaces.RESTRICTED, **namespaces.OURS, **INGRESS_LABEL}
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place, "labels": labels}})
    try:
        command = ["python", "-c", FORWARDER, f"{service}.{namespace}.svc.cluster.local.", "8000"]
        pod = helper_pod("way-in", command, {"app": "way-in"})
        pod["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8000}, "periodSeconds": 1}
        (port,) = namespaces.free_node_ports(kube, 1)
        ports = [{"name": "serve", "port": 8000, "nodePort": port}]
        spec = {"type": "NodePort", "selector": {"app": "way-in"}, "ports": ports}
        metadata = {"name": "way-in"}
        kube.create({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}, namespace=place)
        run_pods(kube, place, pod)
        yield place
    finally:
        kube.delete(NAMESPACE, place)


def reachable(kube: Kube, namespace: str, pod: str, addresses: Iterable[str]) -> set[str]:
    """Which of the addresses (IP:PORT) take a connection from a pod within 1.5 s."""
    wanted = list(addresses)
    done = kube.exec(namespace, pod, ["python", "-c", KNOCKER, *wanted], timeout_s=10 + 2 * len(wanted))
    return set(done.stdout.split())
