"""rayops models: the catalogue apps/gateway/models.yaml, checked, and what is written from it."""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayops.models.document import Fault


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`rayops models sync` and `rayops models list`."""
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    sync = what.add_parser("sync", help="check the catalogue, and write routes, models, downloads, lock and table")
    sync.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file is out of date")
    what.add_parser("list", help="the models as a table, and what is not yet pinned")


def run(options: argparse.Namespace) -> int:
    """One line for each fault of the catalogue, on stderr, and exit code 1; nothing is written then."""
    from rayops.models.generate import table
    from rayops.models.sync import plan
    from rayops.paths import ROOT

    made = plan(ROOT)
    if made.faults or made.catalogue is None:
        return _refuse(made.faults)
    if options.what == "list":
        print(table(made.catalogue))
    elif options.check:
        if stale := made.stale():
            return _refuse(stale)
    else:
        for path in made.write():
            print(f"~ {path.relative_to(ROOT)}")
    for note in made.notes:
        print(f"note: {note}")
    return 0


def _refuse(faults: "list[Fault]") -> int:
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1
