"""Rows of a folder or a Parquet file, read as a stream; what is no text is a row with a reason."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.common.retrieval.chunking import chunk_document

TEXT_CHARACTERS = 32_768
LINE_BYTES = 4_000_000
PARQUET_ROWS = 1024
SUFFIXES = (".jsonl", ".md", ".txt", ".parquet")


class InputError(Exception):
    """The input cannot be used; the message is for the person who named it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One text, or why there is none.

    Args:
        id: where it stands: file and line, lines of a passage, or number of a Parquet row (from 1).
        text: None where there is none.
        reason: of a row without a text, or of one that is too long; else empty.
        position: where its file is read from to get it again: a byte of .jsonl, else a number of rows.
    """

    id: str
    text: str | None
    reason: str
    position: int

    @property
    def digest(self) -> bytes:
        """SHA-256 of what the output says about it."""
        return hashlib.sha256(f"{self.id}\0{self.reason}\0{self.text}".encode("utf-8", "surrogatepass")).digest()


def files(source: Path) -> list[Path]:
    """Return the files of the input in order: the file itself, or those below a folder.

    Raises:
        InputError: there is none.
    """
    if source.is_file() and source.suffix in SUFFIXES:
        return [source]
    if source.is_dir():
        found = sorted(path for path in source.rglob("*") if path.suffix in SUFFIXES and path.is_file())
        if found:
            return found
    raise InputError(f"--input {source}: no such folder or file, or nothing in it ends in {', '.join(SUFFIXES)}")


def read(path: Path, name: str, column: str, start: int = 0) -> Iterator[Row]:
    """Yield the rows of one file from a position on; `name` is what their ids say.

    Raises:
        InputError: the file is not what its name says, or has no such column.
    """
    readers: dict[str, Callable[..., Iterator[Row]]] = {".jsonl": _jsonl, ".parquet": _parquet}
    return readers.get(path.suffix, _passages)(path, name, column, start)


def checked(value: Any, position: int, where: str) -> Row:
    """Return the row of a value, with the reason when it cannot be embedded."""
    if value is None:
        return Row(where, None, "null", position)
    if not isinstance(value, str):
        return Row(where, None, f"not text but {type(value).__name__}", position)
    if not value.strip():
        return Row(where, value, "empty", position)
    if len(value) > TEXT_CHARACTERS:
        return Row(where, None, f"{len(value)} characters, {TEXT_CHARACTERS} are the most", position)
    try:
        value.encode()
    except UnicodeEncodeError:
        return Row(where, None, "half of a surrogate pair", position)
    return Row(where, value, "", position)


def _jsonl(path: Path, name: str, column: str, start: int) -> Iterator[Row]:
    with path.open("rb") as file:
        # The number of a line is in its id: the lines before are counted, not parsed.
        number = _lines_before(path, start)
        file.seek(start)
        while True:
            position = file.tell()
            line = file.readline(LINE_BYTES + 1)
            if not line:
                return
            number += 1
            if len(line) > LINE_BYTES and not line.endswith(b"\n"):
                _skip_line(file.readline)
                yield Row(f"{name}:{number}", None, f"a line of more than {LINE_BYTES} bytes", position)
            elif line.strip():
                yield _json_row(line, column, position, f"{name}:{number}")


def _lines_before(path: Path, start: int) -> int:
    count = 0
    with path.open("rb") as file:
        while start > 0:
            block = file.read(min(start, 1 << 20))
            count += block.count(b"\n")
            start -= len(block)
    return count


def _skip_line(readline: Callable[[int], bytes]) -> None:
    while (part := readline(LINE_BYTES)) and not part.endswith(b"\n"):
        pass


def _json_row(line: bytes, column: str, position: int, where: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Row(where, None, "not JSON", position)
    if not isinstance(value, dict):
        return Row(where, None, "not a JSON object", position)
    if column not in value:
        return Row(where, None, f"no column {column!r}", position)
    return checked(value[column], position, where)


def _passages(path: Path, name: str, column: str, start: int) -> Iterator[Row]:  # noqa: ARG001
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        if start == 0:
            yield Row(name, None, "not UTF-8", 0)
        return
    for number, chunk in enumerate(chunk_document(name, text)):
        if number >= start:
            yield checked(chunk.text, number, f"{name}:{chunk.first_line}-{chunk.last_line}")


def _parquet(path: Path, name: str, column: str, start: int) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            if column not in file.schema_arrow.names:
                raise InputError(f"--column {column}: {path} has the columns {', '.join(file.schema_arrow.names)}")
            groups, number = _groups_from(file.metadata, start)
            for batch in file.iter_batches(PARQUET_ROWS, row_groups=groups, columns=[column]):
                for value in batch.column(0).to_pylist():
                    if number >= start:
                        yield checked(value, number, f"{name}:{number + 1}")
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"--input {path}: cannot be read as Parquet ({error})") from error


def _groups_from(metadata: Any, start: int) -> tuple[list[int], int]:
    """Return the row groups from the one that holds row `start`, and the number of its first row."""
    first = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if first + rows > start:
            return list(range(group, metadata.num_row_groups)), first
        first += rows
    return [], first
