"""LanceDB: a table in a folder of one process; the default store.

Search is exact (no approximate index): at 384 numbers a passage, 100,000 passages are 150 MB and some tens of
milliseconds. One process writes; the deployment VectorStore therefore has one replica.
"""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from apps.common.onnx_text import Vectors
from apps.common.retrieval.index import IndexedDocument
from apps.common.retrieval.stores.base import Origin, StoredDocument
from apps.common.retrieval.types import Chunk, Hit

_TABLE = "chunks"
# Every write keeps the version before it; they are thrown away this often.
_WRITES_PER_CLEANING = 50
_COLUMNS = ["document", "section", "first_line", "last_line", "text"]


class LanceStore:
    """A LanceDB table of passages.

    Args:
        folder: kept between runs; a temporary one, removed by `close`, when None.
        width: numbers in a vector.
    """

    kind = "lancedb"

    def __init__(self, folder: Path | None, width: int = 384):
        import lancedb

        self.durable = folder is not None
        self._scratch = None if folder else tempfile.mkdtemp(prefix="rag-index-")
        self._width = width
        database = lancedb.connect(str(folder or self._scratch))
        self._table = database.create_table(_TABLE, schema=_schema(width), exist_ok=True)
        self._writes = 0
        self._documents = self._read_documents()

    def version(self) -> int:
        """Return LanceDB's own version of the table."""
        return int(self._table.version)

    def documents(self) -> dict[str, StoredDocument]:
        """Return what is known of every document; only this process writes, so memory is right."""
        return dict(self._documents)

    def write(self, documents: Sequence[IndexedDocument], origin: Origin, remove: Sequence[str] = ()) -> None:
        """Replace and remove documents in one commit."""
        names = [*remove, *(document.name for document in documents)]
        merge = self._table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
        merge.when_not_matched_by_source_delete(_in(names)).execute(self._rows(documents, origin))
        for name in remove:
            self._documents.pop(name, None)
        for document in documents:
            self._documents[document.name] = StoredDocument(document.digest, origin, len(document.chunks))
        self._clean()

    def search(self, vector: Vectors, limit: int) -> list[Hit]:
        """Return the nearest passages by exact search."""
        query = self._table.search(vector).distance_type("cosine").select([*_COLUMNS, "_distance"]).limit(limit)
        return [
            Hit(Chunk(*(row[column] for column in _COLUMNS)), 1.0 - float(row["_distance"])) for row in query.to_list()
        ]

    def exclusive(self) -> AbstractContextManager[None]:
        """Return an empty context: nobody else writes."""
        return nullcontext()

    def close(self) -> None:
        """Remove the temporary folder."""
        if self._scratch:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _clean(self) -> None:
        self._writes += 1
        if self._writes % _WRITES_PER_CLEANING == 0:
            self._table.optimize(cleanup_older_than=timedelta(0))

    def _rows(self, documents: Sequence[IndexedDocument], origin: Origin) -> Any:
        import pyarrow

        schema = _schema(self._width)
        rows = [
            (f"{document.name}#{number}", document.digest, origin, chunk)
            for document in documents
            for number, chunk in enumerate(document.chunks)
        ]
        vectors = np.concatenate([document.vectors for document in documents]) if rows else np.zeros((0,), np.float32)
        columns = [[row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]]
        columns += [[getattr(row[3], name) for row in rows] for name in _COLUMNS]
        flat = pyarrow.array(vectors.reshape(-1), pyarrow.float32())
        arrays = [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=False)]
        return pyarrow.table([*arrays, pyarrow.FixedSizeListArray.from_arrays(flat, self._width)], schema=schema)

    def _read_documents(self) -> dict[str, StoredDocument]:
        found: dict[str, StoredDocument] = {}
        for row in self._table.search().select(["document", "digest", "origin"]).limit(None).to_list():
            count = found[row["document"]].chunks if row["document"] in found else 0
            found[row["document"]] = StoredDocument(row["digest"], row["origin"], count + 1)
        return found


def _schema(width: int) -> Any:
    import pyarrow

    text = {name: pyarrow.string() for name in ("key", "digest", "origin", "document", "section")}
    lines = {name: pyarrow.int32() for name in ("first_line", "last_line")}
    vector = pyarrow.list_(pyarrow.float32(), width)
    return pyarrow.schema({**text, **lines, "text": pyarrow.string(), "vector": vector})


def _in(names: Sequence[str]) -> str:
    quoted = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    return f"document IN ({quoted})"
