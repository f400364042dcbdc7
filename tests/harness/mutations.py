"""The table of changes that KubeRay and Ray Serve were seen to take: rows of data, and how a row changes an object.

for row in read(TABLE): changed = row.apply(service, "RayService")
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from rayops.render import Obj

SERVICE, CLUSTER, RECREATE = "RayService", "RayCluster", "Recreate"
# What names the items of lists in the rows' places.
NAMES = ("groupName", "name")


@dataclass(frozen=True)
class Mutation:
    """One row. verdict: by subject; back: by subject, where taking the change back is another verdict.

    unseen: why a reconfiguration cannot be seen from outside, "" where it can.
    """

    id: str
    verdict: dict[str, str]
    set: dict[str, Any] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    append: dict[str, Any] = field(default_factory=dict)
    prepend: dict[str, Any] = field(default_factory=dict)
    reverse: tuple[str, ...] = ()
    comment: str = ""
    text: str = ""
    restarts: tuple[str, ...] = ()
    reconfigures: tuple[str, ...] = ()
    unseen: str = ""
    back: dict[str, str] = field(default_factory=dict)

    def apply(self, obj: Obj, subject: str) -> Obj:
        """The object with this change; the given one stays. ValueError where the change would change nothing."""
        changed = copy.deepcopy(obj)
        config = _Config(changed) if subject == SERVICE else None
        for place, value in self.set.items():
            parent, key = _find(changed, config, place)
            parent[key] = copy.deepcopy(value)
        for place in self.remove:
            parent, key = _find(changed, config, place)
            del parent[key]
        for additions, at_end in ((self.append, True), (self.prepend, False)):
            for place, value in additions.items():
                parent, key = _find(changed, config, place)
                items = parent[key] = list(parent.get(key) or [])
                items.insert(len(items) if at_end else 0, _item(items, value))
        for place in self.reverse:
            parent, key = _find(changed, config, place)
            parent[key] = list(reversed(parent[key]))
        if config:
            config.write(self.comment, self.text)
        if changed == obj:
            raise ValueError(f"{self.id} changes nothing of {subject}")
        return changed

    def expected(self, subject: str, *, back: bool) -> str:
        """The verdict that is recorded for a subject, on the way there or back."""
        there = self.verdict[subject]
        if not back:
            return there
        # What was refused is not there: to take it back is no change of what runs.
        return self.back.get(subject, "none" if there == "rejected" else there)


def read(file: Path) -> list[Mutation]:
    """All rows. ValueError where two have the same id."""
    rows = [_row(loaded) for loaded in yaml.safe_load(file.read_text())]
    ids = [row.id for row in rows]
    if twice := {each for each in ids if ids.count(each) > 1}:
        raise ValueError(f"{file}: the id {min(twice)} is there twice")
    return rows


def _row(loaded: dict[str, Any]) -> Mutation:
    fields: dict[str, Any] = {key: tuple(each) if isinstance(each, list) else each for key, each in loaded.items()}
    return Mutation(**fields)


class _Config:
    """The Serve config of a RayService while it is edited; written back only where a row touched it."""

    def __init__(self, service: Obj) -> None:
        self._spec = service["spec"]
        self._before = yaml.safe_load(self._spec["serveConfigV2"])
        self.data = copy.deepcopy(self._before)

    def write(self, comment: str, text: str) -> None:
        if self.data != self._before:
            self._spec["serveConfigV2"] = yaml.safe_dump(self.data, sort_keys=False)
        if comment:
            self._spec["serveConfigV2"] += f"\n# {comment}\n"
        if text:
            self._spec["serveConfigV2"] = text


def _item(items: Sequence[Obj], value: Obj) -> Obj:
    """A new item: as given, or with `copy` a copy of the named one, changed in what else is given."""
    if not isinstance(value, dict) or "copy" not in value:
        return copy.deepcopy(value)
    source = next(item for item in items if value["copy"] in (item.get(name) for name in NAMES))
    return {**copy.deepcopy(source), **{key: each for key, each in value.items() if key != "copy"}}


def _find(obj: Obj, config: _Config | None, place: str) -> tuple[Any, Any]:
    """What holds the last key of a place, and the key; mappings that are missing are made."""
    keys = list(_keys(place))
    node: Any = obj
    if keys[0] == "cluster":
        node = obj["spec"].setdefault("rayClusterConfig", {}) if obj["kind"] == SERVICE else obj["spec"]
        keys = keys[1:]
    elif keys[0] == "serve":
        assert config is not None, f"{place}: only a RayService has a Serve config"
        node, keys = config.data, keys[1:]
    for key in keys[:-1]:
        node = node[_index(node, key)] if isinstance(node, list) else node.setdefault(key, {})
    last = keys[-1]
    return node, _index(node, last) if isinstance(node, list) else last


def _index(items: list[Any], name: str) -> int:
    for index, item in enumerate(items):
        if name in (item.get(key) for key in NAMES):
            return index
    raise LookupError(f"no item is called {name}")


def _keys(place: str) -> Iterator[str]:
    """`spec.groups[cpu].template` → spec, groups, cpu, template. A last key may hold dots and slashes: annotations."""
    for plain, named in re.findall(r"([^.\[\]]+)|\[([^\]]+)\]", place):
        yield plain or named
