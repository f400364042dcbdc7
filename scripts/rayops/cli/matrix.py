"""rayops matrix: what every overlay renders, as one table."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops matrix`."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--write", action="store_true", help="put the table into apps/README.md")
    mode.add_argument("--check", action="store_true", help="exit 1 when the table in apps/README.md is another")


def run(options: argparse.Namespace) -> int:
    """Print the table, or compare or write the committed one."""
    from rayops import matrix
    from rayops.errors import RayopsError

    text = matrix.table([row for overlay in matrix.overlays() for row in matrix.rows(overlay)])
    if not (options.write or options.check):
        print(text)
        return 0
    page = matrix.PAGE.read_text("utf-8")
    fresh = matrix.put(text, page)
    if options.check and fresh != page:
        raise RayopsError("the table in apps/README.md is not what the overlays render", hint="rayops matrix --write")
    if options.write:
        matrix.PAGE.write_text(fresh, "utf-8")
    return 0
