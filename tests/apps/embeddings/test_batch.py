"""Batch inference: rows and their reasons, shards by content, resuming, progress, and one run with Ray Data itself."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from apps.common.onnx_text import Embedder
from apps.embeddings.batch import rows
from apps.embeddings.batch.__main__ import main
from apps.embeddings.batch.output import Done, Output, whole
from apps.embeddings.batch.plan import Shard, plan, rows_of
from apps.embeddings.batch.rows import InputError, Row
from apps.embeddings.batch.run import Progress, make_here
from apps.embeddings.batch.shard import Work, from_json, to_json
from apps.embeddings.encoder import Encoder


def write_jsonl(path: Path, values: Sequence[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{value if isinstance(value, str) else json.dumps(value)}\n" for value in values))


def texts(count: int, of: str = "apples") -> list[dict[str, str]]:
    return [{"text": f"{number} {of}"} for number in range(count)]


class Batch:
    """The command over one input and one output, without Ray; `made` are the shards that a run made."""

    def __init__(self, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]):
        self.input, self.output = folder / "in", folder / "out"
        self.input.mkdir()
        self._model, self._capsys = model, capsys
        self.made: list[str] = []
        self.said = self.erred = ""

    def _make(self, shards: Sequence[Shard], work: Work) -> Iterator[Done]:
        for done in make_here(shards, work):
            self.made.append(done.name)
            yield done

    def run(self, *more: str) -> int:
        self.made = []
        given = ["--input", str(self.input), "--output", str(self.output), "--models", str(self._model.parent), *more]
        code = main([*given, "--shard-rows", "10"], make=self._make)
        self.said, self.erred = self._capsys.readouterr()
        return code

    def rows(self) -> dict[str, Any]:
        files = sorted((self.output / "embeddings").glob("*.parquet"))
        return {row["id"]: row for file in files for row in parquet.read_table(file).to_pylist()}

    def json(self, name: str) -> Any:
        return json.loads((self.output / name).read_text())

    def rejects(self) -> dict[str, str]:
        lines = (self.output / "rejects.jsonl").read_text().splitlines()
        return {value["id"]: value["reason"] for value in map(json.loads, lines)}


@pytest.fixture
def batch(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> Batch:
    return Batch(tmp_path, model, capsys)


def test_every_row_of_a_folder_gets_its_vector(batch: Batch, embedder: Embedder) -> None:
    write_jsonl(batch.input / "a/b.jsonl", [{"text": "A cat sits."}, {"text": "x " * 600}])
    (batch.input / "guide.md").write_text("# Moon\n\nThe wombat lands.\n\n## Food\n\nIt eats cheese.\n")
    (batch.input / "note.txt").write_text("The train leaves at seven.\n")
    (batch.input / "picture.png").write_bytes(b"\x89PNG")
    parquet.write_table(pa.table({"text": ["Third.", "Fourth."]}), batch.input / "p.parquet")
    assert batch.run() == 0
    found = batch.rows()
    assert list(found) == [
        "a/b.jsonl:1", "a/b.jsonl:2", "guide.md:3-3", "guide.md:7-7", "note.txt:1-1", "p.parquet:1", "p.parquet:2",
    ]  # fmt: skip
    for row in found.values():
        np.testing.assert_allclose(row["embedding"], embedder.embed([row["text"]])[0], atol=1e-5)
        assert row["tokens"] == len(embedder.tokenize([row["text"]])[0])
    assert [row["cut"] for row in found.values()] == [False, True, *[False] * 5]
    assert found["guide.md:7-7"]["text"] == "It eats cheese."
    assert batch.json("progress.json")["state"] == "done"
    assert [shard["rows"] for shard in batch.json("manifest.json")["shards"]] == [7]


BAD = {
    "null": {"text": None},
    "not text but int": {"text": 5},
    "not text but list": {"text": ["a"]},
    "empty": {"text": " \n"},
    "32769 characters, 32768 are the most": {"text": "x" * 32769},
    "half of a surrogate pair": {"text": "\ud83d"},
    "no column 'text'": {"txt": "a"},
    "not a JSON object": [1],
    "not JSON": "{oops",
}


def test_bad_rows_are_counted_and_kept_with_their_reason(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LINE_BYTES", 200_000)
    long = '{"text": "' + "x" * 500_000 + '"}'
    write_jsonl(batch.input / "a.jsonl", [*BAD.values(), long, "", {"text": "good"}, "[" * 100_000])
    (batch.input / "b.txt").write_bytes(b"\xff\xfe\xff")
    assert batch.run() == 0
    assert list(batch.rows()) == ["a.jsonl:12"]
    reasons = batch.rejects()
    assert list(reasons.values()) == [*BAD, "a line of more than 200000 bytes", "not JSON", "not UTF-8"]
    assert list(reasons)[-3:] == ["a.jsonl:10", "a.jsonl:13", "b.txt"]
    progress = batch.json("progress.json")
    assert (progress["rejected"], progress["rows_done"], progress["rows_total"]) == (12, 13, 13)
    assert "12 rows rejected" in batch.said


def test_parquet_rows_are_checked_too(batch: Batch) -> None:
    column = pa.array(["one", None, "", "two"])
    parquet.write_table(pa.table({"body": column, "other": [1, 2, 3, 4]}), batch.input / "a.parquet", row_group_size=2)
    batch.input = batch.input / "a.parquet"
    assert batch.run("--column", "body") == 0
    assert [row["text"] for row in batch.rows().values()] == ["one", "two"]
    assert batch.rejects() == {"a.parquet:2": "null", "a.parquet:3": "empty"}
    assert batch.run("--column", "other") == 0
    assert set(batch.rejects().values()) == {"not text but int"}


def test_a_second_run_makes_nothing_and_says_so(batch: Batch) -> None:
    write_jsonl(batch.input / "a.jsonl", texts(100))
    assert batch.run() == 0
    shards = len(batch.made)
    assert shards > 3
    assert batch.said.count("\nshard ") == shards
    assert f"shard {shards}/{shards} " in batch.said
    assert "rows_done=100/100 rows/s=" in batch.said
    files = {path: path.stat().st_mtime_ns for path in (batch.output / "embeddings").iterdir()}
    assert batch.run() == 0
    assert batch.made == []
    assert f"{shards} are there, 0 to make" in batch.said
    assert f"0 shards made, {shards} reused" in batch.said
    assert {path: path.stat().st_mtime_ns for path in (batch.output / "embeddings").iterdir()} == files
    assert batch.json("progress.json") | {"elapsed_s": 0} == {
        "state": "done", "shards_done": shards, "shards_total": shards, "shards_reused": shards, "rows_done": 100,
        "rows_total": 100, "rejected": 0, "rows_per_s": 0.0, "eta_s": 0.0, "elapsed_s": 0,
    }  # fmt: skip


def test_a_change_makes_the_shards_around_it_again(batch: Batch) -> None:
    for name in "abc":
        write_jsonl(batch.input / f"{name}.jsonl", texts(60, name))
    assert batch.run() == 0
    before = set(batch.made)
    changed = texts(60, "b")
    changed[30] = {"text": "a pear"}
    write_jsonl(batch.input / "b.jsonl", changed)
    assert batch.run() == 0
    assert 1 <= len(batch.made) <= 3
    assert "a pear" in {row["text"] for row in batch.rows().values()}
    assert len(batch.rows()) == 180, "what the changed shards had before is gone"
    write_jsonl(batch.input / "aa.jsonl", texts(5, "plums"))
    assert batch.run() == 0
    assert 1 <= len(batch.made) <= 3, "a file in between renumbers no other"
    (batch.input / "aa.jsonl").unlink()
    write_jsonl(batch.input / "b.jsonl", texts(60, "b"))
    assert batch.run() == 0
    assert set(batch.made) < before
    assert len(batch.rows()) == 180
    assert len(list((batch.output / "shards").iterdir())) == len(before)


def test_another_model_or_column_is_other_work(batch: Batch) -> None:
    write_jsonl(batch.input / "a.jsonl", [{**value, "body": "x"} for value in texts(20)])
    assert batch.run() == 0
    first = batch.rows()
    assert batch.run("--model", "all-minilm-l6-v2-int8") == 0
    assert batch.made
    assert batch.rows()["a.jsonl:1"]["embedding"] != first["a.jsonl:1"]["embedding"]
    assert batch.run("--column", "body") == 0
    assert {row["text"] for row in batch.rows().values()} == {"x"}


def test_a_run_that_died_goes_on_where_it_was(batch: Batch) -> None:
    write_jsonl(batch.input / "a.jsonl", texts(100))

    def dying(shards: Sequence[Shard], work: Work) -> Iterator[Done]:
        for number, done in enumerate(make_here(shards, work)):
            if number == 2:
                raise RuntimeError("the node is gone")
            yield done

    real, batch._make = batch._make, dying  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        batch.run()
    assert batch.json("progress.json")["shards_done"] == 2
    assert not (batch.output / "manifest.json").exists()
    batch._make = real  # type: ignore[method-assign]
    assert batch.run() == 0
    # The third was finished although nobody had heard of it.
    assert "3 are there" in batch.said
    assert len(batch.rows()) == 100


@pytest.mark.parametrize("damage", ["gone", "cut", "record"])
def test_a_shard_with_a_damaged_file_is_made_again(batch: Batch, damage: str) -> None:
    write_jsonl(batch.input / "a.jsonl", [*texts(50), {"text": None}])
    assert batch.run() == 0
    name = batch.made[-1]
    output = Output(batch.output)
    if damage == "gone":
        output.rejects(name).unlink()
    elif damage == "cut":
        output.embeddings(name).write_bytes(output.embeddings(name).read_bytes()[:-10])
    else:
        output.record(name).write_text("{")
    assert batch.run() == 0
    assert batch.made == [name]


def test_an_input_that_changes_meanwhile_is_told(batch: Batch) -> None:
    write_jsonl(batch.input / "a.jsonl", texts(50))

    class RayTaskError(Exception):
        def __init__(self, cause: Exception):
            self.cause = cause

    def changing(shards: Sequence[Shard], work: Work) -> Iterator[Done]:
        write_jsonl(batch.input / "a.jsonl", texts(50, "pears"))
        try:
            yield from make_here(shards, work)
        except InputError as error:
            raise RayTaskError(error) from None

    batch._make = changing  # type: ignore[method-assign]
    assert batch.run() == 1
    assert "a.jsonl: changed while it was read" in batch.erred
    assert not list((batch.output / "embeddings").glob("*.parquet"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--input", "/nowhere"], "--input /nowhere: no such folder or file"),
        (["--column", "body"], "--column body: no row of"),
        (["--model", "gpt"], "--model gpt: there is no exported model in"),
        (["--output", "/proc/here"], "/proc/here"),
    ],
)
def test_wrong_arguments_are_one_line_and_code_2(batch: Batch, more: list[str], message: str) -> None:
    write_jsonl(batch.input / "a.jsonl", texts(3))
    assert batch.run(*more) == 2
    assert batch.erred.startswith("error: ")
    assert message in batch.erred
    assert batch.erred.count("\n") == 1


def test_wrong_files_are_one_line_and_code_2(batch: Batch) -> None:
    assert batch.run() == 2
    assert "nothing in it ends in .jsonl" in batch.erred
    (batch.input / "a.parquet").write_bytes(b"PAR1 no")
    assert batch.run() == 2
    assert "cannot be read as Parquet" in batch.erred
    parquet.write_table(pa.table({"body": ["x"]}), batch.input / "a.parquet")
    assert batch.run() == 2
    assert "has the columns body" in batch.erred
    for bad in ("0", "-1", "x"):
        with pytest.raises(SystemExit) as stopped:
            batch.run("--batch-size", bad)
        assert stopped.value.code == 2


def test_without_pandas_the_error_says_where_it_lies(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_jsonl(batch.input / "a.jsonl", texts(1))
    monkeypatch.setitem(sys.modules, "ray.data", None)
    folders = ["--input", str(batch.input), "--output", str(batch.output), "--models", str(batch._model.parent)]
    assert main(folders) == 2
    assert "PYTHONPATH=/srv/pipeline:/srv/batch" in capsys.readouterr().err


def test_rows_are_read_again_from_any_position(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [*texts(30), "", {"text": None}, *texts(30, "pears")])
    parquet.write_table(pa.table({"text": [f"p{n}" for n in range(25)]}), tmp_path / "b.parquet", row_group_size=7)
    (tmp_path / "c.md").write_text("".join(f"## {n}\n\ntext {n}\n\n" for n in range(20)))
    whole_input = [
        row for path in rows.files(tmp_path) for row in rows.read(path, path.relative_to(tmp_path).as_posix(), "text")
    ]
    shards = list(plan(tmp_path, "text", "key", 8))
    assert len(shards) > 5
    assert any(len(shard.segments) > 1 for shard in shards), "shards go over the ends of files"
    again = [row for shard in shards for row in rows_of(from_json(to_json(shard)), tmp_path, "text", "key")]
    assert again == whole_input
    assert len({row.id for row in again}) == len(again) == 106
    assert max(shard.rows for shard in shards) <= 32


def test_a_row_that_is_no_more_there_is_seen(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", texts(5))
    (shard,) = plan(tmp_path, "text", "key", 100)
    write_jsonl(tmp_path / "a.jsonl", texts(4))
    with pytest.raises(InputError, match="changed while it was read"):
        list(rows_of(shard, tmp_path, "text", "key"))


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def fail() -> None:
        with whole(tmp_path / "a") as scratch:
            scratch.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []
    with whole(tmp_path / "a") as scratch:
        scratch.write_text("all")
        assert not (tmp_path / "a").exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_the_time_that_is_left_follows_from_what_is_made_now() -> None:
    progress = Progress(shards=4, rows=100, reused=1)
    progress.keep(Done("a", 40, 0, "", ""))
    assert progress.facts("running")["eta_s"] is None, "what was there says nothing about the speed"
    progress.started -= 10
    progress.made(Done("b", 15, 5, "", ""))
    facts = progress.facts("running")
    assert facts["rows_per_s"] == pytest.approx(2, abs=0.1)
    assert facts["eta_s"] == pytest.approx(20, abs=1)
    assert "shard 2/4 b rows=15 rejected=5 rows_done=60/100 rows/s=2.0" in progress.line(Done("b", 15, 5, "", ""))


def test_tokens_are_counted_beyond_the_cut(model: Path) -> None:
    encoder = Encoder(model)
    assert encoder.lengths(["cat", "cat " * 254, "cat " * 255, "cat " * 1000]) == [3, 256, 257, 1002]


def test_rows_of_equal_text_differ_by_their_place() -> None:
    assert Row("a:1", "x", "", 0).digest != Row("a:2", "x", "", 0).digest


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    import ray

    ray.init(num_cpus=2, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("ray_here")
def test_ray_data_makes_the_shards_and_a_second_run_none(
    tmp_path: Path, model: Path, embedder: Embedder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(tmp_path / "in/a.jsonl", [*texts(40), {"text": None}])
    given = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out"), "--models", str(model.parent)]
    assert main([*given, "--shard-rows", "10", "--concurrency", "2"]) == 0
    said = capsys.readouterr().out
    assert said.count("\nshard ") > 1
    tables = [parquet.read_table(path) for path in (tmp_path / "out/embeddings").iterdir()]
    found = {row["text"]: row["embedding"] for table in tables for row in table.to_pylist()}
    assert len(found) == 40
    np.testing.assert_allclose(found["7 apples"], embedder.embed(["7 apples"])[0], atol=1e-5)
    monkeypatch.setattr("ray.data.from_items", None)
    assert main([*given, "--shard-rows", "10"]) == 0
    assert "0 shards made" in capsys.readouterr().out
