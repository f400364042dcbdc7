"""Make one shard: read its rows again, embed them some at a time, write its files."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apps.embeddings.batch.output import Done, Output, whole
from apps.embeddings.batch.plan import Segment, Shard, rows_of
from apps.embeddings.batch.rows import Row
from apps.embeddings.encoder import Encoder

# Rows that are in memory with their vectors at the same time, and a row group of the output.
ROWS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Work:
    """What every worker must know.

    Args:
        source: the input.
        output: folder of the output; workers, driver and input share one file system.
        model: folder of the exported model.
        column: of .jsonl and Parquet.
        key: see plan.plan.
        batch_size: texts of one run of the model.
        max_tokens: longer texts are cut.
    """

    source: Path
    output: Path
    model: Path
    column: str
    key: str
    batch_size: int
    max_tokens: int


class ShardMaker:
    """Holds the model; `make` is the work, calling it is the same for Ray Data's map_batches.

    Raises:
        FileNotFoundError: the model is not there.
    """

    def __init__(self, work: Work):
        self._work = work
        self._encoder = Encoder(work.model, threads=1, max_tokens=work.max_tokens)
        self._output = Output(work.output)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Make the shards of a column "shard" (JSON) and return a column "done" (JSON)."""
        made = [self.make(from_json(str(text))) for text in batch["shard"]]
        return {"done": [json.dumps(asdict(done)) for done in made]}

    def make(self, shard: Shard) -> Done:
        """Write the files of a shard.

        Raises:
            InputError: the input is not what it was when the work was cut.
        """
        import pyarrow as pa
        from pyarrow import parquet

        work, written, rejected = self._work, 0, list[str]()
        vector = pa.list_(pa.float32(), self._encoder.width)
        fields = {"id": pa.string(), "text": pa.string(), "tokens": pa.int32(), "cut": pa.bool_(), "embedding": vector}
        schema = pa.schema(fields)
        with whole(self._output.embeddings(shard.name)) as scratch, parquet.ParquetWriter(scratch, schema) as writer:
            for rows in in_groups(rows_of(shard, work.source, work.column, work.key), ROWS_AT_ONCE):
                rejected += [json.dumps({"id": row.id, "reason": row.reason}) for row in rows if row.reason]
                good = [row for row in rows if not row.reason]
                if good:
                    writer.write_table(pa.table(self._columns(good, vector), schema))
                    written += len(good)
        if rejected:
            with whole(self._output.rejects(shard.name)) as scratch:
                scratch.write_text("".join(f"{line}\n" for line in rejected))
        return self._output.finish_shard(shard.name, written, len(rejected))

    def _columns(self, rows: list[Row], vector: Any) -> dict[str, Any]:
        import pyarrow as pa

        texts = [row.text or "" for row in rows]
        vectors = self._encoder.embed(texts, self._work.batch_size)
        tokens = self._encoder.lengths(texts)
        flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
        return {
            "id": [row.id for row in rows],
            "text": texts,
            "tokens": [min(count, self._encoder.max_tokens) for count in tokens],
            "cut": [count > self._encoder.max_tokens for count in tokens],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, type=vector),
        }


def in_groups(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Yield the rows in lists of `size`, the last one shorter."""
    held: list[Row] = []
    for row in rows:
        held.append(row)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


def to_json(shard: Shard) -> str:
    """Return a shard as it travels through Ray Data."""
    return json.dumps(asdict(shard))


def from_json(text: str) -> Shard:
    """Return the shard that `to_json` wrote."""
    value = json.loads(text)
    return Shard(value["name"], tuple(Segment(**each) for each in value["segments"]), value["rows"])
