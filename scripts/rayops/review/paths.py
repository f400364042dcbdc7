"""Paths of changes as JSONPath."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rayops.errors import RayopsError
from rayops.render import Obj, serve_config
from rayops.review.changes import KEYS, ORDER, TEXT

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def json_path(path: Sequence[str], *objects: Obj | None) -> str:
    """A Change.path as JSONPath with list positions of the first object that has the field.

    ("spec", "workerGroupSpecs", "[cpu]", "maxReplicas") → `$.spec.workerGroupSpecs[1].maxReplicas`. Where no object has
    it: the items by their names, `[?@.name=='Ingress']`.
    """
    keys = [key for key in path if key not in (ORDER, TEXT)]
    for obj in objects:
        if obj is not None and (found := _indexed(keys, obj)) is not None:
            return found
    return "$" + "".join(f"[?@.name=='{key[1:-1]}']" if key.startswith("[") else _member(key) for key in keys)


def _indexed(keys: Sequence[str], obj: Obj) -> str | None:
    node: Any = obj
    text = "$"
    for position, key in enumerate(keys):
        if key.startswith("[") and isinstance(node, list):
            index = _index(node, key[1:-1])
            if index is None:
                return None
            node, text = node[index], f"{text}[{index}]"
            continue
        if not isinstance(node, Mapping) or key not in node:
            return None
        node, text = node[key], text + _member(key)
        if key == "serveConfigV2" and position + 1 < len(keys):
            try:
                node = serve_config(obj)
            except RayopsError:
                return None
    return text


def _index(items: list[Any], name: str) -> int | None:
    for index, item in enumerate(items):
        if isinstance(item, Mapping) and any(str(item.get(key)) == name for key in KEYS):
            return index
    return None


def _member(key: str) -> str:
    return f".{key}" if _PLAIN.fullmatch(key) else "['" + key.replace("\\", "\\\\").replace("'", "\\'") + "']"
