"""rayops image: an image of this checkout, for a registry: its digest, and what is in it."""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rayops image`."""
    parser.add_argument(
        "name",
        nargs="?",
        choices=("pipeline", "pipeline-gpu"),
        default="pipeline",
        help="folder below apps/images; pipeline-gpu takes 40 GB of disk while it is built",
    )
    parser.add_argument(
        "--push", metavar="NAME:TAG", help="push it there, and print its digest instead of its tag here"
    )
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write what is in it, as CycloneDX JSON")
    parser.add_argument("--offline", action="store_true", help="ask no container registry for the base image")


def run(options: argparse.Namespace) -> int:
    """Build the image unless it is there. The last line is its reference: by tag, or by digest once it was pushed."""
    from rayops import proc
    from rayops.cluster import pipeline_image
    from rayops.errors import RayopsError
    from rayops.render import repository

    if options.push and repository(options.push) == options.push:
        raise RayopsError(f"--push {options.push} has no tag", hint=f"--push {options.push}:dev")
    reference, _ = pipeline_image.ensure(offline=options.offline, name=options.name)
    if options.sbom:
        read = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "cat", reference, "/srv/sbom.json"]
        options.sbom.write_text(proc.run(read), "utf-8")
    if options.push:
        proc.run(["docker", "tag", reference, options.push])
        proc.run(["docker", "push", options.push], hint="docker login, and the right to push there")
        form = "{{range .RepoDigests}}{{println .}}{{end}}"
        digests = proc.run(["docker", "image", "inspect", "--format", form, options.push]).split()
        found = [each for each in digests if each.startswith(f"{repository(options.push)}@")]
        if not found:
            raise RayopsError(
                f"{options.push} was pushed and Docker names no digest of it", hint="docker push it by hand"
            )
        reference = found[0]
    print(reference)
    return 0
