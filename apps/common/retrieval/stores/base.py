"""What a vector store must do, and how it is brought to the state of a prepared index."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from apps.common.onnx_text import Vectors
from apps.common.retrieval.index import IndexedDocument
from apps.common.retrieval.types import Hit

Origin = Literal["corpus", "api"]


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What the store knows of a document besides its passages."""

    digest: str
    origin: Origin
    chunks: int


class VectorStore(Protocol):
    """Passages with their vectors. Methods block; they may be called from several threads at once."""

    kind: str
    durable: bool

    def version(self) -> int:
        """Return a number that grows with every change; cheap enough to ask on every search."""

    def documents(self) -> dict[str, StoredDocument]:
        """Return every document by name."""

    def write(self, documents: Sequence[IndexedDocument], origin: Origin, remove: Sequence[str] = ()) -> None:
        """Put `documents` in place of those of the same names, and take out those named in `remove`, all or nothing."""

    def search(self, vector: Vectors, limit: int) -> list[Hit]:
        """Return up to `limit` passages nearest to `vector` ((width,) float32, length 1) by cosine, best first."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Return a context that keeps other processes from writing."""

    def close(self) -> None:
        """Give back connections and temporary files."""


def synchronise(store: VectorStore, documents: Iterable[IndexedDocument]) -> None:
    """Make the store hold `documents` as its corpus: write what changed, take out what is gone.

    Documents that came in by the API stay, unless the corpus now has one of the same name.
    """
    with store.exclusive():
        present = store.documents()
        wanted = {document.name: document for document in documents}
        changed = [
            document
            for name, document in wanted.items()
            if (old := present.get(name)) is None or old.digest != document.digest
        ]
        gone = [name for name, old in present.items() if old.origin == "corpus" and name not in wanted]
        if changed or gone:
            store.write(changed, "corpus", gone)
