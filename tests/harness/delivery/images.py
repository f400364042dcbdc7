"""Images of the GitOps controllers and of the Git server, from pinned Go modules and Debian packages, built by content.

A cold build of Argo CD takes four minutes on two cores and of kustomize-controller three; with Go's build cache it is
a link step. Programs lie in the cache folder, so that they can also be called on this machine.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rayops import proc
from rayops.cluster import gobuild, rootfs, tools
from rayops.paths import CACHE, TOOLS, content_hash
from rayops.versions import pin

FILES = Path(__file__).parent / "dockerfiles"
LOG = CACHE / "logs" / "delivery.log"
BASE_PACKAGES = ["git", "ca-certificates", "redis-server", "procps"]
ARGOCD_MODULE = "github.com/argoproj/argo-cd/v3"
FLUX_MODULE = "github.com/fluxcd/kustomize-controller"
FLUX_SOURCES_MODULE = "github.com/fluxcd/source-controller"

# What each program is made from: its source, or the files that pin the module that it is in.
ARGOCD = [TOOLS / "argocd" / name for name in ("go.mod", "go.sum")]
FLUX = [TOOLS / "kustomize-controller" / name for name in ("go.mod", "go.sum")]
GIT_SERVER = [TOOLS / "gitserver"]


@dataclass(frozen=True)
class Images:
    """References of the three images, present in the engine."""

    git: str
    argocd: str
    kustomize_controller: str

    def all(self) -> tuple[str, str, str]:
        """In one archive: two of them share their lower layers."""
        return (self.git, self.argocd, self.kustomize_controller)


def ensure() -> Images:
    """Build what the engine lacks."""
    base = rootfs.ensure("gitops-base", BASE_PACKAGES)
    argocd_parts = [argocd, _git_verify_wrapper, _tool("kustomize"), _tool("helm")]
    return Images(
        git=_image("gitserver", GIT_SERVER, base=base, parts=[git_server]),
        argocd=_image("argocd", ARGOCD, base=base, parts=argocd_parts),
        kustomize_controller=_image("kustomize-controller", FLUX, parts=[flux]),
    )


def git_server() -> Path:
    """The Git server's program."""
    return _build("gitserver", ".", "./gitserver", GIT_SERVER)


def argocd() -> Path:
    """Argo CD's one program: controllers, repo server and command line."""
    version = {f"{ARGOCD_MODULE}/common.version": pin("ARGOCD_VERSION")}
    return _build("argocd", "argocd", f"{ARGOCD_MODULE}/cmd", ARGOCD, symbols=version)


def flux() -> Path:
    """Flux's kustomize-controller, unmodified."""
    return _build("kustomize-controller", "kustomize-controller", FLUX_MODULE, FLUX)


def flux_health() -> Path:
    """A program that asks the library by which kustomize-controller judges health (scripts/tools)."""
    return _build("health", "kustomize-controller", "./health", [*FLUX, TOOLS / "kustomize-controller" / "health"])


def sops() -> Path:
    """The command that encrypts, in the version by which kustomize-controller decrypts."""
    return _build("sops", "kustomize-controller", "github.com/getsops/sops/v3/cmd/sops", FLUX)


def age_keygen() -> Path:
    """The command that makes keys for it."""
    return _build("age-keygen", "kustomize-controller", "filippo.io/age/cmd/age-keygen", FLUX)


def argocd_source() -> Path:
    """Argo CD's module in Go's module cache: its custom resource definitions."""
    return gobuild.module_directory("argocd", ARGOCD_MODULE)


def flux_sources() -> tuple[Path, Path]:
    """The modules of kustomize-controller and of source-controller: their custom resource definitions."""
    kustomizations = gobuild.module_directory("kustomize-controller", FLUX_MODULE)
    return kustomizations, gobuild.module_directory("crds", FLUX_SOURCES_MODULE)


def _git_verify_wrapper() -> Path:
    return argocd_source() / "hack" / "git-verify-wrapper.sh"


def _tool(name: str) -> Callable[[], Path]:
    return lambda: tools.path(name)


def _build(name: str, module: str, package: str, source: list[Path], *, symbols: dict[str, str] | None = None) -> Path:
    """A program in the cache folder, by the content of its source and of what pins it."""
    folder = CACHE / "delivery" / f"{name}-{content_hash(*source, *(symbols or {}).values())}"
    program = folder / name
    if not program.exists():
        gobuild.build(module, [package], folder, symbols=symbols, name=f"{name}.unfinished")
        (folder / f"{name}.unfinished").rename(program)
    return program


def _image(name: str, source: list[Path], *, parts: list[Callable[[], Path]], base: str = "") -> str:
    """Image `local/delivery-NAME:HASH`; its parts (files for its folder of programs) are made when it is not there."""
    dockerfile = FILES / f"{name}.Dockerfile"
    versions = [pin(name) for name in ("ARGOCD_VERSION", "KUSTOMIZE_VERSION", "HELM_VERSION")]
    reference = f"local/delivery-{name}:{content_hash(dockerfile, base, *versions, *source)}"
    if rootfs.image_exists(reference):
        return reference
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        context = Path(folder)
        for part in (make() for make in parts):
            (context / part.name).write_bytes(part.read_bytes())
            (context / part.name).chmod(0o755)
        options = ["--quiet", "-t", reference, "-f", str(dockerfile)]
        options += ["--build-arg", f"BASE_IMAGE={base}"] if base else []
        proc.run(["docker", "build", *options, context], log=LOG, env={"DOCKER_BUILDKIT": "0"})
    return reference
