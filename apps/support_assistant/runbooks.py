"""The runbooks of a prepared index in the memory of one process: read only, so that every replica has its own."""

from pathlib import Path

import numpy as np

from apps.common.onnx_text import Embedder, Vectors
from apps.common.retrieval.index import digest_of, read_index
from apps.common.retrieval.types import Chunk, Hit, IndexInfo, Retrieved
from apps.support_assistant.settings import CorpusArgs, WarmUpArgs


class RunbookIndex:
    """Exact search over a matrix: some hundred passages are half a megabyte and tens of microseconds.

    Args:
        args: which documents are runbooks.
        data: folder that holds the prepared index.
        model_digest: of the embedding model.

    Raises:
        FileNotFoundError: there is no prepared index.
        ValueError: it was made with another model, or holds no runbook.
    """

    def __init__(self, args: CorpusArgs, data: Path, model_digest: str):
        folder = data / args.index
        documents = [document for document in read_index(folder, model_digest) if document.name.startswith(args.prefix)]
        passages: list[tuple[Chunk, Vectors]] = [
            (chunk, vector)
            for document in documents
            for chunk, vector in zip(document.chunks, document.vectors, strict=True)
            if chunk.section not in args.leave_out
        ]
        if not passages:
            raise ValueError(
                f"the index in {folder} holds no runbook: no document begins with corpus.prefix {args.prefix!r}"
            )
        self._chunks = [chunk for chunk, _ in passages]
        self._vectors = np.stack([vector for _, vector in passages])
        digest = digest_of(model_digest, {document.name: document.digest for document in documents})
        # Nothing is ever added, so nothing can be lost with the replica.
        self.info = IndexInfo("memory", digest, len(documents), len(self._chunks), durable=True)

    def search(self, vector: Vectors, runbooks: int) -> Retrieved:
        """Return every passage of the `runbooks` nearest runbooks, nearest passage first; scores are cosines."""
        scores = self._vectors @ vector
        ranked = [Hit(self._chunks[place], float(scores[place])) for place in np.argsort(-scores, kind="stable")]
        chosen = set(list(dict.fromkeys(hit.chunk.document for hit in ranked))[:runbooks])
        return Retrieved([hit for hit in ranked if hit.chunk.document in chosen], self.info)


def warm_up(index: RunbookIndex, embedder: Embedder, args: WarmUpArgs) -> None:
    """Ask a real question of a fresh index.

    Raises:
        RuntimeError: nothing near it is found, so nothing sensible would be answered.
    """
    hits = index.search(embedder.embed([args.question])[0], 1).hits
    if hits[0].score < args.least_similarity:
        raise RuntimeError(
            f"warm-up: the passage nearest to {args.question!r} is {hits[0].chunk.document}, {hits[0].chunk.section},"
            f" with a similarity of {hits[0].score:.2f}, below warm_up.least_similarity {args.least_similarity};"
            " is this the index of the runbooks?"
        )
