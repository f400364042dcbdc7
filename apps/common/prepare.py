"""Make what a pipeline needs at run time, in one way for the image build, the tests and a local Ray.

`python -m apps.common.prepare --models DIR --data DIR --corpus ROOT` exports all-MiniLM-L6-v2 to
`DIR/all-minilm-l6-v2`, the same with 8-bit weights to `DIR/all-minilm-l6-v2-int8`, and indexes the corpus to
`DIR/index`. What is already there for the same input is kept; what is made appears whole or not at all.
"""

import argparse
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from apps.common import onnx_bert, onnx_int8
from apps.common.onnx_text import Embedder
from apps.common.paths import data_dir, models_dir
from apps.common.retrieval import chunking, index
from apps.common.retrieval.corpus import read_corpus

MODEL = "all-minilm-l6-v2"
INT8_MODEL = f"{MODEL}-int8"
_STAMP = ".prepared"


def prepare_model(models: Path) -> Path:
    """Export the embedding model below `models` unless it is there; return its folder."""
    source = onnx_bert.minilm_source()
    key = _key([Path(onnx_bert.__file__), source / "model.safetensors", source / "tokenizer.json"])
    return _make_once(models / MODEL, key, lambda out: onnx_bert.export(source, out))


def prepare_int8(models: Path) -> Path:
    """Quantise the embedding model below `models` unless it is done; return the folder of the result."""
    source = models / MODEL
    key = _key([Path(onnx_int8.__file__), source / "model.onnx", source / "tokenizer.json"])
    return _make_once(models / INT8_MODEL, key, lambda out: onnx_int8.quantise(source, out))


def prepare_index(models: Path, data: Path, corpus: Path) -> Path:
    """Index `corpus` below `data` unless the index of the same texts is there; return its folder."""
    documents = list(read_corpus(corpus))
    embedder = Embedder(models / MODEL, threads=os.cpu_count() or 1)
    code = [Path(module.__file__ or "") for module in (index, chunking)]
    key = _key(code, [embedder.digest, *(document.digest for document in documents)])
    return _make_once(data / "index", key, lambda out: index.write_index(out, documents, embedder, data / "index"))


def _key(files: Iterable[Path], texts: Iterable[str] = ()) -> str:
    digest = hashlib.sha256("\n".join(texts).encode())
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _make_once(out: Path, key: str, make: Callable[[Path], object]) -> Path:
    stamp = out / _STAMP
    if stamp.is_file() and stamp.read_text() == key:
        return out
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        fresh = Path(scratch) / "new"
        make(fresh)
        (fresh / _STAMP).write_text(key)
        fresh.chmod(0o755)
        if out.exists():
            out.rename(Path(scratch) / "old")
        _move(fresh, out)
    return out


def _move(fresh: Path, out: Path) -> None:
    try:
        os.rename(fresh, out)  # noqa: PTH104 - Path.rename, named to be seen beside the except
    except OSError:
        # Another process made the same thing in the meantime: its result is as good.
        if not (out / _STAMP).is_file():
            raise
        shutil.rmtree(fresh)


def main(arguments: list[str] | None = None) -> None:
    """Command line of the preparation."""
    parser = argparse.ArgumentParser(description="Export the model and index the corpus.")
    parser.add_argument("--models", type=Path, help="default: PIPELINE_MODELS, else /srv/models")
    parser.add_argument("--data", type=Path, help="default: PIPELINE_DATA, else /srv/data")
    parser.add_argument("--corpus", type=Path, required=True, help=index.CORPUS_HELP)
    given = parser.parse_args(arguments)
    models, data = models_dir(given.models), data_dir(given.data)
    print(prepare_model(models))
    print(prepare_int8(models))
    print(prepare_index(models, data, given.corpus))


if __name__ == "__main__":
    main()
