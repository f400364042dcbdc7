"""Corpora, indexes, and the one way to make them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response

from apps.common import prepare
from apps.common.onnx_text import Embedder
from apps.common.paths import data_dir, models_dir
from apps.common.retrieval import corpus, index


def test_this_repository_is_read_by_its_own_globs(tmp_path: Path) -> None:
    wanted = ["README.md", "apps/rag/README.md", "base/decisions/0001-x.md", "base/observability/runbooks/y.md"]
    for name in [*wanted, "docs/other.md", "apps/rag/deep/README.md", "base/README.md"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    assert [document.name for document in corpus.read_corpus(tmp_path)] == wanted


def test_a_folder_is_read_whole_and_an_empty_one_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no document"):
        list(corpus.read_corpus(tmp_path))
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("ä", "utf-8")
    (tmp_path / "b.pdf").write_bytes(b"%PDF")
    assert list(corpus.read_corpus(tmp_path)) == [corpus.Document("sub/a.txt", "ä")]


def test_a_list_of_urls_is_fetched(
    tmp_path: Path, serving: Callable[[Any], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serving(Response("# Remote\n\nfrom afar\n", media_type="text/markdown"))
    listing = tmp_path / "urls.txt"
    listing.write_text(f"# my documents\n\n{url}/a.md\n")
    assert list(corpus.read_corpus(listing)) == [corpus.Document(f"{url}/a.md", "# Remote\n\nfrom afar\n")]
    monkeypatch.setattr(corpus, "URL_BYTES", 5)
    with pytest.raises(ValueError, match="larger than 5 bytes"):
        list(corpus.read_corpus(listing))


def test_the_index_is_read_as_it_was_written(tmp_path: Path, embedder: Embedder) -> None:
    documents = [
        corpus.Document("b.md", "# B\n\none\n\n## C\n\ntwo\n"),
        corpus.Document("empty.md", ""),
        corpus.Document("a.md", "x"),
    ]
    written = index.write_index(tmp_path, documents, embedder)
    assert set(written) == {"a.md", "b.md"}
    read = list(index.read_index(tmp_path, embedder.digest))
    assert [(document.name, len(document.chunks), document.vectors.shape) for document in read] == [
        ("b.md", 2, (2, 384)),
        ("a.md", 1, (1, 384)),
    ]
    assert {document.name: document.digest for document in read} == written
    with pytest.raises(ValueError, match="another embedding model"):
        list(index.read_index(tmp_path, "other"))
    with pytest.raises(ValueError, match="no text"):
        index.write_index(tmp_path, [corpus.Document("e", " ")], embedder)


def test_unchanged_documents_are_not_embedded_again(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, changed, same = corpus.Document("a", "old"), corpus.Document("a", "new"), corpus.Document("b", "same")
    index.write_index(tmp_path / "1", [old, same], embedder)
    embedded = []

    def spy(document: corpus.Document, encoder: Embedder) -> index.IndexedDocument:
        embedded.append(document)
        return real(document, encoder)

    real = index.index_document
    monkeypatch.setattr(index, "index_document", spy)
    index.write_index(tmp_path / "2", [changed, same], embedder, tmp_path / "1")
    assert embedded == [changed]
    index.write_index(tmp_path / "3", [changed, same], embedder, tmp_path / "none")
    assert (tmp_path / "3" / "vectors.npy").read_bytes() == (tmp_path / "2" / "vectors.npy").read_bytes()
    monkeypatch.setattr(index, "_code", lambda: "other")
    embedded.clear()
    index.write_index(tmp_path / "4", [same], embedder, tmp_path / "1")
    assert embedded == [same]


def test_the_digest_depends_on_content_not_on_order() -> None:
    assert index.digest_of("m", {"a": "1", "b": "2"}) == index.digest_of("m", {"b": "2", "a": "1"})
    assert (
        len({index.digest_of("m", {"a": "1"}), index.digest_of("n", {"a": "1"}), index.digest_of("m", {"a": "2"})}) == 3
    )


def test_preparing_twice_makes_once_and_a_change_makes_again(tmp_path: Path, model: Path) -> None:
    source, data = tmp_path / "docs", tmp_path / "data"
    source.mkdir()
    (source / "a.md").write_text("# A\n\none\n")
    arguments = ["--models", str(model.parent), "--data", str(data), "--corpus", str(source)]
    prepare.main(arguments)
    first = (data / "index" / "index.json").stat().st_mtime_ns
    prepare.main(arguments)
    assert (data / "index" / "index.json").stat().st_mtime_ns == first
    (source / "a.md").write_text("# A\n\ntwo\n")
    prepare.main(arguments)
    assert "two" in (data / "index" / "chunks.jsonl").read_text()
    assert sorted(path.name for path in data.iterdir()) == ["index"]


def test_a_failed_preparation_leaves_what_was_there(tmp_path: Path) -> None:
    def make(out: Path) -> None:
        out.mkdir()
        (out / "half").touch()
        raise RuntimeError("broken")

    prepare._make_once(tmp_path / "x", "1", lambda out: out.mkdir())
    with pytest.raises(RuntimeError):
        prepare._make_once(tmp_path / "x", "2", make)
    assert [path.name for path in (tmp_path / "x").iterdir()] == [".prepared"]
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_two_that_prepare_at_once_end_with_one_result(tmp_path: Path) -> None:
    def make(out: Path) -> None:
        out.mkdir()
        prepare._make_once(tmp_path / "x", "1", lambda other: other.mkdir())

    prepare._make_once(tmp_path / "x", "1", make)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_the_index_has_its_own_command(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.md").write_text("# A\n\none\n")
    index.main(["--models", str(model.parent), "--corpus", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "1 documents" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "index.json").read_text())["documents"].keys() == {"a.md"}


def test_folders_come_from_arguments_then_the_environment_then_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE_MODELS", raising=False)
    assert models_dir() == Path("/srv/models")
    monkeypatch.setitem(os.environ, "PIPELINE_DATA", "/d")
    assert data_dir() == Path("/d")
    assert data_dir(Path("/e")) == Path("/e")
