"""rayops review: what a change will do to running traffic, before it is merged."""

import argparse

FORMATS = ("text", "markdown", "json", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops review`."""
    given = "a revision of Git, a folder of a repository, or a file of rendered objects"
    parser.add_argument("--from", dest="before", metavar="REV|DIR|FILE", help=f"before: {given}")
    parser.add_argument("--to", dest="after", default="", metavar="REV|DIR|FILE", help="after (default: the checkout)")
    base = "before: where HEAD left REV (default: HEAD, so what is not committed is reviewed)"
    parser.add_argument("--base", default="HEAD", metavar="REV", help=base)
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME", help="only this environment; may be repeated"
    )
    what = "only this source, or all below a folder; may be repeated"
    parser.add_argument("--overlay", action="append", default=[], metavar="PATH", help=what)
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    parser.add_argument("--output", metavar="FILE", help="write there instead of to the terminal")
    fails = "exit 1 for this verdict (rejected, new-cluster, …), budget, quota, render or lint; may be repeated"
    parser.add_argument("--fail-on", action="append", default=[], metavar="WHAT", help=fails)


def run(options: argparse.Namespace) -> int:
    """Print the review. Exit code 1 where the policy says so (.rayops.yaml, or --fail-on)."""
    from pathlib import Path

    from rayops.paths import ROOT
    from rayops.review import policy
    from rayops.review.compare import compare
    from rayops.review.inputs import merge_base, narrowed, side
    from rayops.review.report import FORMATS as REPORTS

    before = options.before or merge_base(options.base, ROOT)
    with side(before, ROOT) as old, side(options.after, ROOT) as new:
        old, new = narrowed(old, new, environments=options.env, chosen=options.overlay)
        review = policy.judged(compare(old, new), policy.read(new.root, options.fail_on))
    text = REPORTS[options.format](review)
    if options.output:
        Path(options.output).write_text(text, "utf-8")
    else:
        print(text, end="")
    return int(bool(review.fails))
