"""The generated parts of files that belong to others: between two comment lines; the rest stays byte for byte."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from rayops.models.document import Fault

BEGIN, END = "# rayops models: begin", "# rayops models: end"
WIDTH = 120
PAGE_BEGIN, PAGE_END = "<!-- rayops models: begin -->", "<!-- rayops models: end -->"


@dataclass(frozen=True)
class Block:
    """A pair of markers in a serve.yaml. begin, end: their lines from 0; holder: `args` or `user_config`."""

    begin: int
    end: int
    indent: str
    application: str
    import_path: str
    holder: str


class WrongBlockError(Exception):
    """A file whose markers are not where a generated part can stand."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


def find(text: str, name: str) -> list[Block]:
    """The blocks of a serve.yaml, from top to bottom. WrongBlockError where markers are missing or out of place."""
    lines = text.splitlines()
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or error
        line = mark.line + 1 if mark else 1
        raise WrongBlockError(Fault(name, line, "", f"no YAML: {said}", "mend the line")) from error
    return [_block(root, lines, begin, end, name) for begin, end in _pairs(lines, name)]


def _pairs(lines: list[str], name: str) -> Iterator[tuple[int, int]]:
    begin = None
    for number, line in enumerate(lines):
        word = line.strip()
        if word not in (BEGIN, END):
            continue
        if (word == BEGIN) == (begin is not None):
            raise WrongBlockError(Fault(name, number + 1, "", f"{word[2:]} out of turn", "one begin, then one end"))
        if word == END and begin is not None:
            yield begin, number
        begin = number if word == BEGIN else None
    if begin is not None:
        raise WrongBlockError(Fault(name, begin + 1, "", "begins and does not end", f"a line `{END}`"))


def _block(root: Any, lines: list[str], begin: int, end: int, name: str) -> Block:
    """Which application's `args` or Ingress' `user_config` a pair of markers stands in."""
    indent = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
    application = _last(_value(root, "applications"), begin)
    holder = _key(application, begin)
    if holder == "deployments":
        holder = _key(_last(_value(application, "deployments"), begin), begin)
    if holder not in ("args", "user_config"):
        fix = "put the two lines below `args:` or below the Ingress' `user_config:`"
        raise WrongBlockError(Fault(name, begin + 1, "", "is in no args and no user_config", fix))
    called, made = (str(getattr(_value(application, key), "value", "")) for key in ("name", "import_path"))
    return Block(begin, end, indent, called, made, holder)


def _value(node: Any, name: str) -> Any:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((value for key, value in pairs if key.value == name), None)


def _last(node: Any, line: int) -> Any:
    """The last item of a list that begins before a line."""
    items = node.value if isinstance(node, yaml.SequenceNode) else []
    return next((item for item in reversed(items) if item.start_mark.line < line), None)


def _key(node: Any, line: int) -> str | None:
    """The last key of a mapping before a line."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((str(key.value) for key, _ in reversed(pairs) if key.start_mark.line < line), None)


def put(text: str, filled: list[tuple[Block, dict[str, Any]]]) -> str:
    """The same text with other YAML in the blocks."""
    lines = text.splitlines(keepends=True)
    for block, content in sorted(filled, key=lambda each: each[0].begin, reverse=True):
        lines[block.begin + 1 : block.end] = [f"{block.indent}{line}\n" for line in dump(content, block.indent)]
    return "".join(lines)


def dump(content: dict[str, Any], indent: str = "") -> list[str]:
    """YAML lines in the style of the files: what has no list or mapping inside stands on one line, if it fits."""
    return _lines(content, WIDTH - len(indent))


def _lines(value: Any, width: int) -> list[str]:
    if isinstance(value, dict) and value:
        return [line for key, inner in value.items() for line in _field(_flow(key), inner, width)]
    if isinstance(value, list) and value:
        return [line for item in value for line in _item(item, width - 2)]
    return [_flow(value)]


def _field(key: str, value: Any, width: int) -> list[str]:
    line = f"{key}: {_flow(value)}" if _is_leaf(value) else ""
    if line and (len(line) <= width or not value or not isinstance(value, dict | list)):
        return [line]
    step = "" if isinstance(value, list) else "  "  # the dashes of a list stand below its key
    return [f"{key}:", *(f"{step}{line}" for line in _lines(value, width - len(step)))]


def _item(value: Any, width: int) -> list[str]:
    leaf = _flow(value) if _is_leaf(value) else ""
    first, *rest = [leaf] if leaf and len(leaf) <= width else _lines(value, width)
    return [f"- {first}", *(f"  {line}" for line in rest)]


def _is_leaf(value: Any) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(each, dict | list) for each in inner)


def _flow(value: Any) -> str:
    text = _dumped(value, None)
    return text if "\n" not in text else _dumped(value, '"')  # a line end in a text stays an escape


def _dumped(value: Any, quote: str | None) -> str:
    text = yaml.safe_dump(value, sort_keys=False, default_flow_style=True, default_style=quote, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")


def put_page(text: str, table: str, name: str) -> str:
    """A Markdown page with another table between its markers. WrongBlockError where they are missing."""
    before, begin, rest = text.partition(PAGE_BEGIN)
    _, end, after = rest.partition(PAGE_END)
    if not (begin and end):
        missing = PAGE_BEGIN if not begin else PAGE_END
        raise WrongBlockError(Fault(name, 1, "", "has no place for the table", f"a line {missing}"))
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"
