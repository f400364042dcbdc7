"""YAML and JSON of strangers: objects, or one clear error with the line, whatever the bytes are.

Bounded before anything is built: the size of the text, its depth, and what its aliases stand for ("billion laughs").
Values are those of JSON: what YAML would take for a date stays text, keys are text, as in the API server.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rayops.errors import RayopsError
from rayops.render.objects import Obj

if TYPE_CHECKING:
    import yaml

# Larger files are no manifests (etcd takes 1.5 MiB of one object); nobody writes deeper ones by hand.
MAX_BYTES = 8 * 2**20
MAX_DEPTH = 100
MAX_NODES = 1_000_000


def load_file(path: Path, name: str = "") -> list[Obj]:
    """The objects of a file. RayopsError with name:line where it cannot be read as such."""
    name = name or str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _too_large(name, path.stat().st_size)
        return load_all(path.read_bytes().decode("utf-8-sig"), name)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise RayopsError(f"{name}:{line}: no text in UTF-8", hint="is it a text file?") from error
    except OSError as error:
        raise RayopsError(f"{name}: {error.strerror or error}") from error


def load_all(text: str, name: str) -> list[Obj]:
    """The objects of a text with any number of documents, those inside `kind: List` one by one.

    Empty ones are left out. RayopsError with name:line where it is no YAML or JSON, a document is no mapping, or the
    text is beyond the bounds.
    """
    objects: list[Obj] = []
    for line, document in documents(text, name):
        if not isinstance(document, dict):
            raise RayopsError(f"{name}:{line}: a mapping is wanted here, not {_kind(document)}")
        inner = document.get("items")
        if str(document.get("kind", "")).endswith("List") and isinstance(inner, list):
            if not all(isinstance(item, dict) for item in inner):
                raise RayopsError(f"{name}:{line}: items of a {document['kind']} are objects")
            objects.extend(inner)
        else:
            objects.append(document)
    return objects


def documents(text: str, name: str) -> list[tuple[int, Any]]:
    """Each document that is not empty, with the line of its first word. RayopsError as load_all."""
    import yaml

    if len(text) > MAX_BYTES:
        raise _too_large(name, len(text))
    if text.lstrip()[:1] in ("{", "[") and (found := _json(text)) is not None:
        return [(1, found)]
    try:
        bound(text, name)
        loader = _loader()(text)
        try:
            return list(_documents(loader))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(str(error.problem or error.context or error).split())
        raise RayopsError(f"{name}:{mark.line + 1 if mark else 1}: no YAML: {problem}") from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # a character YAML has not; a number of 5,000 digits
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise RayopsError(f"{name}:{line}: no YAML: {' '.join(str(error).split())[:200]}") from error
    except RecursionError as error:
        raise RayopsError(f"{name}:1: nested too deeply") from error


def bound(text: str, name: str) -> None:
    """RayopsError where a text is nested too deeply, or its aliases stand for too much; it is only scanned."""
    import yaml

    sizes: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []  # anchor and size of each collection that is not yet closed
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        size = 0
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            open_.append((event.anchor, 1))
            if len(open_) > MAX_DEPTH:
                raise RayopsError(f"{name}:{line}: nested more than {MAX_DEPTH} deep")
        elif isinstance(event, yaml.AliasEvent):
            size = sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            size = 1
            if event.anchor:
                sizes[event.anchor] = 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            anchor, size = open_.pop()
            if anchor:
                sizes[anchor] = size
        if open_ and size:
            anchor, before = open_[-1]
            open_[-1] = (anchor, before + size)
        if size > MAX_NODES:
            raise RayopsError(f"{name}:{line}: its aliases stand for more than {MAX_NODES} values")


def _documents(loader: Any) -> Iterator[tuple[int, Any]]:
    while loader.check_node():
        node = loader.get_node()
        document = loader.construct_document(node)
        if document is not None and document != {}:
            yield node.start_mark.line + 1, plain(document)


_LOADER: type[Any] | None = None


def _loader() -> "type[yaml.SafeLoader]":
    """PyYAML's safe loader in C, which leaves dates as they are written."""
    global _LOADER
    if _LOADER is None:
        import yaml

        base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

        class Loader(base):  # type: ignore[misc]
            yaml_implicit_resolvers: ClassVar = {
                first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
                for first, rules in base.yaml_implicit_resolvers.items()
            }

        _LOADER = Loader
    return _LOADER


def plain(value: Any) -> Any:
    """Values of JSON only: keys are text; what YAML has besides (sets, bytes, dates by tag) is text too."""
    if isinstance(value, dict):
        return {_key(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    return "null" if key is None else str(key)


def _json(text: str) -> Any:
    """The value of a JSON text; None where it is no JSON (it may be YAML in flow style)."""
    depth = most = 0
    for sign in text:  # also counts brackets inside strings: those are balanced or the text is refused as YAML is
        if sign in "[{":
            depth += 1
            most = max(most, depth)
        elif sign in "]}":
            depth -= 1
    if most > MAX_DEPTH:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _kind(document: Any) -> str:
    return {list: "a list", str: "text", bool: "a boolean"}.get(type(document), "a number")


def _too_large(name: str, size: int) -> RayopsError:
    return RayopsError(f"{name}:1: {size / 2**20:.1f} MiB are too large for a manifest, at most {MAX_BYTES >> 20} MiB")
