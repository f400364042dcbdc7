"""Everything a repository renders, each field with the line that wrote it: Kustomize folders, charts, plain manifests.

for source in load(Path(".")):
    for resource in source.resources:
        print(source.name, resource.place, resource.place_of(("spec", "rayClusterConfig", "rayVersion")))

All folders are built by one start of one program (rayops.render.renderer), and only those whose files have changed
since (rayops.render.store). Works on any repository; nothing here knows the layout of this one.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from rayops.errors import RayopsError
from rayops.render import discover, loader, renderer
from rayops.render.kustomize import cause
from rayops.render.objects import Obj
from rayops.render.places import Lines, Marked, Place
from rayops.render.store import Store

__all__ = ["Place", "Resource", "Source", "chains", "load", "load_file"]

Path_ = Sequence[str]
Locate = Callable[[Path_], Place | None]


class Resource:
    """One object. `place_of` costs a second build of its folder when it is first asked for, then nothing."""

    def __init__(self, obj: Obj, place: Place | None = None, locate: Locate | None = None) -> None:
        self.obj = obj
        self._place = place
        self._locate = locate

    @property
    def place(self) -> Place | None:
        """Where the object is written; None where nobody knows."""
        return self._place or (self._locate(()) if self._locate else None)

    def place_of(self, path: Path_) -> Place | None:
        """Where a field is written: the last patch, line of an env file, or source file that sets it.

        path: keys, items of lists as `[name]` or `[0]`, as in rayops.review.changes.Change.path; below serveConfigV2 it
        goes on in the Serve config. Of a field that is not there: the nearest one around it. Where it cannot be told:
        the object's place.
        """
        return (self._locate(path) if path and self._locate else None) or self.place

    def __repr__(self) -> str:
        return f"Resource({self.obj.get('kind')}, {(self.obj.get('metadata') or {}).get('name')})"


@dataclass(frozen=True)
class Source:
    """One thing that was rendered. name: a folder, a chart (with its values file), a file; relative to the root.

    kind: kustomize, helm, manifest. problem: one line, "" where it rendered. files: all that was read for it, relative
    to the root.
    """

    name: str
    kind: str
    resources: tuple[Resource, ...] = ()
    problem: str = ""
    files: frozenset[str] = field(default=frozenset())


def load(root: Path, targets: Sequence[str] = ()) -> list[Source]:
    """Render what the targets name, in their order; without targets all that discovery finds, sorted by name.

    targets: folders with a kustomization or chart, files of YAML or JSON; of another folder, all that is found below
    it. Paths relative to the root. What does not render is a Source with a problem. RayopsError for a target that is
    not there.
    """
    root = root.resolve()
    found = discover.Found()
    if not targets:
        found = discover.find(root)
    for target in targets:
        _add(root, target, found)
    sources = [*_kustomize(root, found.kustomize), *_helm(root, found.helm), *_manifests(root, found.manifest)]
    if not targets:
        return sorted(sources, key=lambda source: source.name)
    order = {name: number for number, name in enumerate(map(_relative, targets))}
    return sorted(sources, key=lambda source: (order.get(source.name, len(order)), source.name))


def load_file(path: Path) -> Source:
    """A file that was rendered before: any number of YAML documents, or JSON; RayopsError is its problem."""
    return _manifest(path.parent, path.name, str(path))


def chains(root: Path, sources: Sequence[Source]) -> dict[str, list[dict[str, Any]]]:
    """What kustomize's buildMetadata says of each Kustomize source that rendered, of each object in order.

    {"origin": "base/x.yaml:3", "chain": ["PatchTransformer base/kustomization.yaml", …]}. Every transformer is noted
    at every object that it was given, changed or not. Builds all folders again, several times slower than without.
    """
    names = [source.name for source in sources if source.kind == "kustomize" and not source.problem]
    answers = renderer.ask(root.resolve(), names, "chain") if names else {}
    return {
        name: [
            {"origin": f"{origin['file']}:{origin['line']}" if origin["file"] else "", "chain": origin["chain"]}
            for origin in answers[name].get("origins") or []
        ]
        for name in names
    }


def _relative(target: str) -> str:
    return str(PurePosixPath(target))


def _add(root: Path, target: str, found: discover.Found) -> None:
    name = _relative(target)
    path = root / name
    if path.is_file():
        found.manifest.append(name)
    elif any((path / file).is_file() for file in discover.KUSTOMIZATIONS):
        found.kustomize.append(name)
    elif (path / "Chart.yaml").is_file():
        found.helm[name] = discover.find(root).helm.get(name, [])
    elif path.is_dir():
        below = discover.find(root, "" if name == "." else name)
        if not (below.kustomize or below.helm or below.manifest):
            raise RayopsError(f"{target}: no kustomization, chart or manifest of Ray there")
        found.kustomize.extend(below.kustomize)
        found.helm.update(below.helm)
        found.manifest.extend(below.manifest)
    else:
        raise RayopsError(f"{target}: no such file or folder below {root}")


# Kustomize


class _Marks:
    """The marked builds of one load: the folder that is asked for, and ahead the next ones, each time many more."""

    def __init__(self, root: Path, store: Store) -> None:
        self._root, self._store = root, store
        self._waiting: dict[str, tuple[str, list[Obj], list[str]]] = {}
        self._done: dict[str, Marked] = {}
        self._ahead = 1

    def add(self, name: str, key: str, objects: list[Obj], files: list[str]) -> None:
        """A folder that rendered."""
        self._waiting[name] = (key, objects, files)

    def of(self, name: str) -> Marked:
        """What the marked build of a folder said."""
        if name not in self._done:
            names = list(self._waiting)
            following = [each for each in names[names.index(name) :] if each not in self._done]
            self._ask(following[: self._ahead])
            self._ahead *= 8
        return self._done[name]

    def _ask(self, names: Sequence[str]) -> None:
        asked = []
        for name in names:
            known = self._store.beside(self._waiting[name][0], "marks")
            if not self._keep(name, known):
                asked.append(name)
        if not asked:
            return
        keep = {name: sorted(_names(self._waiting[name][1])) for name in asked}
        files = {name: self._waiting[name][2] for name in asked}
        answers = renderer.ask(self._root, asked, "mark", keep=keep, files=files)
        for name in asked:
            answer = {part: answers[name].get(part) or [] for part in ("objects", "marks", "settings")}
            self._store.keep(self._waiting[name][0], "marks", answer)
            self._keep(name, answer)

    def _keep(self, name: str, answer: Any) -> bool:
        found = answer if isinstance(answer, dict) else {}
        parts: list[Any] = [found.get(part) for part in ("objects", "marks", "settings")]
        if not all(isinstance(part, list) and all(isinstance(each, dict) for each in part) for part in parts):
            return False
        self._done[name] = Marked(*parts)
        return True


def _names(objects: Iterable[Obj]) -> set[str]:
    """Words that objects are found by: a mark in them would change what is built."""
    metas = [obj.get("metadata") or {} for obj in objects]
    return {str(meta[part]) for meta in metas for part in ("name", "namespace") if meta.get(part)}


def _kustomize(root: Path, folders: Sequence[str]) -> list[Source]:
    folders = list(dict.fromkeys(folders))
    if not folders:
        return []
    store = Store(root, _identity(renderer.program()))
    marks = _Marks(root, store)
    hits = {folder: hit for folder in folders if (hit := store.get(folder)) and _is_result(hit[1])}
    missing = [folder for folder in folders if folder not in hits]
    answers = renderer.ask(root, missing, "render") if missing else {}
    sources = []
    for folder in folders:
        if folder in hits:
            key, result = hits[folder]
        else:
            answer = answers[folder]
            result = {"objects": answer["objects"], "files": answer["files"], "places": answer.get("places") or []}
            if answer.get("error"):
                files = frozenset(result["files"])
                sources.append(Source(folder, "kustomize", (), cause(answer["error"]), files))
                continue
            key = store.put(folder, answer["files"], answer["absent"], result)
        marks.add(folder, key, result["objects"], result["files"])
        sources.append(_rendered(folder, result, marks))
    store.save()
    return sources


def _rendered(folder: str, result: dict[str, Any], marks: _Marks) -> Source:
    def locator(index: int, obj: Obj) -> Locate:
        return lambda path: marks.of(folder).locate(index, obj, path)

    pairs = enumerate(zip(result["objects"], result["places"], strict=True))
    resources = tuple(Resource(obj, _known(place), locator(index, obj)) for index, (obj, place) in pairs)
    return Source(folder, "kustomize", resources, "", frozenset(result["files"]))


def _known(place: list[Any]) -> Place | None:
    return Place(place[0], place[1]) if place[0] else None


def _is_result(result: Any) -> bool:
    """Whether what the store has is a whole result."""
    parts = [result.get(part) if isinstance(result, dict) else None for part in ("objects", "files", "places")]
    if not all(isinstance(part, list) for part in parts):
        return False
    objects, files, places = (list(part or []) for part in parts)
    return (
        all(isinstance(obj, dict) for obj in objects)
        and all(isinstance(file, str) for file in files)
        and len(places) == len(objects)
        and all(_is_place(place) for place in places)
    )


def _is_place(place: Any) -> bool:
    return isinstance(place, list) and list(map(type, place)) == [str, int]


def _identity(program: Path) -> str:
    """What a result depends on besides its files: the program, byte for byte."""
    stat = program.stat()
    memo = Store(program.parent, "programs")
    digest = memo.digest(program.name)
    memo.save()
    return hashlib.sha256(f"{digest} {stat.st_size} 1".encode()).hexdigest()[:16]


# Helm


def _helm(root: Path, charts: dict[str, list[str]]) -> list[Source]:
    if not charts:
        return []
    from rayops.cluster import tools

    program = tools.path("helm")
    store = Store(root, _identity(program))

    def one(chart: str, file: str) -> Source:
        name = f"{chart} ({file})" if file else chart
        return _chart(root, store, program, name, chart, file)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each waits for a process
        waiting = [pool.submit(one, chart, file) for chart, values in charts.items() for file in values or [""]]
        sources = [each.result() for each in waiting]
    store.save()
    return sources


def _chart(root: Path, store: Store, program: Path, name: str, chart: str, values: str) -> Source:
    from rayops.render import charts as helm

    files = helm.files(root, chart, values)
    # A file that came to the chart is not among those of the last render: their list is part of the name.
    known = f"{name} {hashlib.sha256(repr(files).encode()).hexdigest()}"
    hit = store.get(known)
    if hit is not None and _is_result(hit[1]):
        result = hit[1]
    else:
        try:
            objects, places = helm.render(root, chart, values, program)
        except RayopsError as error:
            problem = error.message + (f" → {error.hint}" if error.hint else "")
            return Source(name, "helm", (), problem, frozenset(files))
        result = {"objects": objects, "files": files, "places": [[place.file, place.line] for place in places]}
        store.put(known, files, [], result)
    pairs = zip(result["objects"], result["places"], strict=True)
    resources = tuple(Resource(obj, _known(place)) for obj, place in pairs)
    return Source(name, "helm", resources, "", frozenset(files))


# Manifests


def _manifests(root: Path, files: Sequence[str]) -> list[Source]:
    return [_manifest(root, file, file) for file in dict.fromkeys(files)]


def _manifest(root: Path, file: str, name: str) -> Source:
    try:
        objects = loader.load_file(root / file, name)
    except RayopsError as error:
        return Source(name, "manifest", (), error.message, frozenset({name}))
    lines: list[Lines] = []

    def locator(index: int) -> Locate:
        def locate(path: Path_) -> Place:
            if not lines:
                lines.append(Lines((root / file).read_text("utf-8-sig"), name))
            return lines[0].locate(index, path)

        return locate

    resources = tuple(Resource(obj, None, locator(index)) for index, obj in enumerate(objects))
    return Source(name, "manifest", resources, "", frozenset({name}))
