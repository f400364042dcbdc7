"""The CRDs of the pinned KubeRay as strict JSON schemas: a field that they do not name is an error.

The API server drops such a field without a word (Argo CD and Flux apply with it dropped), so a misspelt one has no
effect. Made from the CRD files of KubeRay's module once and kept in the cache, a file for each kind: the CRDs are
many megabytes of descriptions.
"""

import functools
import hashlib
import json
import re
from pathlib import Path
from typing import Any

from rayops.lint.validate import Problem, Schema, Validator
from rayops.paths import CACHE, TOOLS, content_hash
from rayops.render.objects import Obj

GROUP = "ray.io"
PINNED, MODULE = "kuberay-operator", "github.com/ray-project/kuberay/ray-operator"
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
# metav1.ObjectMeta, which a CRD leaves to the API server (apimachinery pkg/apis/meta/v1/types.go).
TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
METADATA: Schema = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        **dict.fromkeys(("name", "namespace", "generateName", "selfLink", "uid", "resourceVersion"), TEXT),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), TEXT),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), NUMBER),
        **dict.fromkeys(("labels", "annotations"), STRINGS),
        "finalizers": {"type": "array", "items": TEXT},
        "ownerReferences": {"type": "array"},
        "managedFields": {"type": "array"},
    },
}


def problems(obj: Obj) -> list[Problem] | None:
    """What does not fit the CRD; None where KubeRay has no CRD of this kind and version."""
    _, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    validator = _validator(str(obj.get("kind")), version)
    return None if validator is None else validator.problems(without_nulls(obj))


def without_nulls(node: Any) -> Any:
    """The same without keys whose value is null: the API server takes them for not there."""
    if isinstance(node, dict):
        return {key: without_nulls(value) for key, value in node.items() if value is not None}
    return [without_nulls(item) for item in node] if isinstance(node, list) else node


@functools.cache
def _validator(kind: str, version: str) -> Validator | None:
    found = schema_of(kind, version)
    return None if found is None else Validator(found)


def schema_of(kind: str, version: str) -> Schema | None:
    """The strict schema of a kind of ray.io; None where KubeRay has none. RayopsError without KubeRay's module."""
    if not re.fullmatch(r"Ray[A-Za-z]{1,30}", kind) or not re.fullmatch(r"v[0-9a-z]{1,20}", version):
        return None
    file = CACHE / "lint" / f"{kind}-{version}-{_key()}.json"
    if not file.exists():
        made = _made(kind, version)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(f".{_process()}")
        unfinished.write_text(json.dumps(made))
        unfinished.rename(file)
    found: Schema | None = json.loads(file.read_text())
    return found


@functools.cache
def _key() -> str:
    """Changes with KubeRay's pin and with this code."""
    return content_hash(TOOLS / PINNED / "go.sum", Path(__file__))


def _process() -> str:
    import os

    return str(os.getpid())


def _made(kind: str, version: str) -> Schema | None:
    import yaml

    from rayops.cluster import gobuild

    folder = gobuild.archive_directory(PINNED, MODULE) / "config" / "crd" / "bases"
    file = folder / f"{GROUP}_{kind.lower()}s.yaml"
    if not file.is_file():
        return None
    crd = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe ones
    for each in crd["spec"]["versions"]:
        if each["name"] == version and each["served"] and crd["spec"]["names"]["kind"] == kind:
            return shared(strict(each["schema"]["openAPIV3Schema"]) | {"required": ["metadata", "spec"]})
    return None


def strict(node: Any) -> Any:
    """The schema without words and without room for fields that it does not name; with metadata."""
    made = _strict(node)
    made["properties"]["metadata"] = METADATA
    return made


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made: Schema = {}
    for key, value in node.items():
        if key == "properties":
            made[key] = {name: _strict(each) for name, each in value.items()}
        elif key not in ("description", "format", "default") and not key.startswith("x-"):
            made[key] = _strict(value)
    if "required" in made:  # the API server fills defaults in before it looks
        filled = {name for name, each in (node.get("properties") or {}).items() if "default" in each}
        made["required"] = [name for name in made["required"] if name not in filled]
    if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def shared(schema: Schema) -> Schema:
    """The same schema, with parts that are there more than once written once: pod templates are, many times."""
    definitions: Schema = {}
    made = {key: _shared(value, definitions) for key, value in schema.items()}
    return {**made, "$defs": definitions}


def _shared(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_shared(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _shared(value, definitions) for key, value in node.items()}
    if "properties" not in made or not isinstance(made.get("type"), str):
        return made
    name = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
    definitions[name] = made
    return {"$ref": f"#/$defs/{name}"}
