"""rayops new: a pipeline or an environment that passes all checks as it is made; then it is yours to change."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`rayops new pipeline NAME` and `rayops new env NAME`."""
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    pipeline = what.add_parser("pipeline", help="from apps/hello, with an overlay in every environment and tests")
    pipeline.add_argument("name", metavar="NAME", help="lower case with dashes, at most 47 characters")
    environment = what.add_parser("env", help="from another environment: all its overlays and its delivery")
    environment.add_argument("name", metavar="NAME", help="lower case with dashes, at most 47 characters")
    environment.add_argument("--from", dest="source", default="staging", metavar="ENV", help="default: staging")


def run(options: argparse.Namespace) -> int:
    """Make it, and say what was made and what comes next."""
    from rayops.new import environment, pipeline
    from rayops.paths import ROOT

    name = options.name
    if options.what == "pipeline":
        work = pipeline.make(ROOT, name)
        package = name.replace("-", "_")
        after = f"apps/{package} is yours to change; ./scripts/up --pipeline {name} serves it"
    else:
        work = environment.make(ROOT, name, options.source)
        after = f"overlays/{name}/README.md says what is yours to set; kubectl apply -k overlays/{name} applies it"
    print("\n".join(work.told()))
    print(f"\n{after}. ./scripts/test --no-cluster checks it.")
    return 0
