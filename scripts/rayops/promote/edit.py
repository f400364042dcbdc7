"""Change one value of a file and leave every other byte as it is: comments, quotes, layout.

ruamel.yaml tells where a value stands; the text is changed there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rayops.errors import RayopsError

Span = tuple[int, int]


def digests(text: str) -> dict[str, str]:
    """The digest of each entry of `images` that has one, by the entry's name."""
    return {name: text[start:end].strip("'\"") for name, (start, end) in _digest_spans(text)}


def set_digest(text: str, name: str, digest: str) -> str:
    """The same text with another digest for an image. RayopsError where the image has no digest in it."""
    for found, (start, end) in _digest_spans(text):
        if found == name:
            return text[:start] + digest + text[end:]
    raise RayopsError(f"images has no digest for {name}", hint=f"add {{name: {name}, digest: {digest}}}")


def _digest_spans(text: str) -> Iterator[tuple[str, Span]]:
    images = dict(_sections(text)).get("images")
    for entry in images.value if isinstance(images, SequenceNode) else []:
        fields = {key.value: value for key, value in entry.value} if isinstance(entry, MappingNode) else {}
        name, digest = fields.get("name"), fields.get("digest")
        if isinstance(name, ScalarNode) and isinstance(digest, ScalarNode):
            yield name.value, (digest.start_mark.index, digest.end_mark.index)


def value(text: str, key: str) -> Any:
    """The parsed value of a key at the top, None where it is not there."""
    return (yaml.safe_load(text) or {}).get(key)


def section(text: str, key: str) -> str | None:
    """The lines of a key at the top, with the comments in them; None where it is not there."""
    span = _lines_of(text, key)
    return None if span is None else text[span[0] : span[1]]


def set_section(text: str, key: str, lines: str) -> str:
    """The same text with other lines for a key at the top. RayopsError where it has none."""
    span = _lines_of(text, key)
    if span is None:
        raise RayopsError(f"{key} is missing", hint=f"add a line {key}: []")
    return text[: span[0]] + lines + text[span[1] :]


def _lines_of(text: str, key: str) -> Span | None:
    """From a key's line to the next key's; comments and empty lines right above a key are that key's."""
    starts = [(name, node.start_mark.line) for name, node in _keys(text)]
    lines = text.splitlines(keepends=True)
    for number, (name, line) in enumerate(starts):
        if name == key:
            end = starts[number + 1][1] if number + 1 < len(starts) else len(lines)
            while end > line + 1 and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
                end -= 1
            return len("".join(lines[:line])), len("".join(lines[:end]))
    return None


def _keys(text: str) -> list[tuple[str, Node]]:
    return [(key.value, key) for key, _ in _mapping(text)]


def _sections(text: str) -> list[tuple[str, Node]]:
    return [(key.value, found) for key, found in _mapping(text)]


def _mapping(text: str) -> list[tuple[Any, Any]]:
    try:
        node = YAML().compose(text)
    except YAMLError as error:
        raise RayopsError(f"no YAML: {' '.join(str(error).split())}") from error
    return list(node.value) if isinstance(node, MappingNode) else []


def read(file: Path) -> str:
    """The text of a kustomization. RayopsError that names the file where it is no YAML."""
    text = file.read_text("utf-8")
    try:
        _mapping(text)
    except RayopsError as error:
        raise RayopsError(f"{file}: {error.message}") from error
    return text


def setting(text: str, name: str) -> str | None:
    """The value of NAME=VALUE in an .env file, None where it is not there."""
    return next((line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{name}=")), None)


def set_setting(text: str, name: str, new: str) -> str:
    """The same text with another value for NAME."""
    lines = [f"{name}={new}\n" if line.startswith(f"{name}=") else line for line in text.splitlines(keepends=True)]
    return "".join(lines)
