"""rayops pods: the pods that KubeRay would create, as nobody sees them before they run."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayops.kuberay import Answer
    from rayops.render import Obj

FORMATS = ("text", "yaml", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops pods`."""
    what = "an overlay or chart, a folder of them, a rendered file, or - for stdin; left out: the current folder"
    parser.add_argument("paths", nargs="*", metavar="PATH", help=what)
    parser.add_argument(
        "--env", metavar="NAME", help="the operator as overlays/NAME installs it (default: by the path)"
    )
    parser.add_argument("--format", choices=FORMATS, default="text", help="yaml goes into a scanner (default: text)")


def run(options: argparse.Namespace) -> int:
    """Print the pods of every RayService, RayCluster and RayJob. Exit code 1 where one of them gets none."""
    import sys

    from rayops.errors import RayopsError
    from rayops.kuberay import show

    found = [each for path in options.paths or ["."] for each in ask(path, options.env)]
    if not found:
        raise RayopsError(f"{' '.join(options.paths) or '.'}: no RayService, RayCluster or RayJob there")
    print(show.FORMATS[options.format](found), end="")
    sys.stdout.flush()
    complaints = [line for obj, answer in found for line in show.complaints(obj, answer)]
    print("".join(f"rayops: {line}\n" for line in complaints), end="", file=sys.stderr)
    return int(bool(complaints))


def ask(path: str, env: str | None) -> "list[tuple[Obj, Answer]]":
    """KubeRay's answers for what a path renders, with the operator of its environment."""
    from rayops import kuberay
    from rayops.kuberay.manifests import environment_of, read, repository

    objects = [obj for obj in read(path) if kuberay.is_ray(obj)]
    root = repository(Path.cwd() if path == "-" else Path(path).resolve())
    operator = kuberay.operator_of(env or environment_of(path), root, strict=bool(env))
    return list(zip(objects, kuberay.ask(objects, operator=operator), strict=True))
