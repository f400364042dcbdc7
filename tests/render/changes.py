"""What one render has that another has not, in a form that a reviewer reads: object by object, field by field."""

import re
from collections.abc import Iterator
from typing import Any

from rayops.render import Obj, name_of

KEYS = ("groupName", "name", "mountPath")
GROUPS = "workerGroupSpecs"
# Paths begin with what a reader looks for: head.containers[ray-head].env[X], workers[cpu].priorityClassName.
SHORT = (
    (r"spec\.rayCluster(Config|Spec)\.", "cluster."),
    (r"cluster\.headGroupSpec\.template\.spec\.", "head."),
    (rf"cluster\.{GROUPS}(\[[^]]*\])\.template\.spec\.", r"workers\1."),
)
Fields = dict[str, Any]


def changes(before: list[Obj], after: list[Obj]) -> dict[str, Any]:
    """Objects `removed` (their names), `changed` (name: field: value, `+` is new, `-` was) and `added` (whole)."""
    old, new = ({name_of(obj): obj for obj in objects} for objects in (before, after))
    changed = {name: fields_of(old[name], new[name]) for name in old if name in new and old[name] != new[name]}
    found = {
        "removed": [name for name in old if name not in new],
        "changed": changed,
        "added": [obj for name, obj in new.items() if name not in old],
    }
    return {part: value for part, value in found.items() if value}


def fields_of(old: Obj, new: Obj) -> Fields:
    """The changed fields by path; what all worker groups have alike stands once, as workers[*]."""
    return {short(path): value for path, value in together(dict(differences(old, new, "")), groups_of(new)).items()}


def short(path: str) -> str:
    for long, name in SHORT:
        path = re.sub(long, name, path)
    return path


def differences(old: Any, new: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(`+ path` or `- path`, value) for each place where `new` differs; a list counts by the names of its items."""
    if isinstance(old, dict) and isinstance(new, dict):
        yield from of_mappings(old, new, lambda key: f"{path}.{key}" if path else str(key))
        return
    named = [keyed(value) for value in (old, new)]
    if named[0] is not None and named[1] is not None:
        yield from of_mappings(named[0], named[1], lambda key: f"{path}[{key}]")
        return
    if old != new:
        yield f"- {path}", old
        yield f"+ {path}", new


def of_mappings(old: Fields, new: Fields, at: Any) -> Iterator[tuple[str, Any]]:
    for key in [*old, *(key for key in new if key not in old)]:
        if key not in new:
            yield f"- {at(key)}", plain(old[key])
        elif key not in old:
            yield f"+ {at(key)}", plain(new[key])
        else:
            yield from differences(old[key], new[key], at(key))


def plain(item: Any) -> Any:
    """The value alone of an environment variable, whose name stands in the path."""
    return item["value"] if isinstance(item, dict) and set(item) == {"name", "value"} else item


def keyed(value: Any) -> Fields | None:
    """A list of mappings by the field that names its items; None where there is none that does."""
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        return None
    for key in KEYS:
        names = [item.get(key) for item in value]
        if None not in names and len(set(names)) == len(names):
            return dict(zip(names, value, strict=True))
    return None


def groups_of(obj: Obj) -> list[str]:
    spec = obj.get("spec", {})
    for cluster in (spec.get("rayClusterConfig"), spec.get("rayClusterSpec")):
        if cluster:
            return [group["groupName"] for group in cluster[GROUPS]]
    return []


def together(fields: Fields, groups: list[str]) -> Fields:
    found: Fields = {}
    for path, value in fields.items():
        named = [group for group in groups if f"{GROUPS}[{group}]." in path]
        every = [path.replace(f"[{named[0]}]", f"[{group}]", 1) for group in groups] if named else []
        alike = len(every) > 1 and all(one in fields and fields[one] == value for one in every)
        found[path.replace(f"[{named[0]}]", "[*]", 1) if alike else path] = value
    return found
