"""The kind node image: pulled where a container registry answers, else built from Go modules and Debian packages.

The build is cached by content: the image's tag is a hash over everything that goes into it, and an image that the
engine already has is never built again.
"""

import json
import shutil
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from rayops import proc
from rayops.cluster import gobuild, rootfs
from rayops.errors import RayopsError
from rayops.paths import CACHE, TOOLS, content_hash
from rayops.versions import pin

FILES = Path(__file__).parent / "files"
LOG = CACHE / "logs" / "node-image.log"
REGISTRY_TIMEOUT = 4.0
KUBERNETES = "kubelet kubeadm kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy".split()
# Programs that call iptables and ipset: these are taken from the root file system.
CALL_IPTABLES = {"kube-proxy", "network-policy"}


@dataclass(frozen=True)
class NodeImage:
    """reference: what kind is given. built: made here, so the cluster needs our network (kind.py)."""

    reference: str
    built: bool


def registry_of(image: str) -> str:
    """Host of an image reference; Docker Hub's own when the reference names none."""
    first = image.split("/")[0]
    named = "/" in image and ("." in first or ":" in first or first == "localhost")
    return "registry-1.docker.io" if not named or first == "docker.io" else first


def registry_answers(image: str) -> bool:
    """True when the image's registry speaks the registry protocol within a short time-out."""
    host = registry_of(image)
    local = host.split(":")[0] in ("localhost", "127.0.0.1")
    try:
        status, headers = _get(f"{'http' if local else 'https'}://{host}/v2/", direct=local)
    except (OSError, ValueError, HTTPException):
        return False
    return status == 200 or (status == 401 and "www-authenticate" in headers)


def repository_answers(url: str) -> bool:
    """True when a file can be fetched from a chart repository within the same short time-out."""
    try:
        return _get(url)[0] == 200
    except (OSError, ValueError, HTTPException):
        return False


def _get(url: str, *, direct: bool = False) -> tuple[int, set[str]]:
    """Status and names of the headers of an answer. direct: never through a proxy."""
    handlers = [urllib.request.ProxyHandler({})] if direct else []
    try:
        with urllib.request.build_opener(*handlers).open(url, timeout=REGISTRY_TIMEOUT) as answer:
            return answer.status, {name.lower() for name in answer.headers}
    except urllib.error.HTTPError as error:
        return error.code, {name.lower() for name in error.headers}


def ensure(*, offline: bool = False, image: str | None = None) -> tuple[NodeImage, str]:
    """The node image and what was done for it ("" when it was there).

    image: another image than the pinned one, to be pulled. offline: never ask a registry.
    """
    wanted = image or pin("KIND_NODE_IMAGE")
    if (image or not offline) and rootfs.image_exists(wanted):
        return NodeImage(wanted, built=_is_built(wanted)), ""
    if not offline and registry_answers(wanted):
        proc.run(["docker", "pull", wanted], log=LOG, hint="--offline builds the node image instead")
        return NodeImage(wanted, built=_is_built(wanted)), f"{wanted} pulled"
    if image is not None:
        raise RayopsError(f"no registry answers for {image}", hint="leave out --node-image to build it here")
    reference = f"local/kind-node:v{pin('KUBERNETES_VERSION')}-{_hash()}"
    if rootfs.image_exists(reference):
        return NodeImage(reference, built=True), ""
    _build(reference)
    return NodeImage(reference, built=True), f"{reference} built"


def _is_built(reference: str) -> bool:
    form = '{{index .Config.Labels "rayops.node"}}'
    return proc.run(["docker", "image", "inspect", "--format", form, reference]).strip() == "built"


def _programs_hash() -> str:
    modules = [TOOLS / name for name in ("kubernetes", "etcd", "go.mod", "go.sum", "coredns", "network-policy")]
    return content_hash(*modules, pin("KUBERNETES_VERSION"))


def _hash() -> str:
    recipe = [FILES / "node", *sorted(FILES.glob("*.Dockerfile")), Path(__file__)]
    return content_hash(_programs_hash(), *recipe, rootfs.SUITE, *rootfs.NODE_PACKAGES)


def _build(reference: str) -> None:
    base = rootfs.ensure("node-rootfs", rootfs.NODE_PACKAGES)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        context = Path(folder)
        shutil.copytree(_programs(), context / "bin")
        pause = _images(context / "bin")["pause"].rpartition(":")[2]
        _lay_out_node(context, pause)
        _docker_build(context, FILES / "node.Dockerfile", f"{reference}-bare", ROOTFS=base)
        archive = context / "images.tar"
        images = _component_images(context, base)
        proc.run(["docker", "save", "-o", archive, *images], log=LOG)
        proc.run(["docker", "rmi", *images], log=LOG)  # names of real registries: not for anybody else to run
        _bake(f"{reference}-bare", archive, reference)


