"""Debian root file systems as images, for machines that no container registry serves."""

import tempfile
from pathlib import Path

from rayops import proc
from rayops.cluster import engine
from rayops.paths import CACHE, content_hash

SUITE = "bookworm"
LOG = CACHE / "logs" / "rootfs.log"

NODE_PACKAGES = (
    "systemd systemd-sysv dbus containerd runc containernetworking-plugins conntrack iptables nftables iproute2 "
    "ethtool ipset util-linux mount kmod socat ca-certificates curl jq procps hostname catatonit"
).split()
# bash, wget and grep are what KubeRay's probes call.
PYTHON_PACKAGES = "python3 python3-venv bash wget grep procps ca-certificates".split()

# vLLM's libraries, and the compiler for what Triton makes on the GPU's node.
PYTHON_GPU_PACKAGES = [*PYTHON_PACKAGES, *"gcc libc6-dev python3-dev libnuma1 libgomp1".split()]


def image_exists(reference: str) -> bool:
    """True when the engine has the image."""
    return proc.succeeds(["docker", "image", "inspect", reference])


def ensure(name: str, packages: list[str]) -> str:
    """Image `local/NAME:HASH` with a minimal Debian and these packages; made when the engine lacks it."""
    reference = f"local/{name}:{content_hash(SUITE, *packages)}"
    if image_exists(reference):
        return reference
    if proc.find("mmdebstrap") is None:
        engine.install("mmdebstrap", "debian-archive-keyring")
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        archive = Path(folder) / "rootfs.tar"
        trim = ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*"]
        trim += ["--dpkgopt=path-exclude=/usr/share/locale/*"]
        include = f"--include={','.join(packages)}"
        proc.run(["mmdebstrap", "--variant=minbase", *trim, include, SUITE, archive], log=LOG)
        proc.run(["docker", "import", archive, reference], log=LOG)
    return reference
