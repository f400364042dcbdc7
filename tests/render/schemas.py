"""JSON schemas for kubeconform, made from what is pinned: CRDs and the API description of Kubernetes."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rayops.render import Obj

Schema = dict[str, Any]
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def write_crd_schemas(crds: Iterable[Obj], folder: Path) -> None:
    """One strict schema for each served version of each CRD: `<group>/<kind>_<version>.json`, lower case."""
    for (group, kind, version), schema in crd_schemas(crds).items():
        write(folder / group / f"{kind.lower()}_{version}.json", schema)


def crd_schemas(crds: Iterable[Obj]) -> dict[tuple[str, str, str], Schema]:
    """The same schemas by group, kind and version."""
    return {
        (crd["spec"]["group"], crd["spec"]["names"]["kind"], version["name"]): strict(
            version["schema"]["openAPIV3Schema"]
        )
        for crd in crds
        for version in crd["spec"]["versions"]
        if version["served"]
    }


def write_core_schemas(swagger: Path, folder: Path, kinds: set[tuple[str, str]]) -> None:
    """The same for kinds of Kubernetes itself, each as (apiVersion, kind), from its swagger.json.

    kubeconform takes `v1` for the group of `v1`.
    """
    definitions = json.loads(swagger.read_text())["definitions"]
    definitions[QUANTITY] = {"type": ["string", "number"]}
    definitions[INT_OR_STRING] = {"type": ["string", "integer"]}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind") or []:
            version = "/".join(part for part in (kind["group"], kind["version"]) if part)
            if (version, kind["kind"]) in kinds:
                used = {each: strict(definitions[each]) for each in closure(name, definitions)}
                schema = {"$ref": f"#/definitions/{name}", "definitions": used}
                write(
                    folder / (kind["group"] or kind["version"]) / f"{kind['kind'].lower()}_{kind['version']}.json",
                    schema,
                )


def write(file: Path, schema: Schema) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(schema))


def strict(schema: Any) -> Any:
    """The schema without room for fields that it does not name; int-or-string and nulls as kubeconform wants them."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["string", "number"]}
    made = {key: strict(value) for key, value in schema.items() if not key.startswith("x-") and key != "format"}
    named = isinstance(schema.get("properties"), dict) and isinstance(schema.get("type", "object"), str)
    if named and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def closure(name: str, definitions: dict[str, Schema]) -> Iterable[str]:
    """The definition and all that it refers to, at any depth."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        here = waiting.pop()
        if here not in seen:
            seen.add(here)
            waiting.extend(references(definitions[here]))
    return seen


def references(schema: Any) -> list[str]:
    """The names of the definitions that a schema refers to directly."""
    if isinstance(schema, list):
        return [name for item in schema for name in references(item)]
    if not isinstance(schema, dict):
        return []
    here = [schema["$ref"].removeprefix("#/definitions/")] if isinstance(schema.get("$ref"), str) else []
    return here + [name for value in schema.values() for name in references(value)]
