"""JSON schemas over plain objects, fast, with messages and paths for people."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

Schema = dict[str, Any]
Path = tuple[str, ...]
# What names an item of a list; the order of rayops.review.changes.
KEYS = ("groupName", "name", "mountPath", "key", "containerPort", "port", "type", "apiGroup")
SHOWN = 60


@dataclass(frozen=True)
class Problem:
    """path: the field, list items as `[name]`. unknown: the field is one that the schema does not have."""

    path: Path
    message: str
    unknown: bool = False


@dataclass(frozen=True)
class Validator:
    """A compiled schema (JSON Schema 2020-12; references only inside it)."""

    schema: Schema

    @cached_property
    def _compiled(self) -> Any:
        import jsonschema_rs

        return jsonschema_rs.Draft202012Validator(self.schema)

    def problems(self, instance: Any) -> list[Problem]:
        """Everything that does not fit, by path; the same each time."""
        found = {problem for error in self._compiled.iter_errors(instance) for problem in self._told(error, instance)}
        return sorted(found, key=lambda problem: (problem.path, problem.message))

    def _told(self, error: "ValidationError", instance: Any) -> Iterator[Problem]:
        kind = error.kind.as_dict()
        if kind.get("unexpected") is not None:
            known = self._names(error.schema_path)
            for name in kind["unexpected"]:
                near = difflib.get_close_matches(name, known, n=1)
                said = f"no field {_short(name)} here" + (f"; is it {near[0]}?" if near else "")
                yield Problem((*named(error.instance_path, instance), str(name)), said, unknown=True)
        elif "context" in kind:
            yield from self._branches(error, kind["context"], instance)
        else:
            yield Problem(named(error.instance_path, instance), _message(error, kind))

    def _branches(self, error: "ValidationError", branches: Iterable[Any], instance: Any) -> Iterator[Problem]:
        """The branch of anyOf or oneOf that was meant: the one that has the type; else what it may be."""
        place = list(error.instance_path)
        types: list[str] = []
        for branch in branches:
            at_root = [each for each in branch if list(each.instance_path) == place]
            wrong = [
                each.kind.as_dict() for each in at_root if each.kind.as_dict().get("name", each.kind.name) == "type"
            ]
            if not wrong:
                for each in branch:
                    yield from self._told(each, instance)
                return
            types += [name for kind in wrong for name in kind["types"] if name not in types]
        wanted = " or ".join(types) or "another value"
        yield Problem(named(place, instance), f"{_short(error.instance)} is no {wanted}")

    def _names(self, schema_path: Iterable[Any]) -> list[str]:
        """The fields that the schema at a path has, references followed."""
        here: Any = self.schema
        for part in list(schema_path)[:-1]:
            here = self._followed(here)
            here = here[part] if isinstance(here, list | dict) and _has(here, part) else {}
        return list(self._followed(here).get("properties") or {})

    def _followed(self, here: Any) -> Any:
        while isinstance(here, dict) and "$ref" in here:
            here = self.schema["$defs"][here["$ref"].rpartition("/")[2]]
        return here


def named(path: Iterable[Any], instance: Any) -> Path:
    """A path with positions in lists as `[name]`, where the items have names that differ; else `[2]`."""
    made: list[str] = []
    here = instance
    for part in path:
        if isinstance(here, list) and isinstance(part, int):
            made.append(f"[{_name(here, part)}]")
        else:
            made.append(str(part))
        here = here[part] if isinstance(here, list | dict) and _has(here, part) else None
    return tuple(made)


def _name(items: list[Any], position: int) -> str:
    for key in KEYS:
        if all(isinstance(item, dict) and key in item for item in items):
            names = [str(item[key]) for item in items]
            if len(set(names)) == len(names):
                return names[position]
    return str(position)


def _has(node: Any, part: Any) -> bool:
    return part in node if isinstance(node, dict) else isinstance(part, int) and part < len(node)


def _message(error: "ValidationError", kind: dict[str, Any]) -> str:
    value, name = _short(error.instance), error.kind.name
    match name:
        case "type":
            return f"{value} is no {' or '.join(kind['types'])}"
        case "required":
            return f"{kind['property']} is missing"
        case "enum":
            return f"{value} is none of {', '.join(map(str, kind.get('options') or error.kind.value))}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            sign = {"minimum": "at least", "maximum": "at most"}.get(
                name, "more than" if "Min" in name else "less than"
            )
            return f"{value} is not {sign} {kind['limit']}"
        case "pattern":
            return f"{value} does not match {error.kind.value}"
        case "minItems" | "maxItems":
            return f"{value} has too {'few' if name == 'minItems' else 'many'} items"
        case _:
            return " ".join(str(error.message).split())[:200]


def _short(value: Any) -> str:
    """A value for a message, on one line."""
    text = repr(value) if isinstance(value, str) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