def _programs() -> Path:
    """Folder with the compiled programs; complete or not there, so that an interrupted build resumes."""
    folder = CACHE / f"node-programs-{_programs_hash()}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        _compile(unfinished)
        unfinished.rename(folder)
    return folder


def _compile(target: Path) -> None:
    version = pin("KUBERNETES_VERSION")
    major, minor, _ = version.split(".")
    component = "k8s.io/component-base/version"
    symbols = {f"{component}.gitVersion": f"v{version}", f"{component}.gitTreeState": "clean"}
    symbols |= {f"{component}.gitMajor": major, f"{component}.gitMinor": minor}
    gobuild.build("kubernetes", [f"k8s.io/kubernetes/cmd/{name}" for name in KUBERNETES], target, symbols=symbols)
    gobuild.build("etcd", ["go.etcd.io/etcd/server/v3"], target, name="etcd")
    gobuild.build(".", ["./coredns", "./network-policy"], target)


def _images(binaries: Path) -> dict[str, str]:
    """Program to image name, as this kubeadm will ask for it."""
    listing = proc.run(
        [binaries / "kubeadm", "config", "images", "list", "--kubernetes-version", f"v{pin('KUBERNETES_VERSION')}"]
    )
    images = {line.rpartition("/")[2].partition(":")[0]: line for line in listing.split()}
    return {**images, "network-policy": "local/network-policy:dev"}


def _lay_out_node(context: Path, pause: str) -> None:
    shutil.copytree(FILES / "node", context / "node")
    config = context / "node" / "etc" / "containerd" / "config.toml"
    config.write_text(config.read_text().replace("@PAUSE@", pause))
    (context / "node" / "kind").mkdir(exist_ok=True)
    (context / "node" / "kind" / "version").write_text(f"v{pin('KUBERNETES_VERSION')}")


def _component_images(context: Path, base: str) -> list[str]:
    # Debian's catatonit is a static init that does what the pause program does.
    container = proc.run(["docker", "create", base, "true"]).strip()
    proc.run(["docker", "cp", f"{container}:/usr/bin/catatonit", context / "bin" / "pause"])
    proc.run(["docker", "rm", container])
    images = _images(context / "bin")
    for program, image in images.items():
        dockerfile = FILES / ("network.Dockerfile" if program in CALL_IPTABLES else "component.Dockerfile")
        entrypoint = [f"/usr/local/bin/{program}", *(["-P"] if program == "pause" else [])]
        alone = context / program
        (alone / "bin").mkdir(parents=True)
        shutil.move(context / "bin" / program, alone / "bin")
        _docker_build(alone, dockerfile, image, entrypoint, PROGRAM=program, ROOTFS=base)
    return list(images.values())


def _docker_build(
    context: Path, dockerfile: Path, tag: str, entrypoint: list[str] | None = None, **arguments: str
) -> None:
    prepared = context / "Dockerfile"
    prepared.write_text(dockerfile.read_text() + (f"ENTRYPOINT {json.dumps(entrypoint)}\n" if entrypoint else ""))
    options = [option for name, value in arguments.items() for option in ("--build-arg", f"{name}={value}")]
    proc.run(["docker", "build", "--quiet", "-t", tag, *options, context], log=LOG, env={"DOCKER_BUILDKIT": "0"})


def _bake(bare: str, archive: Path, reference: str) -> None:
    """Import the control plane's images into the node's containerd, as kind does for its own node images."""
    container = proc.run(["docker", "run", "-d", "--privileged", "--entrypoint", "sleep", bare, "600"]).strip()
    try:
        proc.run(["docker", "cp", archive, f"{container}:/images.tar"], log=LOG)
        script = (
            "containerd >/dev/null 2>&1 & until ctr version >/dev/null 2>&1; do sleep 0.1; done; "
            "ctr -n k8s.io images import --no-unpack /images.tar && rm /images.tar && kill $! && { wait $! || true; }"
        )
        proc.run(["docker", "exec", container, "bash", "-c", script], log=LOG)
        changes = ['ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "LABEL rayops.node=built"]
        options = [option for change in changes for option in ("--change", change)]
        proc.run(["docker", "commit", *options, container, reference], log=LOG)
    finally:
        proc.run(["docker", "rm", "-f", container])
    proc.run(["docker", "rmi", bare], log=LOG)
