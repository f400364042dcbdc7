"""A container registry on this machine: the distribution registry, from its Go module, on a free loopback port."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from rayops import proc
from rayops.cluster import gobuild, node_image
from rayops.errors import RayopsError
from rayops.paths import BIN

START_TIMEOUT_S = 20.0


@contextlib.contextmanager
def local_registry(folder: Path) -> Iterator[str]:
    """Run a registry that keeps its data below the folder; its address, 127.0.0.1:PORT."""
    if not (BIN / "registry").exists():
        gobuild.build(".", ["./registry"], BIN)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(folder / "registry")}}
    configuration = folder / "registry.yaml"
    configuration.write_text(yaml.safe_dump({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    with (folder / "registry.log").open("w") as log:
        process = subprocess.Popen([BIN / "registry", "serve", configuration], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not node_image.registry_answers(f"{address}/any"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RayopsError("the local registry does not answer", evidence=folder / "registry.log")
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=10)


def push(reference: str, name: str) -> None:
    """Push an image of the engine under another name, then forget the name."""
    proc.run(["docker", "tag", reference, name])
    try:
        proc.run(["docker", "push", "--quiet", name])
    finally:
        proc.run(["docker", "rmi", name])
