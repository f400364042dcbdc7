"""Our own cluster on kind. The one place where the harness meets rayops.cluster and the command line."""

import os
import subprocess
import sys
from collections.abc import Sequence

from rayops import proc
from rayops.cluster.kind import KindCluster
from rayops.errors import RayopsError
from rayops.kube import Kube
from rayops.kube.objects import SERVICE
from rayops.paths import ROOT, checkout_id
from tests.harness.cluster import node_port
from tests.harness.helpers import IDENTITY, NEXT_IMAGE, PIPELINE_IMAGE

# A node image and a pipeline image may have to be built first.
UP_TIMEOUT_S = 45 * 60.0


def cluster_name(suffix: str = "") -> str:
    """A name that no other checkout and no user's cluster has."""
    return f"rayops-e2e-{checkout_id()}{suffix}"


class OwnCluster:
    """A kind cluster of this checkout, made when it is not there, with the operator and the pipeline image."""

    ours = True

    def __init__(self, name: str, *, nodes: int = 1, keep: bool = False) -> None:
        self.name, self._nodes, self._keep = name, nodes, keep
        self.kind = KindCluster(name)
        self._kube: Kube | None = None

    def start(self) -> Kube:
        """Bring it up as a user would, but stop before a pipeline is applied; an earlier run's may be there still."""
        up = ["up", "--cluster", self.name, "--nodes", str(self._nodes), "--until", "pipeline image"]
        done = rayops(up, timeout=UP_TIMEOUT_S)
        if done.returncode:
            raise RayopsError(f"rayops {' '.join(up)} failed: {(done.stderr or done.stdout).strip()[-600:]}")
        # Both in one archive: they share their layers.
        self.kind.load(PIPELINE_IMAGE, derived_image(PIPELINE_IMAGE, NEXT_IMAGE))
        self._kube = Kube.connect(self.kind.kubeconfig)
        return self._kube

    def stop(self) -> None:
        """Delete it unless it is to be kept."""
        if not self._keep:
            self.kind.delete()

    def load_image(self, reference: str) -> None:
        """Put an image of the engine onto the nodes."""
        self.kind.load(reference)

    def address(self, namespace: str, service: str, port: str) -> str:
        """The loopback port that kind gave to the Service's node port."""
        kube = self._kube or self.start()
        return f"http://127.0.0.1:{self.kind.host_port(node_port(kube.get(SERVICE, service, namespace), port))}"


def derived_image(base: str, reference: str) -> str:
    """Make another image with the same content but another identity (label and environment); its reference."""
    tag = reference.rpartition(":")[2]
    lines = [f"FROM {base}", f"LABEL rayops.e2e={tag}", f"ENV {IDENTITY}={tag}"]
    legacy = {"DOCKER_BUILDKIT": "0"}
    proc.run(["docker", "build", "--tag", reference, "-"], stdin="\n".join(lines) + "\n", timeout=120, env=legacy)
    return reference


def containers_of(name: str) -> list[str]:
    """The engine's containers of a kind cluster, stopped ones included."""
    label = f"label=io.x-k8s.kind.cluster={name}"
    return proc.run(["docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}"]).split()


def rayops(arguments: Sequence[str], *, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """The command line of rayops as a user starts it, in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    command = [sys.executable, "-m", "rayops", *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
