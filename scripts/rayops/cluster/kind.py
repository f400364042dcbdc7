"""One kind cluster: create, find its ports, load images, delete. Nothing of it is shared with another checkout.

cluster = KindCluster("rayops-1a2b3c")
cluster.create(image)
cluster.load("local/pipeline:dev")
cluster.host_port(30080)   # a random port on 127.0.0.1
"""

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from rayops import proc
from rayops.cluster import tools
from rayops.cluster.node_image import NodeImage
from rayops.errors import RayopsError
from rayops.paths import CACHE, checkout_id

FILES = Path(__file__).parent / "files"
# Node ports that are reachable from this machine, each on a random loopback port.
NODE_PORTS = range(30080, 30100)
READY_TIMEOUT = 180
NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]*")
# The control plane asks for a whole CPU by default: on two CPUs that leaves no room for an upgrade's second cluster.
_DNS = ("-n", "kube-system", "deployment/coredns")
# Readiness is asked every two seconds: every cluster waits for it.
_SMALL_CONTAINER = {
    "name": "coredns",
    "resources": {"requests": {"cpu": "20m"}},
    "readinessProbe": {"periodSeconds": 2},
}
_SMALL_DNS = {"spec": {"replicas": 1, "template": {"spec": {"containers": [_SMALL_CONTAINER]}}}}
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd")


def default_name() -> str:
    """The cluster of this checkout."""
    return f"rayops-{checkout_id()}"


def clusters() -> list[str]:
    """Names of all kind clusters on this machine."""
    listing = proc.run(["docker", "ps", "-a", "--format", '{{.Label "io.x-k8s.kind.cluster"}}'])
    return sorted({name for name in listing.split() if name})


