"""What a path of the command line renders to."""

import itertools
import sys
from pathlib import Path

from rayops.errors import RayopsError
from rayops.render.objects import Obj


def read(path: str) -> list[Obj]:
    """The objects of an overlay, a chart, a folder of them, a rendered file, or of stdin (`-`).

    Raises RayopsError where there is nothing, or where something does not render.
    """
    if path == "-":
        from rayops.render import loader

        return loader.load_all(sys.stdin.read(), "stdin")
    from rayops.render import sources

    target = Path(path).resolve()
    if not target.exists():
        raise RayopsError(f"{path}: no such file or folder")
    root = repository(target)
    found = [sources.load_file(target)] if target.is_file() else sources.load(root, [str(target.relative_to(root))])
    for source in found:
        if source.problem:
            raise RayopsError(f"{source.name}: {source.problem}")
    return [resource.obj for source in found for resource in source.resources]


def repository(target: Path) -> Path:
    """The folder with .git that a file or folder lies in; where there is none, the folder itself."""
    folder = target if target.is_dir() else target.parent
    return next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)


def environment_of(path: str) -> str | None:
    """The environment that a path names: overlays/ENV/…; None for another layout."""
    parts = Path(path).resolve().parts if path != "-" else ()
    for here, below in itertools.pairwise(parts):
        if here == "overlays":
            return below
    return None
