"""rayops lint: what is wrong with Ray's kinds in a repository, before the merge."""

import argparse
from pathlib import Path

FORMATS = ("text", "json", "sarif", "github")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops lint`."""
    what = "overlays, charts, manifests or rendered files; left out: everything below the root"
    parser.add_argument("paths", nargs="*", metavar="PATH", help=what)
    parser.add_argument("--root", metavar="DIR", help="the repository (default: the one around the current folder)")
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--config", metavar="FILE", help="exceptions and policy (default: .rayops.yaml at the root)")
    parser.add_argument("--rules", action="store_true", help="list the rules and look at nothing")


def run(options: argparse.Namespace) -> int:
    """Print what is found. Exit code 1 when something remains that the policy calls a failure."""
    from rayops.errors import RayopsError
    from rayops.lint import engine, report
    from rayops.lint.config import NAME, read
    from rayops.lint.rules import all_rules

    if options.rules:
        rows = [f"{rule.id:32} {rule.family:10} {rule.severity:8} {rule.summary}" for rule in all_rules().values()]
        print("\n".join(rows))
        return 0
    root = Path(options.root).resolve() if options.root else repository(Path.cwd())
    if not root.is_dir():
        raise RayopsError(f"{options.root}: no such folder")
    if options.config and not Path(options.config).is_file():
        raise RayopsError(f"{options.config}: no such file")
    config = read(Path(options.config), options.config) if options.config else read(root / NAME)
    found = engine.lint(sources(root, options.paths), root, config, whole=not options.paths, keep=True)
    print(report.FORMATS[options.format](found), end="")
    return int(found.failed)


def repository(folder: Path) -> Path:
    """The nearest folder at or above with .git or .rayops.yaml; the folder itself where there is none."""
    for each in (folder, *folder.parents):
        if (each / ".git").exists() or (each / ".rayops.yaml").exists():
            return each
    return folder


def sources(root: Path, paths: list[str]) -> list["Source"]:  # type: ignore[name-defined]  # noqa: F821
    """What the paths name, rendered. RayopsError where one is not there."""
    from rayops.errors import RayopsError
    from rayops.render.sources import load, load_file

    inside, outside = [], []
    for path in paths:
        given = next((each for each in (Path(path), root / path) if each.exists()), None)
        if given is None:
            raise RayopsError(f"{path}: no such file or folder")
        full = given.resolve()
        if full.is_relative_to(root):
            inside.append(full.relative_to(root).as_posix())
        elif full.is_file():
            outside.append(full)
        else:
            raise RayopsError(f"{path} is not below {root}", hint=f"rayops lint --root {path}")
    return [*(load(root, inside) if inside or not outside else []), *(load_file(each) for each in outside)]
