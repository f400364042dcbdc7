"""One run: cut the work, leave out what is done, make the rest, and say how far it is."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.embeddings.batch.output import Done, Output, write_json
from apps.embeddings.batch.plan import Shard, plan
from apps.embeddings.batch.rows import TEXT_CHARACTERS, InputError
from apps.embeddings.batch.shard import ShardMaker, Work, to_json

FORMAT = 1
MakeShards = Callable[[Sequence[Shard], Work], Iterator[Done]]
Log = Callable[[str], None]


@dataclass(slots=True)
class Progress:
    """How far a run is; `line` for the log and `facts` for progress.json."""

    shards: int
    rows: int
    reused: int
    shards_done: int = 0
    rows_done: int = 0
    rejected: int = 0
    made_rows: int = 0
    started: float = field(default_factory=time.monotonic)

    def keep(self, done: Done) -> None:
        """Count a shard that was there."""
        self._count(done)

    def made(self, done: Done) -> None:
        """Count a shard that was made now."""
        self._count(done)
        self.made_rows += done.rows + done.rejected

    def _count(self, done: Done) -> None:
        self.shards_done += 1
        self.rows_done += done.rows + done.rejected
        self.rejected += done.rejected

    def facts(self, state: str) -> dict[str, Any]:
        """Return the numbers: `rows_per_s` of what is made now, `eta_s` of what is left (None: not known yet)."""
        elapsed = time.monotonic() - self.started
        rate = self.made_rows / elapsed if self.made_rows and elapsed > 0 else 0.0
        left = self.rows - self.rows_done
        return {
            "state": state,
            "shards_done": self.shards_done,
            "shards_total": self.shards,
            "shards_reused": self.reused,
            "rows_done": self.rows_done,
            "rows_total": self.rows,
            "rejected": self.rejected,
            "rows_per_s": round(rate, 1),
            "eta_s": round(left / rate, 1) if rate else (0.0 if not left else None),
            "elapsed_s": round(elapsed, 1),
        }

    def line(self, done: Done) -> str:
        """Return what the log says of a finished shard."""
        facts = self.facts("running")
        return (
            f"shard {self.shards_done}/{self.shards} {done.name[:12]} rows={done.rows} rejected={done.rejected}"
            f" rows_done={self.rows_done}/{self.rows} rows/s={facts['rows_per_s']} eta_s={facts['eta_s']}"
        )


def make_key(model: Path, column: str, max_tokens: int) -> str:
    """Return all that makes the vectors of a text.

    Raises:
        FileNotFoundError: the model is not there.
    """
    description = json.loads((model / "model.json").read_text())
    return json.dumps([FORMAT, description["digest"], max_tokens, TEXT_CHARACTERS, column])


def run(work: Work, shard_rows: int, make: MakeShards, log: Log) -> Progress:
    """Bring the output to the input and return the numbers of the run.

    Raises:
        InputError: the input cannot be used, or changed while it was read.
        OSError: the output cannot be written.
    """
    output = Output(work.output)
    shards = list(plan(work.source, work.column, work.key, shard_rows))
    found = {shard.name: output.find(shard) for shard in shards}
    there = [done for done in found.values() if done]
    progress = Progress(len(shards), sum(shard.rows for shard in shards), len(there))
    for done in there:
        progress.keep(done)
    missing = [shard for shard in shards if not found[shard.name]]
    log(f"{len(shards)} shards with {progress.rows} rows: {len(there)} are there, {len(missing)} to make")
    _show(output, progress, "running")
    for new in make(missing, work) if missing else ():
        found[new.name] = new
        progress.made(new)
        _show(output, progress, "running")
        log(progress.line(new))
    removed = output.finish([each for each in found.values() if each], {"key": work.key})
    _show(output, progress, "done")
    facts = progress.facts("done")
    log(
        f"done: {len(missing)} shards made, {len(there)} reused, {progress.rejected} rows rejected (rejects.jsonl),"
        f" {removed} files of earlier inputs removed, {facts['elapsed_s']} s"
    )
    return progress


def _show(output: Output, progress: Progress, state: str) -> None:
    write_json(output.folder / "progress.json", progress.facts(state))


def make_here(shards: Sequence[Shard], work: Work) -> Iterator[Done]:
    """Make shards in this process, one after the other."""
    maker = ShardMaker(work)
    for shard in shards:
        yield maker.make(shard)


def make_with_ray(concurrency: int) -> MakeShards:
    """Return what makes shards with Ray Data, by `concurrency` actors that each hold the model and one CPU.

    Only names of shards travel through Ray: an actor reads its rows and writes its files itself, so memory is bounded
    by the rows that an actor holds, whatever the size of the input.
    """

    def make(shards: Sequence[Shard], work: Work) -> Iterator[Done]:
        try:
            import ray.data
        except ImportError as error:
            hint = "in the pipeline image set PYTHONPATH=/srv/pipeline:/srv/batch (base/components/batch does)"
            raise InputError(f"Ray Data cannot be imported, {error}; {hint}") from error

        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        # A block a shard: actors take them one by one, and the log has a line as soon as one is done.
        items = [{"shard": to_json(shard)} for shard in shards]
        tasks = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            ShardMaker,
            fn_constructor_args=(work,),
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=concurrency),
        )
        for row in tasks.iter_rows():
            yield Done(**json.loads(row["done"]))

    return make
