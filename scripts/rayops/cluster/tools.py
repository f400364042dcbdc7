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
    module: str = "."


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


# Built when something asks for it: `up` needs none of these.
ON_DEMAND = {
    tool.name: tool
    for tool in (
        Tool(
            "actionlint",
            "ACTIONLINT_VERSION",
            ("-version",),
            "github.com/rhysd/actionlint/cmd/actionlint",
            "github.com/rhysd/actionlint.version",
            module="actionlint",
        ),
        Tool(
            "kube-score",
            "KUBE_SCORE_VERSION",
            ("version",),
            "github.com/zegl/kube-score/cmd/kube-score",
            "main.version",
            module="kube-score",
        ),
    )
}


def path(name: str) -> Path:
    """The tool in the pinned version; one of ON_DEMAND is built when it is not there.

    Raises RayopsError when another one is neither on PATH nor built.
    """
    tool = TOOLS.get(name) or ON_DEMAND[name]
    if found := _find(tool):
        return found
    if name in TOOLS:
        raise RayopsError(f"{name} {pin(tool.pin)} is not there", hint="./scripts/up --until tools builds it")
    build([tool])
    return BIN / name


def _find(tool: Tool) -> Path | None:
    for candidate in (BIN / tool.name, proc.find(tool.name)):
        if candidate is not None and candidate.exists() and _is_pinned(tool, candidate):
            return candidate
    return None


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
        gobuild.build(tool.module, [tool.package], BIN, symbols=symbols, name=tool.name)


def _is_pinned(tool: Tool, program: Path) -> bool:
    try:
        answer = proc.run([program, *tool.version_arguments], timeout=20)
    except RayopsError:
        return False
    return pin(tool.pin) in answer.replace("v", " ").replace("+", " ").replace(",", " ").split()
