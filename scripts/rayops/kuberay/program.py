"""The program that has KubeRay's code in it, and the schemas of its CRDs: built into the cache when first asked for."""

import functools
import json
import os
from pathlib import Path
from typing import Any

from rayops.errors import RayopsError
from rayops.paths import BIN, CACHE, ROOT, TOOLS, content_hash

MODULE = "kuberay-ask"
OPERATOR = "github.com/ray-project/kuberay/ray-operator"
SCHEMAS = CACHE / "kuberay"
# Text for people: half of a schema, and no decision depends on it.
UNREAD = "description"


@functools.cache
def identity() -> str:
    """What the answers depend on: the program's source with its pins."""
    return content_hash(TOOLS / MODULE)


def program() -> Path:
    """The program of this source, built when it is not there. Raises RayopsError where there is no Go to build it."""
    name = f"{MODULE}-{identity()}"
    if not (BIN / name).exists():
        from rayops.cluster import gobuild

        unfinished = f"{name}.{os.getpid()}"  # another process may build it as well
        try:
            gobuild.build(MODULE, ["."], BIN, name=unfinished)
        except RayopsError as error:
            raise RayopsError(
                f"KubeRay's own checks cannot be built: {error.message}", hint=error.hint, evidence=error.evidence
            ) from error
        (BIN / unfinished).rename(BIN / name)
    return BIN / name


def schemas() -> Path:
    """A file with the schema of each kind in version v1: {"RayService": openAPIV3Schema, …}."""
    file = SCHEMAS / f"schemas-{identity()}.json"
    if not file.exists():
        found = {crd["spec"]["names"]["kind"]: _plain(_schema(crd)) for crd in _crds()}
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(found), "utf-8")
        unfinished.rename(file)
    return file


def _crds() -> tuple[dict[str, Any], ...]:
    """The CRDs of the module that the program is built with."""
    from rayops.render import crds

    found = crds.read(crds.Source("ray.io", MODULE, OPERATOR, "config/crd/bases/*.yaml"))
    if not found:
        raise RayopsError(f"{ROOT / 'scripts/tools' / MODULE}: its operator has no CRDs")
    return found


def _schema(crd: dict[str, Any]) -> Any:
    """The schema of version v1."""
    (version,) = (version for version in crd["spec"]["versions"] if version["name"] == "v1")
    return version["schema"]["openAPIV3Schema"]


def _plain(schema: Any) -> Any:
    """A schema without descriptions. A property that is named so is kept: it holds a schema, no text."""
    if isinstance(schema, dict):
        return {key: _plain(value) for key, value in schema.items() if not (key == UNREAD and isinstance(value, str))}
    return [_plain(each) for each in schema] if isinstance(schema, list) else schema
