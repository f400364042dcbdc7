"""What is done: every file appears whole, and a shard counts only with its digests.

embeddings/SHARD.parquet   id, text, tokens, cut, embedding
rejects/SHARD.jsonl        id and reason of each row that is no text; only where there are any
shards/SHARD.json          rows and digests of both, written after them: the shard is done
manifest.json              all shards of the last finished run, in the order of the input
progress.json              how far the run is
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.embeddings.batch.plan import Shard


@dataclass(frozen=True, slots=True)
class Done:
    """A finished shard: rows with a vector, rows without, and the SHA-256 of its files ("" where there is none)."""

    name: str
    rows: int
    rejected: int
    embeddings: str
    rejects: str


class Output:
    """The folder that a run writes to; any number of processes may write different shards.

    Raises:
        OSError: the folder cannot be made or written to.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        for part in ("embeddings", "rejects", "shards"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        with whole(folder / ".writable"):
            pass
        (folder / ".writable").unlink()

    def embeddings(self, shard: str) -> Path:
        """Return where the vectors of a shard are."""
        return self.folder / "embeddings" / f"{shard}.parquet"

    def rejects(self, shard: str) -> Path:
        """Return where the rows without a vector of a shard are."""
        return self.folder / "rejects" / f"{shard}.jsonl"

    def record(self, shard: str) -> Path:
        """Return where it says that a shard is done."""
        return self.folder / "shards" / f"{shard}.json"

    def finish_shard(self, name: str, rows: int, rejected: int) -> Done:
        """Say that the files of a shard are there."""
        rejects = digest_of(self.rejects(name)) if rejected else ""
        done = Done(name, rows, rejected, digest_of(self.embeddings(name)), rejects)
        write_json(self.record(name), asdict(done))
        return done

    def find(self, shard: Shard) -> Done | None:
        """Return the record of a shard whose files are there as they were written, else None."""
        try:
            done = Done(**json.loads(self.record(shard.name).read_text()))
            intact = digest_of(self.embeddings(shard.name)) == done.embeddings and (
                not done.rejected or digest_of(self.rejects(shard.name)) == done.rejects
            )
        except (OSError, ValueError, TypeError):
            return None
        return done if intact and done.rows + done.rejected == shard.rows else None

    def finish(self, shards: Sequence[Done], facts: dict[str, Any]) -> int:
        """Take away what belongs to no shard, write the manifest, and return how many files went."""
        names = {shard.name for shard in shards}
        old = [path for part in ("embeddings", "rejects", "shards") for path in (self.folder / part).iterdir()]
        stale = [path for path in old if path.name.split(".")[0] not in names]
        for path in stale:
            path.unlink()
        write_json(self.folder / "manifest.json", {**facts, "shards": [asdict(shard) for shard in shards]})
        with whole(self.folder / "rejects.jsonl") as scratch, scratch.open("wb") as file:
            for shard in shards:
                if shard.rejected:
                    with self.rejects(shard.name).open("rb") as part:
                        shutil.copyfileobj(part, file)
        return len(stale)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends well and vanishes when it does not."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.touch()
        yield scratch
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON; the file appears whole."""
    with whole(path) as scratch:
        scratch.write_text(json.dumps(value, indent=1) + "\n")


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
