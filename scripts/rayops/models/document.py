"""YAML with the lines of its values, and the faults that name them."""

import difflib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from rayops.models.schema import Catalogue, Head, Model, Split

Place = tuple[str | int, ...]
PARTS: dict[str, type[BaseModel]] = {"models": Model, "splits": Split}
NAMES = {"models": "id", "splits": "alias"}


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong, and the way out. file: relative to the repository."""

    file: str
    line: int
    field: str
    what: str
    fix: str

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return " ".join(f"{self.file}:{self.line}: {where}{self.what} → {self.fix}".split())


@dataclass
class Document:
    """A catalogue as far as it can be read. Entries that are wrong are left out, their faults noted."""

    file: str
    data: dict[str, Any]
    node: yaml.Node | None
    catalogue: Catalogue | None = None
    faults: list[Fault] = field(default_factory=list)
    entries: dict[int, Place] = field(default_factory=dict)

    def fault(self, place: Place, what: str, fix: str) -> None:
        """Note that the value at a place is wrong."""
        self.faults.append(Fault(self.file, self.line(place), self.name(place), what, fix))

    def at(self, entry: BaseModel, *rest: str | int) -> Place:
        """The place of an entry that was read, or of a field of it."""
        return (*self.entries[id(entry)], *rest)

    def line(self, place: Place) -> int:
        """The line of a value, of its key in a mapping; of what is around it where it is not there."""
        node, line = self.node, 1
        for step in place:
            found = _child(node, step)
            if found is None:
                break
            line, node = found
        return line

    def name(self, place: Place) -> str:
        """A place for people: `models[mistral-7b-instruct].revision`."""
        words, value = "", cast(Any, self.data)
        for number, step in enumerate(place):
            label = str(step)
            value = value[step] if _holds(value, step) else None
            if number == 1 and isinstance(value, dict) and isinstance(step, int):
                label = str(value.get(NAMES.get(str(place[0]), ""), step))
            words += f"[{label}]" if isinstance(step, int) else f".{label}"
        return words.lstrip(".")

    def names(self, part: str) -> set[str]:
        """The ids or aliases of all entries of a part, also of those that are wrong."""
        return {str(each.get(NAMES[part])) for each in _mappings(self.data.get(part))}


def read(path: Path, root: Path) -> Document:
    """The catalogue in a file; what is wrong with its shape stands in `faults`."""
    name = path.relative_to(root).as_posix()
    try:
        text = path.read_text("utf-8")
        loader = yaml.SafeLoader(text)  # not the one in C, which falls over thousands of brackets
        node = loader.get_single_node()
        data = None if node is None else loader.construct_document(node)
    except (OSError, UnicodeDecodeError) as error:
        return _broken(name, 1, f"cannot be read: {error}", "a YAML file with `models`")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or error
        return _broken(name, mark.line + 1 if mark else 1, f"no YAML: {said}", "mend the line")
    except (ValueError, RecursionError) as error:  # a date that is none; thousands of brackets
        return _broken(name, 1, f"no YAML: {error}", "put texts in quotes")
    if not isinstance(data, dict):
        return _broken(name, 1, "no mapping", "`models:` and a list of models")
    document = Document(name, data, node)
    for place, key in _twice(node):
        document.fault(place, f"{key} stands twice", "take one out")
    _validate(document)
    return document


def _broken(name: str, line: int, what: str, fix: str) -> Document:
    return Document(name, {}, None, faults=[Fault(name, line, "", what, fix)])


def _validate(document: Document) -> None:
    """Each entry by itself: a wrong one hides nothing of the others."""
    good: dict[str, list[Any]] = {part: [] for part in PARTS}
    for part, shape in PARTS.items():
        listed = document.data.get(part, [])
        if not isinstance(listed, list):
            document.fault((part,), f"{_short(listed)} is no list", "a list of entries, each begins with `-`")
            continue
        for number, raw in enumerate(listed):
            read_one = _checked(document, shape, raw, (part, number))
            if read_one is not None:
                document.entries[id(read_one)] = (part, number)
                good[part].append(read_one)
    if "models" not in document.data:
        document.fault(("models",), "is missing", "`models:` and a list of models")
    rest = {key: value for key, value in document.data.items() if key not in PARTS}
    head = dict(_checked(document, Head, rest, ()) or _any_head(good["models"]))
    document.catalogue = Catalogue.model_construct(**{**head, **good})


def _any_head(models: list[Model]) -> Head:
    """In place of a head that is wrong: the models are checked as if their GPUs held anything."""
    groups = {name for model in models for name in model.groups}
    return Head.model_construct(gpu_memory_gib=dict.fromkeys(groups, math.inf), gpu_memory_utilization=1.0)


def _checked(document: Document, shape: type[BaseModel], raw: Any, place: Place) -> Any:
    try:
        return shape.model_validate(raw)
    except ValidationError as error:
        told: set[tuple[int, str]] = set()
        for each in error.errors():
            where, known = _known(document, (*place, *each["loc"]), each["type"])
            if (key := (document.line(where), document.name(where))) not in told:
                told.add(key)
                document.fault(where, *_said(each, shape, known))
        return None


def _known(document: Document, place: Place, kind: str) -> tuple[Place, str]:
    """The place without the parts that pydantic adds for unions and keys, and the name of the field."""
    value: Any = document.data
    for number, step in enumerate(place):
        if not _holds(value, step):
            place = place[: number + 1] if kind == "missing" else place[:number]
            break
        value = value[step]
    names = [step for step in place if isinstance(step, str)]
    return place, names[-1] if names else ""


def _said(error: Any, shape: type[BaseModel], known: str) -> tuple[str, str]:
    if error["type"] == "extra_forbidden":
        fields = [*_fields(shape)]
        near = difflib.get_close_matches(known, fields, 1)
        return "unknown field", f"did you mean {near[0]}?" if near else f"take it out; there are: {', '.join(fields)}"
    described = {name: info.description or "" for name, info in _fields(shape).items()}
    names = [step for step in error["loc"] if step in described]
    fix = described[names[-1]] if names else "see apps/gateway/README.md"
    if error["type"] == "missing":
        return "is missing", fix
    return f"{_short(error['input'])}: {error['msg'][:1].lower()}{error['msg'][1:]}", fix


def _fields(shape: type[BaseModel]) -> dict[str, Any]:
    """The fields of a shape and of those inside it."""
    from rayops.models.schema import File, Shadow, Variant

    inner: dict[type[BaseModel], type[BaseModel]] = {Model: File, Split: Shadow, Head: Variant}
    fields = dict(shape.model_fields)
    return {**fields, **inner[shape].model_fields} if shape in inner else fields


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _holds(value: Any, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


def _mappings(listed: Any) -> Iterator[dict[str, Any]]:
    yield from (each for each in listed if isinstance(each, dict)) if isinstance(listed, list) else ()


def _child(node: yaml.Node | None, step: str | int) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        child = node.value[step]
        return child.start_mark.line + 1, child
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return key.start_mark.line + 1, value
    return None


def _twice(root: yaml.Node | None) -> Iterator[tuple[Place, str]]:
    """Keys that stand twice in a mapping; YAML itself takes the last one. A node behind an alias is seen once."""
    nodes: list[tuple[yaml.Node | None, Place]] = [(root, ())]
    seen: set[int] = set()
    while nodes:
        node, place = nodes.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += [(child, (*place, number)) for number, child in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            keys = [str(key.value) for key, _ in node.value]
            yield from (((*place, key), key) for key in dict.fromkeys(keys) if keys.count(key) > 1)
            nodes += [(child, (*place, key.value)) for key, child in node.value]
