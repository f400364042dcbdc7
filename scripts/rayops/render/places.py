"""Where a field of a rendered object is written: by marks that a second build carried along, or by the file's lines.

The marks are those of scripts/tools/renderer/mark.go. Nothing is guessed: a value that came out of the marked build
otherwise than it went in, or without a mark and with several lines that could have written it, has no place of its own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayops.errors import RayopsError
from rayops.render.objects import Obj

TOKEN = re.compile("Zq([0-9a-f]{5})qZ")
# What names an item of a list, as in rayops.review.changes.KEYS; a test holds them equal.
KEYS = ("groupName", "name", "mountPath", "key", "containerPort", "port", "type", "apiGroup")

# Fields by which a patch finds what it patches: the first that writes them counts, a later one only repeats them.
FINDING = frozenset(
    {"apiVersion", "kind", "name", "namespace", "groupName", "containerPort", "port", "protocol", "mountPath"}
    | {"generateName", "devicePath", "ip", "topologyKey"}
)


@dataclass(frozen=True)
class Place:
    """A line of a file. file: relative to the root. line: from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def item(items: Sequence[Any], step: str) -> int | None:
    """The index of the item that a step names: `[cpu]` by one of KEYS, else `[0]` or `0` by position."""
    wanted = step[1:-1] if step.startswith("[") and step.endswith("]") else step
    for key in KEYS:
        if items and all(isinstance(each, Mapping) and key in each for each in items):
            names = [str(each[key]) for each in items]
            if len(set(names)) == len(names):
                return names.index(wanted) if wanted in names else _position(items, wanted)
    return _position(items, wanted)


def _position(items: Sequence[Any], wanted: str) -> int | None:
    return int(wanted) if wanted.isdigit() and len(wanted) < 9 and int(wanted) < len(items) else None


@dataclass(frozen=True)
class Marked:
    """What the marked build of one folder said. objects: in the order of the build without marks."""

    objects: Sequence[Obj]
    marks: Sequence[Mapping[str, Any]]
    settings: Sequence[Mapping[str, Any]]

    def twin(self, index: int, obj: Obj) -> Obj:
        """The marked form of an object; {} where there is none that is certainly it."""
        if index < len(self.objects) and _same(self.objects[index], obj):
            return self.objects[index]
        found = [each for each in self.objects if _same(each, obj)]
        return found[0] if len(found) == 1 else {}

    def locate(self, index: int, obj: Obj, path: Sequence[str]) -> Place | None:
        """Where the field is written; of a field that is not there, the nearest one around it; else the object."""
        own = self._mapping(twin := self.twin(index, obj)) or self._generator(obj)
        if not path:
            return own
        clean: Any = obj
        marked: Any = twin
        around = own
        parent: Any = {}
        for depth, step in enumerate(path):
            if isinstance(clean, str):
                clean, marked = _document(clean), _document(marked)
            if isinstance(clean, dict) and step in clean:
                parent, clean = marked, clean[step]
                marked = marked.get(step) if isinstance(marked, dict) else None
            elif isinstance(clean, list) and (at := item(clean, step)) is not None:
                parent, marked = {}, marked[at] if isinstance(marked, list) and len(marked) == len(clean) else None
                clean = clean[at]
            else:
                return around  # the field is not there
            found = self._node(obj, tuple(path[: depth + 1]), clean, marked, parent)
            if depth == len(path) - 1:
                return found or own
            around = found or around
        return own

    def _node(self, obj: Obj, path: tuple[str, ...], clean: Any, marked: Any, parent: Any) -> Place | None:
        if isinstance(clean, dict):
            return self._mapping(marked) or self._key(parent, path[-1], None)
        if isinstance(clean, list):
            first = marked[0] if isinstance(marked, list) and marked and len(marked) == len(clean) else None
            return self._key(parent, path[-1], None) or (self._mapping(first) if isinstance(first, dict) else None)
        numbers = TOKEN.findall(marked) if isinstance(marked, str) else []
        if isinstance(clean, str) and "\n" in clean and numbers and isinstance(_document(clean), dict):
            return self._mapping(_document(marked))
        if numbers:
            return self._mark(numbers[-1]) if _equal(TOKEN.sub("", marked), clean) else None
        if marked is None or marked != clean:
            return None
        return self._key(parent, path[-1], clean) or self._setting(obj, path, clean)

    def _mark(self, number: str) -> Place | None:
        at = int(number, 16)
        return Place(self.marks[at]["f"], self.marks[at]["l"]) if at < len(self.marks) else None

    def _writers(self, marked: Any) -> list[Mapping[str, Any]]:
        """The mappings that were merged into one, in the order in which they were."""
        if not isinstance(marked, dict):
            return []
        found = sorted(int(hit[1], 16) for key in marked if (hit := TOKEN.fullmatch(key)))
        return [self.marks[at] for at in found if at < len(self.marks)]

    def _mapping(self, marked: Any) -> Place | None:
        writers = self._writers(marked)
        return Place(writers[0]["f"], writers[0]["l"]) if writers else None

    def _key(self, parent: Any, key: str, value: Any) -> Place | None:
        """The last of the mappings that has the key, with this value where it is a scalar's; the first of FINDING."""
        writers = self._writers(parent)
        for writer in writers if key in FINDING else reversed(writers):
            if (field := (writer.get("k") or {}).get(key)) and (value is None or _equal(field["v"], value)):
                return Place(writer["f"], field["l"])
        return None

    def _setting(self, obj: Obj, path: tuple[str, ...], value: Any) -> Place | None:
        """A kustomization's own line, where only one can have written the value."""
        name = obj.get("metadata", {}).get("name")
        if path[-1] == "namespace":
            hits = [each for each in self.settings if each["kind"] == "namespace" and each["value"] == value]
        elif path[-1] == "image":
            hits = [each for each in self.settings if each["kind"] == "image" and _of_image(each["value"], value)]
        elif path[-1] == "replicas":
            hits = [each for each in self.settings if each["kind"] == "replicas" and each["name"] == name]
        else:
            kind = path[-2] if len(path) > 1 else ""
            hits = [
                each for each in self.settings if (each["kind"], each["name"], each["value"]) == (kind, path[-1], value)
            ]
        return Place(hits[0]["f"], hits[0]["l"]) if len(hits) == 1 else None

    def _generator(self, obj: Obj) -> Place | None:
        name = str(obj.get("metadata", {}).get("name"))
        hits = [each for each in self.settings if each["kind"] == obj.get("kind")]
        hits = [each for each in hits if each["name"] == name] or [
            each for each in hits if re.fullmatch(f".*{re.escape(each['name'])}-[a-z0-9]{{10}}", name)
        ]
        return Place(hits[0]["f"], hits[0]["l"]) if len(hits) == 1 else None


