"""rayops down: take away what `up` made, and nothing else."""

import argparse

from rayops.paths import checkout_id


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops down`."""
    parser.add_argument("--cluster", default=f"rayops-{checkout_id()}", metavar="NAME", help="name of the kind cluster")
    parser.add_argument("--engine", action="store_true", help="also stop the container engine, if `up` started it")


def run(options: argparse.Namespace) -> int:
    """Delete the cluster with everything in it, its kubeconfig, and the local Ray; images and caches stay."""
    from rayops import serve_only
    from rayops.cluster import engine
    from rayops.cluster.kind import KindCluster, default_name

    gone = []
    if options.cluster == default_name() and serve_only.stop():
        gone.append("local Ray")
    if engine.answers() and KindCluster(options.cluster).delete():
        gone.append(f"cluster {options.cluster}")
    if options.engine and engine.stop():
        gone.append("container engine")
    print(f"down: {', '.join(gone)}" if gone else f"down: there was nothing of {options.cluster}")
    return 0
