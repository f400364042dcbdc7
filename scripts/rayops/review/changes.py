"""Field by field, what differs between two sets of objects. Lists go by the name of their items, not by position.

Quantities that are equal (1000m and 1) do not differ: KubeRay hashes the typed object, and so does the API server's
three-way view of it. Serve configs are compared as configs, so that a deployment's field has a path of its own.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import yaml

from rayops.render import Obj, name_of


class Missing(Enum):
    """The value of a field that is not there; None is a value."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = Missing.MISSING
ORDER, TEXT = "[order]", "[text]"
# What names an item of a list, in the order in which it is tried; all items must have it, each another one.
KEYS = ("groupName", "name", "mountPath", "key", "containerPort", "port", "type", "apiGroup")
QUANTITY_PARENTS = frozenset({"requests", "limits", "hard", "min", "max", "default", "defaultRequest"})
QUANTITY_FIELDS = frozenset({"sizeLimit", "storage", "divisor", "averageValue"})


@dataclass(frozen=True)
class Change:
    """One field of one object. path: its keys, items of lists as `[name]`; empty for a whole object."""

    obj: str
    path: tuple[str, ...]
    old: Any
    new: Any

    @property
    def dotted(self) -> str:
        """The path for people: `spec.rayClusterConfig.workerGroupSpecs[cpu].maxReplicas`."""
        return ".".join(self.path).replace(".[", "[")


def identity(obj: Obj) -> tuple[str, str, str, str]:
    """What makes it the same object in both sets: API group, kind, namespace, name."""
    meta = obj.get("metadata") or {}
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    return group, str(obj.get("kind")), str(meta.get("namespace", "")), str(meta.get("name"))


def pairs(before: Iterable[Obj], after: Iterable[Obj]) -> Iterator[tuple[Obj | None, Obj | None]]:
    """Each object with its other side, None where it has none; in the order of `after`, then what is gone."""
    old = {identity(obj): obj for obj in before}
    new = {identity(obj): obj for obj in after}
    for key in dict.fromkeys([*new, *old]):
        yield old.get(key), new.get(key)


def changes(before: Iterable[Obj], after: Iterable[Obj]) -> list[Change]:
    """Every field that differs. An object that comes or goes is one change with an empty path."""
    return [change for old, new in pairs(before, after) for change in of_object(old, new)]


def of_object(old: Obj | None, new: Obj | None) -> Iterator[Change]:
    """The changes of one object, or its coming or going."""
    name = name_of(new or old or {})
    if old is None or new is None:
        yield Change(name, (), MISSING if old is None else old, MISSING if new is None else new)
        return
    for path, was, is_now in _differences(old, new, ()):
        yield Change(name, path, was, is_now)


Found = Iterator[tuple[tuple[str, ...], Any, Any]]


def _differences(old: Any, new: Any, path: tuple[str, ...]) -> Found:
    if path and path[-1] == "serveConfigV2" and isinstance(old, str) and isinstance(new, str):
        yield from _serve_config(old, new, path)
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _field(old.get(key, MISSING), new.get(key, MISSING), (*path, str(key)))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(old, new, path)
    elif not _equal(old, new, path):
        yield path, old, new


def _field(old: Any, new: Any, path: tuple[str, ...]) -> Found:
    """A field that may be on one side only: a mapping on one side is told field by field."""
    if old is MISSING and isinstance(new, Mapping) and new:
        old = {}
    if new is MISSING and isinstance(old, Mapping) and old:
        new = {}
    if {type(old), type(new)} == {Missing, type(None)}:
        return  # null and not there are the same for the API
    yield from _differences(old, new, path)


def _equal(old: Any, new: Any, path: Sequence[str]) -> bool:
    if old == new and type(old) is type(new):
        return True
    if len(path) > 1 and (path[-2] in QUANTITY_PARENTS or path[-1] in QUANTITY_FIELDS):
        from kubernetes.utils.quantity import parse_quantity

        try:
            return bool(parse_quantity(old) == parse_quantity(new))
        except (ValueError, TypeError):
            return False
    return False


def _lists(old: list[Any], new: list[Any], path: tuple[str, ...]) -> Found:
    key = next((key for key in KEYS if _names(old, key) is not None and _names(new, key) is not None), None)
    was, is_now = (_names(old, key), _names(new, key)) if key else (None, None)
    if was is None or is_now is None:
        if old != new:
            yield path, old, new
        return
    kept = [name for name in was if name in is_now]
    if list(is_now)[: len(kept)] != kept:
        yield (*path, ORDER), list(was), list(is_now)
    for name in dict.fromkeys([*is_now, *was]):
        place = (*path, f"[{name}]")
        if name in was and name in is_now:
            yield from _differences(was[name], is_now[name], place)
        else:
            yield place, was.get(name, MISSING), is_now.get(name, MISSING)


def _names(items: list[Any], key: str) -> dict[str, Any] | None:
    """The items by name; None where one has none, or two have the same."""
    if not all(isinstance(item, Mapping) and key in item for item in items):
        return None
    found = {str(item[key]): item for item in items}
    return found if len(found) == len(items) else None


def _serve_config(old: str, new: str, path: tuple[str, ...]) -> Found:
    """Two Serve configs as mappings; as text where one is no YAML, or where only comments and layout differ."""
    if old == new:
        return
    try:
        was, is_now = yaml.safe_load(old), yaml.safe_load(new)
    except yaml.YAMLError:
        was = is_now = None
    if not isinstance(was, dict) or not isinstance(is_now, dict):
        yield path, old, new
        return
    found = list(_differences(was, is_now, path))
    yield from found or [((*path, TEXT), "the same fields", "comments or layout")]
