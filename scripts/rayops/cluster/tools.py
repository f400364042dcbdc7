"""The command-line tools: from PATH when it has the pinned version, else built into the cache."""

from dataclasses import dataclass
from pathlib import Path

from rayops import proc
from rayops.cluster import gobuild
from rayops.errors import RayopsError
from rayops.paths import BIN
from rayops.versions import pin


@dataclass(frozen=True)
class Tool:
    """name of the program, its pin, how it tells its version, its Go package and the linker symbol of its version."""

    name: str
    pin: str
    version_arguments: tuple[str, ...]
    package: str
    symbol: str | None = None


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("kind", "KIND_VERSION", ("version",), "sigs.k8s.io/kind"),
        Tool(
            "helm",
            "HELM_VERSION",
            ("version", "--short"),
            "helm.sh/helm/v3/cmd/helm",
            "helm.sh/helm/v3/internal/version.version",
        ),
        Tool(
            "kustomize",
            "KUSTOMIZE_VERSION",
            ("version",),
            "sigs.k8s.io/kustomize/kustomize/v5",
            "sigs.k8s.io/kustomize/api/provenance.version",
        ),
        Tool(
            "kubeconform",
            "KUBECONFORM_VERSION",
            ("-v",),
            "github.com/yannh/kubeconform/cmd/kubeconform",
            "main.version",
        ),
    )
}


def path(name: str) -> Path:
    """The tool in the pinned version. Raises RayopsError when it is neither on PATH nor built."""
    for candidate in (BIN / name, proc.find(name)):
        if candidate is not None and candidate.exists() and _is_pinned(TOOLS[name], candidate):
            return candidate
    raise RayopsError(f"{name} {pin(TOOLS[name].pin)} is not there", hint="./scripts/up --until tools builds it")


def missing() -> list[Tool]:
    """The tools that still have to be built."""
    absent = []
    for tool in TOOLS.values():
        try:
            path(tool.name)
        except RayopsError:
            absent.append(tool)
    return absent


def build(tools: list[Tool]) -> None:
    """Build tools into the cache."""
    for tool in tools:
        symbols = {tool.symbol: f"v{pin(tool.pin)}"} if tool.symbol else None
        gobuild.build(".", [tool.package], BIN, symbols=symbols, name=tool.name)


def _is_pinned(tool: Tool, program: Path) -> bool:
    try:
        answer = proc.run([program, *tool.version_arguments], timeout=20)
    except RayopsError:
        return False
    return pin(tool.pin) in answer.replace("v", " ").replace("+", " ").split()
