"""A new environment in the catalogue: wherever another one stands, and nothing else of the text is touched."""

from collections.abc import Iterator
from typing import Any

import yaml

from rayops.models.document import NAMES


def with_environment(text: str, source: str, name: str) -> str:
    """The catalogue with an environment that has the models and splits of `source`, on the same worker groups."""
    added = sorted(_places(yaml.compose(text, Loader=yaml.SafeLoader), source, name), reverse=True)
    for place, words in added:
        text = text[:place] + words + text[place:]
    return text


def _places(root: Any, source: str, name: str) -> Iterator[tuple[int, str]]:
    """Where something is put in, from 0, and what."""
    for entry in (entry for part in NAMES for entry in _items(_field(root, part))):
        for node in _items(_field(entry, "environments")):
            if node.value == source:
                flow = _field(entry, "environments").flow_style
                yield node.end_mark.index, f", {name}" if flow else f"\n{' ' * (node.start_mark.column - 2)}- {name}"
        groups = _field(entry, "group")
        for key, value in groups.value if isinstance(groups, yaml.MappingNode) else ():
            if key.value == source:
                between = ", " if groups.flow_style else f"\n{' ' * key.start_mark.column}"
                yield value.end_mark.index, f"{between}{name}: {value.value}"


def _field(node: Any, name: str) -> Any:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _items(node: Any) -> list[Any]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
