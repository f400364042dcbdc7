"""What is compared: a revision of Git, a folder, a rendered file, the checkout as it lies there."""

import contextlib
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rayops import proc
from rayops.errors import RayopsError
from rayops.render.discover import KUSTOMIZATIONS
from rayops.render.sources import Source, load, load_file


@dataclass(frozen=True)
class Side:
    """One side of a comparison. name: for people; root: where its files lie; sources: all that it renders."""

    name: str
    root: Path
    sources: tuple[Source, ...]


@contextlib.contextmanager
def side(given: str, checkout: Path) -> Iterator[Side]:
    """A file, a folder, else a revision of the checkout; "" is the checkout as it lies there.

    RayopsError where it is none of them.
    """
    path = Path(given)
    if not given:
        yield Side("the checkout", checkout, tuple(load(checkout)))
    elif path.is_file():
        yield Side(given, path.parent, (load_file(path),))
    elif path.is_dir():
        yield Side(given, path, tuple(load(path)))
    else:
        with revision(given, checkout) as root:
            yield Side(given, root, tuple(load(root)))


def merge_base(name: str, checkout: Path) -> str:
    """The commit from which the checkout went its own way: what came to `name` since is nobody's change here."""
    _repository(checkout)
    try:
        return proc.run(["git", "-C", checkout, "merge-base", "--", name, "HEAD"]).strip()
    except RayopsError as error:
        hint = "name a branch, a tag or a commit; in CI fetch the whole history (fetch-depth: 0)"
        raise RayopsError(f"--base {name}: Git finds no commit in common with HEAD", hint=hint) from error


def _repository(checkout: Path) -> None:
    """RayopsError where there is no Git, or the folder belongs to none of its repositories."""
    if proc.find("git") is None:
        raise RayopsError("git is not here", hint="install it, or compare two folders or files: --from DIR --to DIR")
    try:
        proc.run(["git", "-C", checkout, "rev-parse", "--git-dir"])
    except RayopsError as error:
        hint = "compare two folders or files: --from DIR --to DIR"
        raise RayopsError(f"{checkout} is in no Git repository", hint=hint) from error


@contextlib.contextmanager
def revision(name: str, checkout: Path) -> Iterator[Path]:
    """The tracked files as they were at a commit, for as long as the context lasts."""
    try:
        commit = proc.run(["git", "-C", checkout, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}"])
    except RayopsError as error:
        hint = "a branch, tag or commit of this repository, a folder, or a file of rendered objects"
        raise RayopsError(f"{name}: no such revision, folder or file", hint=hint) from error
    with tempfile.TemporaryDirectory(prefix="rayops-review-") as folder:
        archive, tree = Path(folder) / "tree.tar", Path(folder) / "tree"
        proc.run(["git", "-C", checkout, "archive", "--format=tar", "-o", archive, commit.strip()])
        with tarfile.open(archive) as packed:
            packed.extractall(tree, filter="data")
        yield tree


def completed(this: Side, other: Side) -> Side:
    """A side with what only the other one builds by itself, as far as it is there: here it may be a part of more."""
    names = {source.name for source in this.sources}
    more = [
        source.name
        for source in other.sources
        if source.kind == "kustomize" and source.name not in names and _is_built(this.root / source.name)
    ]
    return replace(this, sources=(*this.sources, *load(this.root, more))) if more else this


def _is_built(folder: Path) -> bool:
    return any((folder / name).is_file() for name in KUSTOMIZATIONS)


def narrowed(before: Side, after: Side, *, environments: Sequence[str], chosen: Sequence[str]) -> tuple[Side, Side]:
    """Both sides with only what was asked for. RayopsError where nothing of either is that."""
    wanted = [one.strip("/").removeprefix("./") for one in chosen]

    def takes(source: Source) -> bool:
        here = not wanted or any(source.name == one or source.name.startswith(f"{one}/") for one in wanted)
        return here and (not environments or environment_of(source.name) in environments)

    sides = [replace(side, sources=tuple(filter(takes, side.sources))) for side in (before, after)]
    every = {source.name for side in (before, after) for source in side.sources}
    for name in environments:
        if name not in {environment_of(each) for each in every}:
            there = ", ".join(sorted({environment_of(each) for each in every} - {""}))
            raise RayopsError(f"--env {name}: no such environment", hint=f"there are: {there}")
    for one in wanted:
        if not any(each == one or each.startswith(f"{one}/") for each in every):
            raise RayopsError(f"--overlay {one}: nothing is built there", hint="a folder such as overlays/prod/rag")
    return sides[0], sides[1]


def environment_of(source: str) -> str:
    """The environment that a source belongs to, by its folder: the name after `overlays`, `environments`, `envs` or
    `clusters`; else its first folder; "" of a file at the root."""
    parts = source.partition(" ")[2].strip("()").split("/") if " (" in source else source.split("/")
    for key in ("overlays", "environments", "envs", "clusters"):
        if key in parts[:-1]:
            return parts[parts.index(key) + 1]
    return parts[0] if len(parts) > 1 else ""
