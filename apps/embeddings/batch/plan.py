"""Cut the input into shards by content, so that a change of the input changes the shards around it and no others.

Rows are taken in order; a shard ends after a row whose digest is a multiple of `target`, once it has a quarter of
`target` rows, and in any case at four times `target`. So a file more or less, a changed row, or rows at a file's end
move no border but those near them (a line in the middle of a file renumbers the rest of that file). The name of a shard
is the digest of its rows and of all that makes their vectors: a shard that is there need not be made again.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.embeddings.batch.rows import InputError, Row, files, read

DIGEST_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive rows of one file: `count` of them from `position` on."""

    file: str
    position: int
    count: int


@dataclass(frozen=True, slots=True)
class Shard:
    """A piece of the work; small, whatever its rows are."""

    name: str
    segments: tuple[Segment, ...]
    rows: int


@dataclass(slots=True)
class _Cut:
    """The shard that is being gathered."""

    segments: list[Segment]
    rows: int
    digest: "hashlib._Hash"

    @classmethod
    def new(cls, key: str) -> "_Cut":
        return cls([], 0, hashlib.sha256(key.encode()))

    def add(self, file: str, row: Row) -> None:
        self.digest.update(row.digest)
        self.rows += 1
        last = self.segments[-1] if self.segments else None
        if last and last.file == file:
            self.segments[-1] = Segment(file, last.position, last.count + 1)
        else:
            self.segments.append(Segment(file, row.position, 1))

    def shard(self) -> Shard:
        return Shard(self.digest.hexdigest()[:DIGEST_CHARACTERS], tuple(self.segments), self.rows)


def plan(source: Path, column: str, key: str, target: int) -> Iterator[Shard]:
    """Yield the shards of the input; it is read once, and nothing of it is kept.

    Args:
        source: a folder or a file.
        column: of .jsonl and Parquet.
        key: all that makes the vectors of a text: another key is another name for every shard.
        target: rows of a shard, about.

    Raises:
        InputError: there is no input, or none of it has the column.
    """
    cut, useful = _Cut.new(key), False
    root = source if source.is_dir() else source.parent
    for path in files(source):
        name = path.relative_to(root).as_posix()
        for row in read(path, name, column):
            useful = useful or not row.reason.startswith("no column")
            cut.add(name, row)
            if cut.rows >= 4 * target or (4 * cut.rows >= target and _is_border(row, target)):
                yield cut.shard()
                cut = _Cut.new(key)
    if cut.rows:
        yield cut.shard()
    if not useful:
        raise InputError(f"--column {column}: no row of {source} has it")


def _is_border(row: Row, target: int) -> bool:
    return int.from_bytes(row.digest[:8], "big") % target == 0


def rows_of(shard: Shard, source: Path, column: str, key: str) -> Iterator[Row]:
    """Yield the rows of a shard again.

    Raises:
        InputError: they are not what they were when the work was cut.
    """
    root = source if source.is_dir() else source.parent
    seen = _Cut.new(key)
    for segment in shard.segments:
        found = read(root / segment.file, segment.file, column, segment.position)
        for row in _first(found, segment.count):
            seen.add(segment.file, row)
            yield row
    if seen.shard().name != shard.name:
        raise InputError(f"{', '.join(each.file for each in shard.segments)}: changed while it was read; run it again")


def _first(rows: Iterator[Row], count: int) -> Iterator[Row]:
    for _ in range(count):
        row = next(rows, None)
        if row is None:
            return
        yield row