def _of_image(repository: str, image: Any) -> bool:
    return isinstance(image, str) and (image == repository or image.startswith((f"{repository}:", f"{repository}@")))


def _same(marked: Obj, obj: Obj) -> bool:
    """The same object; a name may end in another hash of its content."""
    one, other = marked.get("metadata") or {}, obj.get("metadata") or {}
    if marked.get("kind") != obj.get("kind") or one.get("namespace") != other.get("namespace"):
        return False
    names = str(one.get("name")), str(other.get("name"))
    cut = [re.sub(r"-[a-z0-9]{10}$", "", name) for name in names]
    return names[0] == names[1] or (cut[0] == cut[1] and obj.get("kind") in ("ConfigMap", "Secret"))


def _equal(text: str, value: Any) -> bool:
    """Whether a YAML scalar is a value."""
    if text == value or (isinstance(value, bool) and text.lower() == str(value).lower()):
        return True
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return False


def _document(text: Any) -> Any:
    """The mapping or list that a text holds (a Serve config); {} where it holds none."""
    from rayops.render import loader

    if not isinstance(text, str):
        return {}
    try:
        found = loader.documents(text, "text")
    except RayopsError:
        return {}
    return found[0][1] if len(found) == 1 else {}


class Lines:
    """The lines of the fields of a file that is rendered as it is."""

    def __init__(self, text: str, name: str) -> None:
        self.name, self._text = name, text
        self._roots: list[Any] | None = None

    def locate(self, index: int, path: Sequence[str]) -> Place:
        """Where a field of the file's object number `index` is written, or what is nearest around it."""
        node = self._root(index)
        line = node.start_mark.line + 1 if node is not None else 1
        for step in path:
            found = _below(node, step)
            if found is None:
                break
            line, node = found
        return Place(self.name, line)

    def _root(self, index: int) -> Any:
        if self._roots is None:
            self._roots = list(self._objects())
        return self._roots[index] if index < len(self._roots) else None

    def _objects(self) -> Iterator[Any]:
        """The nodes of what loader.load_all gives, one by one."""
        import yaml

        try:
            composed = list(yaml.compose_all(self._text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        except (yaml.YAMLError, RecursionError):
            return  # JSON with tabs, say
        for node in composed:
            if not isinstance(node, yaml.MappingNode) or not node.value:
                continue
            fields = {str(key.value): value for key, value in node.value}
            inner = fields.get("items")
            if getattr(fields.get("kind"), "value", "").endswith("List") and isinstance(inner, yaml.SequenceNode):
                yield from inner.value
            else:
                yield node


def _below(node: Any, step: str) -> tuple[int, Any] | None:
    """Line and node of a field or item; a Serve config in a block of text is looked into."""
    import yaml

    if isinstance(node, yaml.ScalarNode) and node.style == "|":
        inner = Lines(str(node.value), "")
        root = inner._root(0)
        found = _below(root, step) if root is not None else None
        if found is None:
            return None
        _shift(root, node.start_mark.line + 1)
        return found[0] + node.start_mark.line + 1, found[1]
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if str(key.value) == step:
                own = isinstance(value, yaml.ScalarNode)
                return (value if own and value.style not in ("|", ">") else key).start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode):
        names = [
            {str(key.value): value.value for key, value in each.value} if isinstance(each, yaml.MappingNode) else each
            for each in node.value
        ]
        if (at := item(names, step)) is not None:
            return node.value[at].start_mark.line + 1, node.value[at]
    return None


def _shift(node: Any, lines: int) -> None:
    """Move the marks of a document that lies inside another, once."""
    import yaml

    seen: set[int] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        mark = each.start_mark
        each.start_mark = yaml.Mark(mark.name, mark.index, mark.line + lines, mark.column, None, 0)
        if isinstance(each, yaml.MappingNode):
            waiting.extend(part for pair in each.value for part in pair)
        elif isinstance(each, yaml.SequenceNode):
            waiting.extend(each.value)
