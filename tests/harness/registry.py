"""Container registries on this machine: the distribution registry, from its Go module.

`local_registry` is a process on a free loopback port, which this machine's engine pulls from. `ClusterRegistry` is a
container on kind's network that a cluster's nodes take for a company's registry.
"""

import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from rayops import proc
from rayops.cluster import gobuild, node_image, rootfs
from rayops.cluster.kind import KindCluster
from rayops.errors import RayopsError
from rayops.paths import BIN, CACHE, TOOLS, content_hash
from rayops.versions import pin

START_TIMEOUT_S = 20.0
PORT = 5000


@contextlib.contextmanager
def local_registry(folder: Path) -> Iterator[str]:
    """Run a registry that keeps its data below the folder; its address, 127.0.0.1:PORT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = folder / "registry.yaml"
    configuration.write_text(_configuration(folder / "registry", address))
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen([_program(), "serve", configuration], stdout=log, stderr=log)
    try:
        _wait(address, lambda: process.poll() is None, folder / "registry.log")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


class ClusterRegistry:
    """A registry that the nodes of a kind cluster ask whenever an image's name begins with `host`.

    Its data outlive it, in the cache: layers that were pushed before are not sent again.
    """

    def __init__(self, cluster: KindCluster, host: str) -> None:
        self.cluster, self.host = cluster, host
        self.container = f"{cluster.name}-registry"
        self.address = ""

    def __enter__(self) -> "ClusterRegistry":
        data = CACHE / "registry"
        data.mkdir(parents=True, exist_ok=True)
        self._remove()
        command = ["docker", "run", "--detach", "--name", self.container, "--label", f"rayops={self.cluster.name}"]
        command += ["--network", "kind", "--publish", f"127.0.0.1:0:{PORT}", "--volume", f"{data}:/data", _image()]
        proc.run(command)
        self.address = proc.run(["docker", "port", self.container, str(PORT)]).split()[0]
        running = ["docker", "inspect", "--format", "{{.State.Running}}", self.container]
        _wait(self.address, lambda: proc.run(running).strip() == "true", self.cluster.log)
        for node in self.cluster.nodes():
            self._be_asked_by(node)
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.cluster.nodes():
            proc.run(["docker", "exec", node, "rm", "-rf", f"/etc/containerd/certs.d/{self.host}"])
        self._remove()

    def push(self, reference: str, name: str) -> str:
        """Push an image of the engine as HOST/NAME:pushed; its digest there, `sha256:…`."""
        return push(reference, f"{self.address}/{name}:pushed")

    def _be_asked_by(self, node: str) -> None:
        server = f"http://{self.container}:{PORT}"
        hosts = f'server = "{server}"\n[host."{server}"]\ncapabilities = ["pull", "resolve"]\n'
        folder = f"/etc/containerd/certs.d/{self.host}"
        proc.run(["docker", "exec", node, "mkdir", "-p", folder])
        proc.run(["docker", "exec", "-i", node, "tee", f"{folder}/hosts.toml"], stdin=hosts)

    def _remove(self) -> None:
        proc.succeeds(["docker", "rm", "--force", self.container])


def push(reference: str, name: str) -> str:
    """Push an image of the engine under another name, then forget the name; the digest it has there."""
    proc.run(["docker", "tag", reference, name])
    try:
        proc.run(["docker", "push", "--quiet", name], timeout=600)
        repository = name.rpartition(":")[0]
        query = ["docker", "image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", name]
        digests = [line for line in proc.run(query).split() if line.startswith(f"{repository}@")]
        if len(digests) != 1:
            raise RayopsError(f"{name} has no single digest after the push: {digests}")
        return digests[0].rpartition("@")[2]
    finally:
        proc.run(["docker", "rmi", name])


def _program() -> Path:
    if not (BIN / "registry").exists():
        gobuild.build(".", ["./registry"], BIN)
    return BIN / "registry"


def _image() -> str:
    """The registry as an image of its own."""
    reference = f"local/registry:v{pin('DISTRIBUTION_VERSION')}-{content_hash(TOOLS / 'registry', Path(__file__))}"
    if not rootfs.image_exists(reference):
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            context = Path(folder)
            (context / "registry").hardlink_to(_program())
            (context / "registry.yaml").write_text(_configuration(Path("/data"), f":{PORT}"))
            lines = ["FROM scratch", "COPY registry registry.yaml /", 'CMD ["/registry", "serve", "/registry.yaml"]']
            (context / "Dockerfile").write_text("\n".join(lines) + "\n")
            proc.run(["docker", "build", "--quiet", "-t", reference, context], env={"DOCKER_BUILDKIT": "0"})
    return reference


def _configuration(data: Path, address: str) -> str:
    storage = {"filesystem": {"rootdirectory": str(data)}}
    return yaml.safe_dump({"version": 0.1, "storage": storage, "http": {"addr": address}})


def _wait(address: str, alive: Callable[[], bool], evidence: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not node_image.registry_answers(f"{address}/any"):
        if not alive() or time.monotonic() > deadline:
            raise RayopsError("the local registry does not answer", evidence=evidence)
        time.sleep(0.1)
