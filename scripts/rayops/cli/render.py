"""rayops render: everything that is built from a repository, with the line where each object is written."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rayops.render.sources import Source


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops render`."""
    parser.add_argument("paths", nargs="*", metavar="PATH", help="folders and files below the root; default: all found")
    parser.add_argument("--root", default=".", metavar="DIR", help="the repository (default: this folder)")
    parser.add_argument("--format", choices=("text", "json", "yaml"), default="text")
    chain = (
        "with json: what generated and transformed each object, as kustomize's buildMetadata says; several times slower"
    )
    parser.add_argument("--chain", action="store_true", help=chain)


def run(options: argparse.Namespace) -> int:
    """Print what was rendered. Exit code 1, and a line for each, when something does not render."""
    from pathlib import Path

    from rayops.errors import RayopsError
    from rayops.render import sources

    root = Path(options.root)
    if not root.is_dir():
        raise RayopsError(f"--root {options.root}: no folder there")
    found = sources.load(root, [_below(root, path) for path in options.paths])
    chains = sources.chains(root, found) if options.chain and options.format == "json" else {}
    lines = {"text": _text, "json": lambda found: _json(found, chains), "yaml": _yaml}[options.format](found)
    for line in lines:
        print(line)
    sys.stdout.flush()
    for source in found:
        if source.problem:
            print(f"rayops: {_plain(_problem(source))}", file=sys.stderr)
    return int(any(source.problem for source in found))


def _below(root: Any, path: str) -> str:
    """A path relative to the root; as it is where it is not below."""
    from pathlib import Path

    given = Path(path)
    if given.is_absolute() and given.resolve().is_relative_to(root.resolve()):
        return given.resolve().relative_to(root.resolve()).as_posix()
    return path


def _problem(source: "Source") -> str:
    told = source.problem.startswith(source.name.split(" ")[0])
    return source.problem if told else f"{source.name}: {source.problem}"


def _text(found: Sequence["Source"]) -> Iterator[str]:
    from rayops.render.objects import name_of

    for source in found:
        count = f"{len(source.resources)} object{'' if len(source.resources) == 1 else 's'}"
        yield _plain(f"{source.name}  {source.kind}, {'does not render' if source.problem else count}")
        names = [name_of(resource.obj) for resource in source.resources]
        width = min(max(map(len, names), default=0), 60)
        for name, resource in zip(names, source.resources, strict=True):
            yield _plain(f"  {name:<{width}}  {resource.place or ''}").rstrip()


def _json(found: Sequence["Source"], chains: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    for opening, source in zip(["["] + [","] * len(found), found, strict=False):
        resources = [{"object": each.obj, "place": str(each.place or "")} for each in source.resources]
        for resource, chain in zip(resources, chains.get(source.name, []), strict=False):
            resource.update(chain)
        told = {"name": source.name, "kind": source.kind, "problem": source.problem, "files": sorted(source.files)}
        yield opening + json.dumps({**told, "resources": resources})
    yield "]" if found else "[]"


def _yaml(found: Sequence["Source"]) -> Iterator[str]:
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    for source in found:
        for resource in source.resources:
            yield f"---\n# {_plain(source.name)}: {_plain(str(resource.place or ''))}"
            yield yaml.dump(resource.obj, Dumper=dumper, sort_keys=False, allow_unicode=True).rstrip("\n")


def _plain(text: str) -> str:
    """One line without control characters, whatever a file or its name has in it."""
    return "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split(" ")))
