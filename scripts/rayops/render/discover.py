"""What is built by itself below a folder: Kustomization roots, charts with their values, manifests of Ray's kinds."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from rayops import proc
from rayops.errors import RayopsError
from rayops.render import loader

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
YAML = (".yaml", ".yml", ".json")
RAY = re.compile(rb"""apiVersion["']?\s*:\s*["']?ray\.io/""")
TESTS = frozenset({"test", "tests", "testdata", "fixtures", "golden"})
# A kustomization that has nothing else only sums up what others build.
SUMS = frozenset({"apiVersion", "kind", "metadata", "resources", "sortOptions", "buildMetadata"})


@dataclass
class Found:
    """kustomize: folders. helm: chart folder → values files. manifest: files. All relative to the root, sorted."""

    kustomize: list[str] = field(default_factory=list)
    helm: dict[str, list[str]] = field(default_factory=dict)
    manifest: list[str] = field(default_factory=list)


def find(root: Path, below: str = "") -> Found:
    """Look through a tree, or a folder of it.

    What Git ignores, hidden folders, and folders of tests (TESTS) are not part of it; those below such a folder are,
    when it is asked for by name.
    """
    kept = [PurePosixPath(name) for name in sorted(_files(root))]
    files = [file for file in kept if not TESTS & {*file.parts[:-1]}] if not below else kept
    kustomizations = {str(file.parent): _mapping(root, file) for file in files if file.name in KUSTOMIZATIONS}
    charts = [chart for chart in _charts(files) if _is_whole(root, chart)]
    inside = (*(f"{chart}/" for chart in charts), *(f"{folder}/" for folder in kustomizations if folder != "."))
    used = {name for folder, content in kustomizations.items() for name in _references(folder, content)}
    plain = [
        str(file)
        for file in files
        if file.suffix in YAML and not str(file).startswith(inside) and str(file) not in used and _has_ray(root / file)
    ]
    found = Found(sorted(_roots(kustomizations)), _values(root, files, charts), plain)
    if not below:
        return found
    return Found(
        [name for name in found.kustomize if name.startswith(f"{below}/")],
        {chart: values for chart, values in found.helm.items() if chart.startswith(f"{below}/")},
        [name for name in found.manifest if name.startswith(f"{below}/")],
    )


def _files(root: Path) -> Iterable[str]:
    """What Git knows or would take, else every file below that is not hidden."""
    try:
        inside = proc.run(["git", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"], timeout=60)
        return [name for name in inside.split("\0") if name and (root / name).is_file()]
    except RayopsError:
        return list(_walk(root, root))


def _walk(root: Path, folder: Path) -> Iterator[str]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(".") or entry.name in ("node_modules", "__pycache__") or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from _walk(root, entry)
        elif entry.is_file():
            yield entry.relative_to(root).as_posix()


def _mapping(root: Path, file: PurePosixPath) -> dict[str, Any] | None:
    """A kustomization; None where it is no YAML: its build says what is wrong."""
    try:
        objects = loader.load_file(root / file, str(file))
    except RayopsError:
        return None
    return objects[0] if len(objects) == 1 else {} if not objects else None


def _roots(kustomizations: Mapping[str, dict[str, Any] | None]) -> Iterator[str]:
    """Folders that no other one takes in, or only such as sum up; those are left out: all they have is told once."""
    users: dict[str, list[str]] = {}
    for folder, content in kustomizations.items():
        for name in _references(folder, content):
            if name in kustomizations:
                users.setdefault(name, []).append(folder)
    sums = {folder for folder, content in kustomizations.items() if _sums_up(folder, content, kustomizations)}
    for folder, content in kustomizations.items():
        if content is not None and content.get("kind", "Kustomization") != "Kustomization":
            continue
        if folder not in sums and all(user in sums for user in users.get(folder, [])):
            yield folder


def _sums_up(folder: str, content: dict[str, Any] | None, all_: Mapping[str, Any]) -> bool:
    if not content or not set(content) <= SUMS:
        return False
    taken = list(_references(folder, content))
    # One resource is a variant under its own name rather than a sum.
    return len(taken) > 1 and all(name in all_ for name in taken)


def _references(folder: str, content: dict[str, Any] | None) -> Iterator[str]:
    """What a kustomization names, relative to the root: folders and files."""
    for key in ("resources", "bases", "components", "patchesStrategicMerge", "patches", "patchesJson6902", "crds"):
        entries = (content or {}).get(key)
        for entry in entries if isinstance(entries, list) else []:
            name = entry.get("path") if isinstance(entry, dict) else entry
            if isinstance(name, str) and "\n" not in name and "://" not in name:
                yield _normal(folder, name)


def _normal(folder: str, name: str) -> str:
    parts: list[str] = []
    for part in (*PurePosixPath(folder).parts, *PurePosixPath(name).parts):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."


def _charts(files: Iterable[PurePosixPath]) -> list[str]:
    """Folders of charts; one inside another is a part of it."""
    found: list[str] = []
    for file in files:
        folder = str(file.parent)
        if file.name == "Chart.yaml" and not any(folder.startswith(f"{other}/") for other in found):
            found.append(folder)
    return found


def _is_whole(root: Path, chart: str) -> bool:
    """Without a version, or with 0.0.0, it is a template of a chart; one that is no YAML fails later."""
    meta = _mapping(root, PurePosixPath(chart) / "Chart.yaml")
    return meta is None or meta.get("version") not in (None, "0.0.0")


def _values(root: Path, files: Iterable[PurePosixPath], charts: Iterable[str]) -> dict[str, list[str]]:
    """Each chart with the values files outside of it whose every top key the chart knows."""
    candidates: dict[str, set[str]] = {}
    for file in files:
        if file.suffix in (".yaml", ".yml") and "values" in file.stem and (content := _mapping(root, file)):
            candidates[str(file)] = set(content)
    found = {}
    for chart in charts:
        meta = _mapping(root, PurePosixPath(chart) / "Chart.yaml") or {}
        known = set(_mapping(root, PurePosixPath(chart) / "values.yaml") or {}) | {"global"}
        known |= {str(each.get("alias") or each.get("name")) for each in meta.get("dependencies") or []}
        found[chart] = [
            file for file, keys in candidates.items() if not file.startswith(f"{chart}/") and keys and keys <= known
        ]
    return found


def _has_ray(file: Path) -> bool:
    try:
        return file.stat().st_size <= loader.MAX_BYTES and RAY.search(file.read_bytes()) is not None
    except OSError:
        return False
