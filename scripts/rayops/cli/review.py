"""rayops review: what a change will do to running traffic, before it is merged."""

import argparse

FORMATS = ("text", "markdown", "json", "html")
SUFFIXES = {".txt": "text", ".md": "markdown", ".json": "json", ".html": "html"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops review`."""
    given = "a revision of Git, a folder of a repository, or a file of rendered objects"
    parser.add_argument("--from", dest="before", metavar="REV|DIR|FILE", help=f"before: {given}")
    parser.add_argument("--to", dest="after", default="", metavar="REV|DIR|FILE", help="after (default: the checkout)")
    base = "before: where HEAD left REV (default: HEAD, so what is not committed is reviewed)"
    parser.add_argument("--base", default="HEAD", metavar="REV", help=base)
    parser.add_argument("--root", metavar="DIR", help="the repository (default: the one around the current folder)")
    parser.add_argument("--env", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    what = "only this source, or all below a folder; may be repeated"
    parser.add_argument("--overlay", action="append", default=[], metavar="PATH", help=what)
    parser.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    output = f"write there, in the form of its suffix ({', '.join(SUFFIXES)}); may be repeated"
    parser.add_argument("--output", action="append", default=[], metavar="FILE", help=output)
    fails = "exit 1 for this verdict (rejected, new-cluster, …), budget, quota, render or lint; may be repeated"
    parser.add_argument("--fail-on", action="append", default=[], metavar="WHAT", help=fails)


def run(options: argparse.Namespace) -> int:
    """Print the review, or write it. Exit code 1 where the policy says so (.rayops.yaml, or --fail-on)."""
    import sys
    from pathlib import Path

    from rayops.cli.lint import repository
    from rayops.errors import RayopsError
    from rayops.review import policy
    from rayops.review.compare import compare
    from rayops.review.inputs import merge_base, narrowed, side
    from rayops.review.report import FORMATS as REPORTS

    root = Path(options.root).resolve() if options.root else repository(Path.cwd())
    forms = [(file, _form(file)) for file in options.output]
    before = options.before or merge_base(options.base, root)
    with side(before, root) as old, side(options.after, root) as new:
        old, new = narrowed(old, new, environments=options.env, chosen=options.overlay)
        review = policy.judged(compare(old, new), policy.read(new.root, options.fail_on))
    for file, form in forms:
        try:
            Path(file).write_text(REPORTS[form](review), "utf-8")
        except OSError as error:
            raise RayopsError(f"--output {file}: {error.strerror}", hint="a file in a folder that is there") from error
    if not forms:
        print(REPORTS[options.format](review), end="")
    else:
        sys.stderr.writelines(f"fails: {each}\n" for each in review.fails)
    return int(bool(review.fails))


def _form(file: str) -> str:
    from pathlib import Path

    from rayops.errors import RayopsError

    suffix = Path(file).suffix
    if suffix not in SUFFIXES:
        raise RayopsError(f"--output {file}: no form has the suffix {suffix!r}", hint=f"one of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]
