"""The command line. Each command is a module with `add_arguments(parser)` and `run(options) -> int`."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from rayops.errors import RayopsError

COMMANDS = {
    "up": "from a bare machine to an answer: cluster, operator, pipeline",
    "down": "delete the cluster of this checkout, or stop the local Ray of --serve-only",
    "models": "the catalogue of models: check it, and write from it routes, server arguments, downloads and table",
    "lint": "what is wrong with Ray's kinds in a repository: schema, fit, safety, Kustomize; before the merge",
    "matrix": "pipelines, deployments, resources and images as the overlays render them",
    "render": "everything that is built from a repository, with the line where each object is written",
    "pods": "the pods that KubeRay would create of an overlay or manifest: for people, and for scanners",
    "review": "what a change of the overlays will do to what runs, as Markdown",
    "promote": "move image digests, or the platform's versions, from one environment to the next",
    "new": "a pipeline or an environment that passes all checks as it is made",
    "image": "the pipeline image: build, push, digest, bill of materials",
    "simulate": "a pipeline on N GPUs as an event simulation: utilisation, latency, cost",
    "status": "what runs, how healthy it is, and where it answers",
}


READER_LEFT = 141  # what a shell says of a program that SIGPIPE ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns 0 done, 1 a clear error, 2 wrong usage, 130 interrupted, 141 the reader left."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="rayops", description="AI pipelines on Ray Serve and Kubernetes, GitOps way.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        if given[:1] == [name]:  # only the command that runs is imported: help stays fast
            importlib.import_module(f"rayops.cli.{name}").add_arguments(command)
    options = parser.parse_args(given)
    try:
        code = int(importlib.import_module(f"rayops.cli.{options.command}").run(options))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `| head` has read enough; Python would flush the rest into the pipe when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except RayopsError as error:
        print(_one_line(error), file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a cache that nobody may write: nothing of ours to mend
        if error.filename is None:
            raise
        hint = "is the disk full, or the folder not writable?"
        print(f"rayops: {error.filename}: {error.strerror} → {hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("rayops: interrupted; the same command resumes", file=sys.stderr)
        return 130


def _one_line(error: RayopsError) -> str:
    parts = [f"rayops: {' '.join(error.message.split())}"]
    if error.hint:
        parts.append(f"→ {error.hint}")
    if error.evidence:
        parts.append(f"(evidence: {error.evidence})")
    return " ".join(parts)
