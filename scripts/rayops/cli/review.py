"""rayops review: what a change of the overlays will do, before it is merged."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops review`."""
    parser.add_argument(
        "--base",
        default="HEAD",
        metavar="REV",
        help="compare with where HEAD left REV (default: HEAD, uncommitted work)",
    )
    what = "only this overlay, or all below a folder; may be given again"
    parser.add_argument("--overlay", action="append", default=[], metavar="PATH", help=what)


def run(options: argparse.Namespace) -> int:
    """Print Markdown for a pull request. Exit code 1 when an overlay does not render."""
    from rayops.paths import ROOT
    from rayops.review import markdown, revisions

    chosen = [path.strip("/").removeprefix("./") for path in options.overlay]
    with revisions.tree(revisions.merge_base(options.base)) as base:
        found = revisions.review(base, ROOT, chosen)
    print(markdown.report(found, options.base), end="")
    return int(any(each.problem for each in found))
