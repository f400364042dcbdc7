"""PostgreSQL with pgvector: a server that several replicas of VectorStore share."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from apps.common.onnx_text import Vectors
from apps.common.retrieval.index import IndexedDocument
from apps.common.retrieval.stores.base import Origin, StoredDocument
from apps.common.retrieval.types import Chunk, Hit

_POOL_TIMEOUT_S = 10.0
_SCHEMA = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS {documents} (
  name text PRIMARY KEY, digest text NOT NULL, origin text NOT NULL, chunks int NOT NULL);
CREATE TABLE IF NOT EXISTS {chunks} (
  document text NOT NULL REFERENCES {documents} ON DELETE CASCADE, number int NOT NULL, section text NOT NULL,
  first_line int NOT NULL, last_line int NOT NULL, text text NOT NULL, vector vector({width}) NOT NULL,
  PRIMARY KEY (document, number));
CREATE INDEX IF NOT EXISTS {nearest} ON {chunks} USING hnsw (vector vector_cosine_ops);
CREATE TABLE IF NOT EXISTS {version} (n bigint NOT NULL);
INSERT INTO {version} SELECT 0 WHERE NOT EXISTS (SELECT FROM {version});
"""


class PostgresStore:
    """Three tables in one database: passages, documents, and a counter of changes.

    Args:
        dsn: a libpq connection string or URI.
        table: name of the table of passages and prefix of the two others; letters, digits and `_` only.
        width: numbers in a vector.

    Raises:
        psycopg.Error: the server cannot be reached or lacks pgvector.
    """

    kind = "postgres"
    durable = True

    def __init__(self, dsn: str, table: str = "rag_chunks", width: int = 384):
        from psycopg import sql
        from psycopg_pool import ConnectionPool

        self._sql = sql
        self._names = {
            "chunks": sql.Identifier(table),
            "documents": sql.Identifier(f"{table}_documents"),
            "version": sql.Identifier(f"{table}_version"),
            "nearest": sql.Identifier(f"{table}_nearest"),
            "width": sql.Literal(width),
        }
        # Advisory locks are numbers: one for each table name.
        self._lock = int.from_bytes(hashlib.sha256(table.encode()).digest()[:8], "big", signed=True)
        self._create(dsn)
        self._pool: Any = ConnectionPool(
            dsn, min_size=1, max_size=4, timeout=_POOL_TIMEOUT_S, configure=_register, open=True
        )

    def version(self) -> int:
        """Return the counter of changes."""
        with self._pool.connection() as connection:
            row = connection.execute(self._query("SELECT n FROM {version}")).fetchone()
        return int(row[0])

    def documents(self) -> dict[str, StoredDocument]:
        """Return what is known of every document."""
        with self._pool.connection() as connection:
            rows = connection.execute(self._query("SELECT name, digest, origin, chunks FROM {documents}")).fetchall()
        return {name: StoredDocument(digest, origin, chunks) for name, digest, origin, chunks in rows}

    def write(self, documents: Sequence[IndexedDocument], origin: Origin, remove: Sequence[str] = ()) -> None:
        """Replace and remove documents in one transaction."""
        names = [*remove, *(document.name for document in documents)]
        with self._pool.connection() as connection, connection.transaction():
            connection.execute(self._query("UPDATE {version} SET n = n + 1"))
            connection.execute(self._query("DELETE FROM {documents} WHERE name = ANY(%s)"), [names])
            with connection.cursor() as cursor:
                facts = [(d.name, d.digest, origin, len(d.chunks)) for d in documents]
                cursor.executemany(self._query("INSERT INTO {documents} VALUES (%s, %s, %s, %s)"), facts)
                rows = [row for document in documents for row in _rows(document)]
                cursor.executemany(self._query("INSERT INTO {chunks} VALUES (%s, %s, %s, %s, %s, %s, %s)"), rows)

    def search(self, vector: Vectors, limit: int) -> list[Hit]:
        """Return the nearest passages by the HNSW index."""
        query = self._query(
            "SELECT document, section, first_line, last_line, text, 1 - (vector <=> %(v)s) FROM {chunks}"
            " ORDER BY vector <=> %(v)s LIMIT %(n)s"
        )
        with self._pool.connection() as connection, connection.transaction():
            # HNSW looks at this many candidates and can return no more of them.
            connection.execute("SELECT set_config('hnsw.ef_search', %s, true)", [str(min(1000, max(40, 2 * limit)))])
            rows = connection.execute(query, {"v": np.asarray(vector, np.float32), "n": limit}).fetchall()
        return [Hit(Chunk(*row[:5]), float(row[5])) for row in rows]

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold an advisory lock on the table."""
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [self._lock])
            yield

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _query(self, text: str) -> Any:
        return self._sql.SQL(text).format(**self._names)

    def _create(self, dsn: str) -> None:
        import psycopg

        with psycopg.connect(dsn, connect_timeout=int(_POOL_TIMEOUT_S)) as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [self._lock])
            connection.execute(self._query(_SCHEMA))


def _register(connection: Any) -> None:
    from pgvector.psycopg import register_vector

    register_vector(connection)
    connection.commit()


def _rows(document: IndexedDocument) -> Iterator[tuple[Any, ...]]:
    for number, (chunk, vector) in enumerate(zip(document.chunks, document.vectors, strict=True)):
        yield chunk.document, number, chunk.section, chunk.first_line, chunk.last_line, chunk.text, vector
