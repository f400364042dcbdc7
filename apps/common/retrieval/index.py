"""The prepared index: chunks and their vectors in two plain files that every store can read.

`python -m apps.common.retrieval.index --models DIR --corpus ROOT --out DIR` makes it. Files:
`index.json` (model, digest, documents), `chunks.jsonl` (one `Chunk` a line, document by document),
`vectors.npy` ((n, width) float32 in the same order).
"""

import argparse
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from apps.common.onnx_text import Embedder, Vectors
from apps.common.paths import models_dir
from apps.common.retrieval import chunking
from apps.common.retrieval.chunking import chunk_document, embedding_text
from apps.common.retrieval.corpus import Document, read_corpus
from apps.common.retrieval.types import Chunk
from apps.common.settings import EmbedderArgs

CORPUS_HELP = "a repository, a folder, or a file with one URL a line"


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """One document, cut and embedded: `vectors` is (len(chunks), width) float32."""

    name: str
    digest: str
    chunks: list[Chunk]
    vectors: Vectors


def index_document(document: Document, embedder: Embedder) -> IndexedDocument:
    """Cut and embed one document."""
    chunks = chunk_document(document.name, document.text)
    return IndexedDocument(document.name, document.digest, chunks, embedder.embed([embedding_text(c) for c in chunks]))


def digest_of(model_digest: str, documents: dict[str, str]) -> str:
    """Return the digest of an index from its model's and its documents' ({name: digest}), whatever their order."""
    lines = [model_digest, *(f"{name} {digest}" for name, digest in sorted(documents.items()))]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()[:16]


def write_index(
    out: Path, documents: Iterable[Document], embedder: Embedder, previous: Path | None = None
) -> dict[str, str]:
    """Write the index into `out` and return {document: digest}.

    Documents that `previous`, an index of the same model and code, holds unchanged are taken from there.

    Raises:
        ValueError: the corpus holds no text.
    """
    known = _reusable(previous, embedder.digest) if previous else {}
    indexed = [known.get(document.digest) or index_document(document, embedder) for document in documents]
    chunks = [chunk for document in indexed for chunk in document.chunks]
    if not chunks:
        raise ValueError("the corpus holds no text")
    out.mkdir(parents=True, exist_ok=True)
    digests = {document.name: document.digest for document in indexed if document.chunks}
    np.save(out / "vectors.npy", np.concatenate([document.vectors for document in indexed if document.chunks]))
    lines = (json.dumps(asdict(chunk), ensure_ascii=False) for chunk in chunks)
    (out / "chunks.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    facts: dict[str, Any] = {
        "model": embedder.digest,
        "digest": digest_of(embedder.digest, digests),
        "documents": digests,
    }
    facts["code"] = _code()
    (out / "index.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    return digests


def _code() -> str:
    """Return a digest of the code that cuts documents: another cut is another index."""
    files = (Path(chunking.__file__), Path(__file__))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _reusable(folder: Path, model_digest: str) -> dict[str, IndexedDocument]:
    facts_file = folder / "index.json"
    facts = json.loads(facts_file.read_text("utf-8")) if facts_file.is_file() else {}
    if (facts.get("model"), facts.get("code")) != (model_digest, _code()):
        return {}
    return {document.digest: document for document in read_index(folder, model_digest)}


def read_index(folder: Path, model_digest: str) -> Iterator[IndexedDocument]:
    """Yield the documents of a prepared index.

    Raises:
        FileNotFoundError: there is none in `folder`.
        ValueError: it was made with another embedding model.
    """
    facts = json.loads((folder / "index.json").read_text("utf-8"))
    if facts["model"] != model_digest:
        raise ValueError(f"the index in {folder} was made with another embedding model; run apps.common.prepare again")
    vectors = np.load(folder / "vectors.npy")
    with (folder / "chunks.jsonl").open(encoding="utf-8") as lines:
        chunks = [Chunk(**json.loads(line)) for line in lines]
    start = 0
    for name, group in groupby(chunks, key=lambda chunk: chunk.document):
        part = list(group)
        yield IndexedDocument(name, facts["documents"][name], part, vectors[start : start + len(part)])
        start += len(part)


def main(arguments: list[str] | None = None) -> None:
    """Command line of the index."""
    parser = argparse.ArgumentParser(description="Cut and embed a corpus.")
    parser.add_argument("--models", type=Path, help="folder of exported models (default: PIPELINE_MODELS)")
    parser.add_argument("--corpus", type=Path, required=True, help=CORPUS_HELP)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    embedder = Embedder(models_dir(given.models) / EmbedderArgs().model)
    digests = write_index(given.out, read_corpus(given.corpus), embedder)
    print(f"{len(digests)} documents in {given.out}")


if __name__ == "__main__":
    main()
