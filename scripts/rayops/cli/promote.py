"""rayops promote: what runs well in one environment goes into the files of the next. It edits files, no more."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from rayops.promote.live import Live


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops promote`."""
    parser.add_argument("--from", dest="source", required=True, metavar="ENV", help="where it runs, and is healthy")
    parser.add_argument("--to", dest="target", required=True, metavar="ENV", help="whose files are changed")
    parser.add_argument("--pipeline", action="append", default=[], metavar="NAME", help="only this one; again for more")
    parser.add_argument(
        "--platform", action="store_true", help="not pipelines: Redis' digest, the operator's chart and CRDs"
    )
    what = "[IMAGE=]sha256:… of a source that runs tags, for what no pod of it runs; again for more"
    parser.add_argument("--digest", action="append", default=[], metavar="DIGEST", help=what)
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="of the source's cluster, which is only read")
    parser.add_argument("--context", metavar="NAME", help="of the kubeconfig (default: its current one)")
    what = "instead of a cluster: what `kubectl get rayservices,rayjobs,pods -A -o json` wrote"
    parser.add_argument("--status", type=Path, metavar="FILE", help=what)
    parser.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
    parser.add_argument("--allow-dirty", action="store_true", help="also files with changes that are not committed")
    parser.add_argument("--i-know", action="store_true", help="step over an environment of the way")


def run(options: argparse.Namespace) -> int:
    """Print the edits and what they will do, and make them. Exit code 0 also when there is nothing to do."""
    from rayops.paths import ROOT
    from rayops.promote.run import Asked, Promotion

    asked = Asked(
        options.source,
        options.target,
        options.pipeline,
        options.platform,
        options.digest,
        _look(options),
        allow_dirty=options.allow_dirty,
        dry_run=options.dry_run,
        i_know=options.i_know,
    )
    promotion = Promotion(ROOT, asked)
    promotion.prepare()
    if promotion.left_out:
        print(f"left out, jobs and what was never promoted to {options.source}: {', '.join(promotion.left_out)}")
    if not promotion.edits:
        print(f"nothing to do: {options.target} has what {options.source} has")
        return 0
    for each in promotion.edits:
        print(f"- {each}")
    print(f"\n{promotion.page}", end="")
    promotion.write()
    return 0


def _look(options: argparse.Namespace) -> "Callable[[], Live] | None":
    """How the source is read: nothing is opened before it is needed."""
    from rayops.errors import RayopsError
    from rayops.promote import live

    if options.status and (options.kubeconfig or options.context):
        raise RayopsError("--status and a cluster exclude each other", hint="give one of them")
    if options.status:
        return lambda: live.from_file(options.status)
    if not (options.kubeconfig or options.context):
        return None
    default = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return lambda: live.from_cluster(options.kubeconfig or Path(default), options.context)
