"""The Kustomize files that a source was made from, as rules want to see them."""

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from rayops.lint import guard
from rayops.lint.context import Context

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


@dataclass(frozen=True)
class Patch:
    """One patch. file: where it stands; kind: what it is for; content: a list is JSON 6902, a mapping a merge patch."""

    root: Path
    file: str
    place: tuple[str | int, ...]
    kind: str
    content: Any

    @property
    def line(self) -> int:
        """The line in its file. Costs a look into it: only where something is found."""
        return line_of(self.root, self.file, self.place)


@dataclass(frozen=True)
class Kustomization:
    """One kustomization file. file: relative to root."""

    root: Path
    file: str

    @property
    def folder(self) -> str:
        """Its folder, relative to the root; "." for the root itself."""
        return posixpath.dirname(self.file) or "."

    @cached_property
    def obj(self) -> dict[str, Any]:
        """Its content; {} where it is no mapping."""
        found = read(self.root, self.file)
        return found if isinstance(found, dict) else {}

    def items(self, key: str) -> list[Any]:
        """One of its lists; [] where it is none."""
        found = self.obj.get(key)
        return found if isinstance(found, list) else []

    def below(self, path: Any) -> str:
        """A path in it, relative to the root."""
        return posixpath.normpath(posixpath.join(self.folder, str(path)))

    def line(self, *path: str | int) -> int:
        """The line of a field of it; 1 where it is not there."""
        return line_of(self.root, self.file, path)

    @cached_property
    def patches(self) -> list[Patch]:
        """Its patches."""
        return list(self._patches())

    def _patches(self) -> Iterator[Patch]:
        for position, given in enumerate(self.items("patches")):
            if isinstance(given, dict):
                target = given.get("target")
                kind = str(target.get("kind", "")) if isinstance(target, dict) else ""
                yield from self._patch(given.get("path"), given.get("patch"), kind, ("patches", position))
        for position, given in enumerate(self.items("patchesStrategicMerge")):
            inline = isinstance(given, str) and "\n" in given
            place = ("patchesStrategicMerge", position)
            yield from self._patch(None if inline else given, given if inline else None, "", place)
        for position, given in enumerate(self.items("patchesJson6902")):
            if isinstance(given, dict) and isinstance(given.get("target"), dict):
                kind = str(given["target"].get("kind", ""))
                yield from self._patch(given.get("path"), given.get("patch"), kind, ("patchesJson6902", position))

    def _patch(self, path: Any, inline: Any, kind: str, place: tuple[str | int, ...]) -> Iterator[Patch]:
        file, where = (self.below(path), ()) if path else (self.file, place)
        for document in documents(self.root, file) if path else _loaded(str(inline or "")):
            own = str(document.get("kind", "")) if isinstance(document, dict) else ""
            yield Patch(self.root, file, where, kind or own, document)

    @cached_property
    def replacements(self) -> list[dict[str, Any]]:
        """Its replacements, those in files of their own included."""
        return list(self._replacements())

    def _replacements(self) -> Iterator[dict[str, Any]]:
        for given in self.items("replacements"):
            if isinstance(given, dict) and "path" in given:
                for document in documents(self.root, self.below(given["path"])):
                    yield from (each for each in (document if isinstance(document, list) else [document]) if each)
            elif isinstance(given, dict):
                yield given


def kustomizations(context: Context) -> dict[str, Kustomization]:
    """All kustomizations of a source by folder."""
    files = [file for file in sorted(context.files) if posixpath.basename(file) in NAMES]
    found = [context.shared.setdefault(("kustomization", file), Kustomization(context.root, file)) for file in files]
    return {each.folder: each for each in found}


def read(root: Path, file: str) -> Any:
    """The first document of a file; None where it has none, or is no YAML."""
    return next(iter(documents(root, file)), None)


def documents(root: Path, file: str) -> list[Any]:
    """The documents of a file; [] where it cannot be read, or is no YAML."""
    path = root / file
    try:
        stat = path.stat()
        return _documents(path, stat.st_mtime_ns, stat.st_size)
    except OSError:
        return []


@lru_cache(maxsize=4096)
def _documents(path: Path, _changed: int, _size: int) -> list[Any]:
    """Overlays share their bases: each file is read once in a process."""
    try:
        return _loaded(path.read_text())
    except (OSError, UnicodeDecodeError):
        return []


def _loaded(text: str) -> list[Any]:
    try:
        return [each for each in guard.load_all(text) if each is not None]
    except ValueError:
        return []


def line_of(root: Path, file: str, path: tuple[str | int, ...]) -> int:
    """The line of a field of a file's first document; of the nearest above it where it is not there."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node: Any = next(iter(yaml.compose_all((root / file).read_text(), Loader=loader)), None)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return 1
    line = 1
    for part in path:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(((key, value) for key, value in node.value if key.value == part), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = (node.value[part], node.value[part])
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line
