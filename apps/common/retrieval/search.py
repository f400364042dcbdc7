"""The store and its index facts as one service, in the replica of VectorStore or in any process."""

import os
from pathlib import Path

from apps.common.errors import PipelineError
from apps.common.onnx_text import Vectors
from apps.common.retrieval.index import IndexedDocument, digest_of, read_index
from apps.common.retrieval.settings import StoreArgs
from apps.common.retrieval.stores.base import VectorStore, synchronise
from apps.common.retrieval.types import IndexInfo, Ingested, Retrieved


def open_store(args: StoreArgs) -> VectorStore:
    """Open the store that `args` names.

    Raises:
        KeyError: the variable with the connection string is not set.
    """
    if args.kind == "postgres":
        from apps.common.retrieval.stores.postgres import PostgresStore

        return PostgresStore(os.environ[args.dsn_variable], args.table)
    from apps.common.retrieval.stores.lance import LanceStore

    return LanceStore(args.path)


class SearchService:
    """Search and ingest, with the facts of the index in every answer.

    Args:
        store: an open store.
        model_digest: of the embedding model; vectors of another one are refused.
        prepared: folder of the prepared index, which the store is brought to; None leaves the store as it is.
        read_only: nothing but `prepared` is ever written, so every service over it answers alike.
    """

    def __init__(self, store: VectorStore, model_digest: str, prepared: Path | None, *, read_only: bool = False):
        self._store = store
        self._model = model_digest
        self._read_only = read_only
        # What comes from the image outlives a replica, whatever the store does with the rest.
        self._durable = store.durable or read_only
        if prepared is not None:
            synchronise(store, read_index(prepared, model_digest))
        self._info = (-1, IndexInfo(store.kind, "", 0, 0, self._durable))

    def info(self) -> IndexInfo:
        """Return the facts of the index, computed again only after a change."""
        version = self._store.version()
        if version != self._info[0]:
            documents = self._store.documents()
            digest = digest_of(self._model, {name: document.digest for name, document in documents.items()})
            chunks = sum(document.chunks for document in documents.values())
            facts = IndexInfo(self._store.kind, digest, len(documents), chunks, self._durable)
            self._info = (version, facts)
        return self._info[1]

    def search(self, vector: Vectors, limit: int) -> Retrieved:
        """Return the nearest passages to one vector ((width,) float32)."""
        return Retrieved(self._store.search(vector, limit), self.info())

    def has(self, name: str, digest: str) -> Ingested | None:
        """Return the answer to an ingest that would change nothing, else None.

        Raises:
            PipelineError: 403, it would change something and the store is read-only.
        """
        present = self._store.documents().get(name)
        if present is None or present.digest != digest:
            if self._read_only:
                message = "this environment serves the documents of its image; a document comes in with the next image"
                raise PipelineError(403, "read_only", message)
            return None
        return Ingested(name, "unchanged", present.chunks, self.info())

    def ingest(self, document: IndexedDocument) -> Ingested:
        """Put one document in place of the one of the same name.

        Raises:
            PipelineError: 403, the store is read-only.
        """
        with self._store.exclusive():
            unchanged = self.has(document.name, document.digest)
            if unchanged:
                return unchanged
            known = document.name in self._store.documents()
            self._store.write([document], "api")
        return Ingested(document.name, "updated" if known else "created", len(document.chunks), self.info())

    def close(self) -> None:
        """Close the store."""
        self._store.close()
