"""A stand-in for KubeRay's operator chart: CRDs and rules of the pinned Go module under templates of our own.

For places that the chart's own repository cannot reach.
archive = package_operator_chart(module, "1.6.2", ROOT / "charts/kuberay-platform/charts")
for crd in operator_crds(module): ...
"""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import yaml

from rayops.errors import RayopsError

NAME = "kuberay-operator"
TEMPLATES = Path(__file__).parent / NAME
RULES = {"operator": "role.yaml", "leader-election": "leader_election_role.yaml"}


def crd_files(module_dir: Path) -> list[Path]:
    """The CRD files of the operator's Go module, sorted. RayopsError where the folder is not that module."""
    files = sorted((module_dir / "config" / "crd" / "bases").glob("*.yaml"))
    if not files:
        raise RayopsError(
            f"{module_dir}: no CRDs in config/crd/bases",
            hint="go mod download in scripts/tools/kuberay-operator brings the operator's module",
        )
    return files


def operator_crds(module_dir: Path) -> list[dict[str, Any]]:
    """The CRDs as objects, for a server-side apply (three of the four are too big for a client-side one)."""
    return [yaml.load(file.read_text(), Loader=yaml.CSafeLoader) for file in crd_files(module_dir)]


def package_operator_chart(module_dir: Path, version: str, destination: Path) -> Path:
    """Write `kuberay-operator-<version>.tgz` into a folder (made when missing) and return its path.

    The same module and version give the same bytes. RayopsError where the module is of another version or incomplete.
    """
    if not module_dir.name.endswith(f"@v{version}"):
        raise RayopsError(f"{module_dir} is not version {version} of the operator's module")
    destination.mkdir(parents=True, exist_ok=True)
    archive = destination / f"{NAME}-{version}.tgz"
    archive.write_bytes(_archive(_contents(module_dir, version)))
    return archive


def _contents(module_dir: Path, version: str) -> dict[str, str]:
    """All files of the chart by their path in it."""
    contents = {f"crds/{file.name}": file.read_text() for file in crd_files(module_dir)}
    for file in sorted(TEMPLATES.rglob("*")):
        if file.is_file():
            contents[file.relative_to(TEMPLATES).as_posix()] = file.read_text()
    chart = yaml.safe_load(contents["Chart.yaml"]) | {"version": version, "appVersion": f"v{version}"}
    contents["Chart.yaml"] = yaml.safe_dump(chart)
    for name, source in RULES.items():
        contents[f"rules/{name}.yaml"] = yaml.safe_dump({"rules": _rules(module_dir / "config" / "rbac" / source)})
    return contents


def _rules(file: Path) -> list[dict[str, Any]]:
    try:
        rules: list[dict[str, Any]] = yaml.safe_load(file.read_text())["rules"]
    except (OSError, KeyError, TypeError) as error:
        raise RayopsError(f"{file}: no RBAC rules here") from error
    return rules


def _archive(contents: dict[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path, text in sorted(contents.items()):
            entry = tarfile.TarInfo(f"{NAME}/{path}")
            entry.size = len(text.encode())
            tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue(), mtime=0)
