"""Overlays of two trees: the checkout as it lies there, and a revision of it unpacked into a temporary folder."""

import contextlib
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import yaml

from rayops import proc
from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj
from rayops.render.sources import Source, load
from rayops.review.changes import identity
from rayops.review.effects import judge
from rayops.review.markdown import Reviewed

# All that a render reads.
FOLDERS = ("apps", "base", "overlays")


def merge_base(revision: str, root: Path = ROOT) -> str:
    """The commit from which the checkout went its own way: what came to `revision` since is nobody's change here."""
    try:
        return proc.run(["git", "-C", root, "merge-base", "--", revision, "HEAD"]).strip()
    except RayopsError as error:
        hint = "name a branch, a tag or a commit; in CI fetch the whole history (fetch-depth: 0)"
        raise RayopsError(f"--base {revision}: Git finds no commit in common with HEAD", hint=hint) from error


@contextlib.contextmanager
def tree(commit: str, root: Path = ROOT) -> Iterator[Path]:
    """The folders that renders read, as they were at a commit, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="rayops-review-") as folder:
        there = proc.run(["git", "-C", root, "ls-tree", "--name-only", commit, "--", *FOLDERS]).split()
        if there:
            archive = Path(folder) / "tree.tar"
            proc.run(["git", "-C", root, "archive", "--format=tar", "-o", archive, commit, "--", *there])
            with tarfile.open(archive) as packed:
                packed.extractall(folder, filter="data")
        yield Path(folder)


def overlays(root: Path) -> list[str]:
    """Every folder below overlays that is built by itself; pipelines come before the environment that sums them up."""
    found = []
    for file in (root / "overlays").rglob("kustomization.yaml"):
        with contextlib.suppress(yaml.YAMLError):
            loaded = yaml.safe_load(file.read_text("utf-8"))
            if isinstance(loaded, dict) and loaded.get("kind", "Kustomization") == "Kustomization":
                found.append(file.parent.relative_to(root).as_posix())
                continue
            if isinstance(loaded, dict):
                continue
        found.append(file.parent.relative_to(root).as_posix())  # no YAML: its render says what is wrong
    return sorted(found, key=lambda name: (name.split("/")[1], -name.count("/"), name))


def review(base: Path, head: Path, chosen: Sequence[str] = ()) -> list[Reviewed]:
    """What changes from one tree to another, overlay by overlay; each object once, in the smallest overlay that has it.

    chosen: folders such as `overlays/prod/rag`, or `overlays/prod` for all below it. RayopsError for an unknown one.
    """
    every = list(dict.fromkeys([*overlays(head), *overlays(base)]))
    names = [name for name in every if not chosen or any(name == one or name.startswith(f"{one}/") for one in chosen)]
    for one in chosen:
        if not any(name == one or name.startswith(f"{one}/") for name in names):
            raise RayopsError(f"--overlay {one}: no overlay there", hint="a folder such as overlays/prod/rag")
    return list(_reviewed(names, _rendered(base, names), _rendered(head, names)))


Rendered = list[Obj] | RayopsError


def _reviewed(names: Sequence[str], was: Iterable[Rendered], now: Iterable[Rendered]) -> Iterator[Reviewed]:
    seen: set[tuple[str, object]] = set()
    for name, before, after in zip(names, was, now, strict=True):
        if isinstance(after, RayopsError):
            yield Reviewed(name, problem=after.message)
            continue
        old = [] if isinstance(before, RayopsError) else before
        environment = name.split("/")[1]
        verdicts = judge(
            [obj for obj in old if (environment, identity(obj)) not in seen],
            [obj for obj in after if (environment, identity(obj)) not in seen],
        )
        seen |= {(environment, identity(obj)) for obj in [*old, *after]}
        yield Reviewed(name, tuple(verdicts))


def _rendered(root: Path, names: Sequence[str]) -> list[Rendered]:
    """The render of each overlay, all in one start; nothing where it is not there."""
    there = [name for name in names if (root / name / "kustomization.yaml").is_file()]
    found = {source.name: source for source in load(root, there)} if there else {}
    return [_objects(found.get(name)) for name in names]


def _objects(source: Source | None) -> Rendered:
    if source is None:
        return []
    if source.problem:
        return RayopsError(f"{source.name}: {source.problem}")
    return [resource.obj for resource in source.resources]
