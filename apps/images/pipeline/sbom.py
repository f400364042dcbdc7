"""Write what is in the image as CycloneDX 1.6 JSON: `python -m apps.images.pipeline.sbom`.

Python distributions come from their metadata, Debian packages from dpkg. Specification: https://cyclonedx.org/docs/1.6/json/
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Any
from urllib.parse import quote


def bill() -> dict[str, Any]:
    """Return the bill of materials of this machine, sorted, without time stamps: equal images have equal bills."""
    components = sorted([*_python(), *_debian()], key=lambda component: str(component["purl"]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": "pipeline"}},
        "components": components,
    }


def _python() -> Iterator[dict[str, Any]]:
    seen = set()
    for distribution in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        if name not in seen:
            seen.add(name)
            facts = distribution.metadata.json
            licence = str(facts.get("license_expression") or facts.get("license", "")).partition("\n")[0][:100]
            yield _component(name, distribution.version, f"pkg:pypi/{name}@{distribution.version}", licence)


def _debian() -> Iterator[dict[str, Any]]:
    if shutil.which("dpkg-query") is None:
        return
    listing = ["dpkg-query", "--show", "--showformat", "${Package}\t${Version}\t${Architecture}\n"]
    for line in subprocess.run(listing, capture_output=True, text=True, check=True).stdout.splitlines():
        name, version, architecture = line.split("\t")
        purl = f"pkg:deb/debian/{quote(name)}@{quote(version, safe='')}?arch={architecture}"
        yield _component(name, version, purl, "")


def _component(name: str, version: str, purl: str, licence: str) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence:
        component["licenses"] = [{"license": {"name": licence}}]
    return component


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
    print()
