"""rayops matrix: what every overlay renders, as two tables: deployments, and environments with their drift."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops matrix`."""
    mode = parser.add_mutually_exclusive_group()
    pages = "apps/README.md and overlays/README.md"
    mode.add_argument("--write", action="store_true", help=f"put the tables into {pages}")
    mode.add_argument("--check", action="store_true", help=f"exit 1 when the tables in {pages} are others")


def run(options: argparse.Namespace) -> int:
    """Print the tables, or compare or write the committed ones."""
    from concurrent.futures import ThreadPoolExecutor

    from rayops import environments, matrix
    from rayops.errors import RayopsError
    from rayops.paths import ROOT
    from rayops.render import render

    folders = matrix.overlays()
    with ThreadPoolExecutor(4) as pool:
        rendered = list(zip(folders, pool.map(render, folders), strict=True))
    texts = {
        matrix.PAGE: matrix.table([row for folder, objects in rendered for row in matrix.rows(folder, objects)]),
        environments.PAGE: environments.page_text([environments.place(*each) for each in rendered]),
    }
    if not (options.write or options.check):
        print("\n\n".join(texts.values()))
        return 0
    for file, text in texts.items():
        page = file.read_text("utf-8")
        fresh = matrix.put(text, page, file)
        if options.check and fresh != page:
            name = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
            raise RayopsError(f"the table in {name} is not what the overlays render", hint="rayops matrix --write")
        if options.write:
            file.write_text(fresh, "utf-8")
    return 0