@dataclass(frozen=True)
class KindCluster:
    """A kind cluster by name; its kubeconfig is a file of its own, never the user's."""

    name: str = field(default_factory=default_name)

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig with this cluster alone."""
        return CACHE / "clusters" / self.name / "kubeconfig"

    @property
    def log(self) -> Path:
        """Everything that kind and docker printed about this cluster."""
        return CACHE / "logs" / f"{self.name}.log"

    def exists(self) -> bool:
        """True when kind made the cluster and its kubeconfig is here."""
        return self.name in clusters() and self.kubeconfig.exists()

    def running(self) -> bool:
        """True when the API server answers."""
        return self.exists() and proc.succeeds(self._kubectl("get", "--raw", "/readyz"), timeout=20)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise RayopsError(f"{self.name!r} is no name for a cluster", hint="letters, digits, '.', '-' and '_'")

    def ours(self) -> bool:
        """True when this checkout made it: its folder is here, or the name has the checkout's digits."""
        return self.kubeconfig.parent.exists() or checkout_id() in self.name

    def create(self, image: NodeImage, *, nodes: int = 1) -> None:
        """Create the cluster; an unfinished one of the same name is removed first.

        Raises RayopsError when there is one of this name that was not made here.
        """
        self.delete()
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        patches = self.kubeconfig.parent / "patches"
        _write_control_plane_patches(patches)
        configuration = yaml.safe_dump(self._configuration(image, nodes, patches))
        command: list[str | Path] = [
            tools.path("kind"),
            "create",
            "cluster",
            "--name",
            self.name,
            "--image",
            image.reference,
        ]
        command += ["--kubeconfig", self.kubeconfig, "--config", "-", "--retain"]
        proc.run(command, stdin=configuration, log=self.log)
        # Before a node can take pods, so that the first ones are already of the small kind.
        proc.run(self._kubectl("patch", *_DNS, "-p", json.dumps(_SMALL_DNS)), log=self.log)
        if image.built:
            self._connect_pods()
            self.apply((FILES / "network-policy.yaml").read_text())
        self._wait_ready()

    def delete(self) -> bool:
        """Delete the cluster and its kubeconfig. Returns False when there was nothing.

        Raises RayopsError when there is one of this name that was not made here.
        """
        there = self.name in clusters()
        if there and not self.ours():
            raise RayopsError(f"cluster {self.name} was not made here", hint=f"kind delete cluster --name {self.name}")
        if there:
            kubeconfig = ["--kubeconfig", str(self.kubeconfig)]
            proc.run([tools.path("kind"), "delete", "cluster", "--name", self.name, *kubeconfig], log=self.log)
        shutil.rmtree(self.kubeconfig.parent, ignore_errors=True)
        return there

    def nodes(self) -> list[str]:
        """Names of the node containers, the control plane's first."""
        listing = proc.run(
            ["docker", "ps", "--filter", f"label=io.x-k8s.kind.cluster={self.name}", "--format", "{{.Names}}"]
        )
        return sorted(listing.split(), key=lambda node: (not node.endswith("control-plane"), node))

    def host_port(self, node_port: int) -> int:
        """The loopback port of this machine behind a node port."""
        if node_port not in NODE_PORTS:
            raise RayopsError(
                f"node port {node_port} is not published", hint=f"use {NODE_PORTS[0]} to {NODE_PORTS[-1]}"
            )
        nodes = self.nodes()
        if not nodes:
            raise RayopsError(f"cluster {self.name} does not run", hint="./scripts/up")
        return int(proc.run(["docker", "port", nodes[0], str(node_port)]).split()[0].rpartition(":")[2])

    def has_image(self, reference: str) -> bool:
        """True when every node's container runtime has an image of this name."""
        wanted = reference if "." in reference.split("/")[0] else f"docker.io/{reference}"
        query = ["ctr", "-n", "k8s.io", "images", "ls", "-q"]
        return all(wanted in proc.run(["docker", "exec", node, *query]).split() for node in self.nodes())

    def load(self, *references: str) -> None:
        """Copy images of the engine into every node's container runtime; one archive, so shared layers travel once."""
        stream = 'docker save "${@:2}" | docker exec -i "$1" ctr -n k8s.io images import --digests -'
        for node in self.nodes():
            proc.run(["bash", "-o", "pipefail", "-c", stream, "load", node, *references], log=self.log)

    def apply(self, manifests: str) -> None:
        """Server-side apply of plain manifests (the network policy agent; pipelines go through rayops.kube)."""
        proc.run(self._kubectl("apply", "--server-side", "-f", "-"), stdin=manifests, log=self.log)

    def _kubectl(self, *arguments: str) -> list[str]:
        control_plane = f"{self.name}-control-plane"
        admin = "--kubeconfig=/etc/kubernetes/admin.conf"
        return ["docker", "exec", "-i", control_plane, "kubectl", admin, *arguments]

    def _configuration(self, image: NodeImage, nodes: int, patches: Path) -> dict[str, object]:
        mapped = [
            {"containerPort": port, "hostPort": 0, "listenAddress": "127.0.0.1", "protocol": "TCP"}
            for port in NODE_PORTS
        ]
        init = "kind: InitConfiguration\npatches: {directory: /kind/rayops-patches}\n"
        mount = {"hostPath": str(patches), "containerPath": "/kind/rayops-patches", "readOnly": True}
        first: dict[str, object] = {"role": "control-plane", "extraPortMappings": mapped, "extraMounts": [mount]}
        return {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"disableDefaultCNI": image.built, "apiServerAddress": "127.0.0.1"},
            "kubeadmConfigPatches": [init],
            "nodes": [first, *({"role": "worker"} for _ in range(nodes - 1))],
        }

    def _connect_pods(self) -> None:
        """Bridge network for our own node image: each node its pod subnet, and routes to the others' subnets."""
        subnet_known = "--for=jsonpath={.spec.podCIDR}"
        proc.run(self._kubectl("wait", f"--timeout={READY_TIMEOUT}s", "node", "--all", subnet_known), log=self.log)
        items = json.loads(proc.run(self._kubectl("get", "nodes", "-o", "json")))["items"]
        nodes = [(i["metadata"]["name"], i["spec"]["podCIDR"], i["status"]["addresses"][0]["address"]) for i in items]
        for name, subnet, _ in nodes:
            network = json.dumps(_bridge(subnet))
            write = ["tee", "/etc/cni/net.d/10-bridge.conflist"]
            proc.run(["docker", "exec", "-i", name, *write], stdin=network, log=self.log)
            for _, other_subnet, address in (node for node in nodes if node[0] != name):
                route = ["ip", "route", "replace", other_subnet, "via", address]
                proc.run(["docker", "exec", name, *route], log=self.log)

    def _wait_ready(self) -> None:
        timeout = f"--timeout={READY_TIMEOUT}s"
        proc.run(self._kubectl("wait", timeout, "node", "--all", "--for=condition=Ready"), log=self.log)
        proc.run(self._kubectl("rollout", "status", timeout, *_DNS), log=self.log)


def _bridge(subnet: str) -> dict[str, object]:
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "bridge", "plugins": [bridge, portmap]}


def _write_control_plane_patches(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for component in CONTROL_PLANE:
        container = {"name": component, "resources": {"requests": {"cpu": "20m"}}}
        patch = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": component},
            "spec": {"containers": [container]},
        }
        (folder / f"{component}+strategic.yaml").write_text(yaml.safe_dump(patch))
