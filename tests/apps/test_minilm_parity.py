"""Our ONNX graph gives the vectors of sentence-transformers."""

import base64
import hashlib
import json
from pathlib import Path

import numpy as np

from apps.common.onnx_bert import minilm_source
from apps.common.onnx_text import Embedder

DATA = Path(__file__).parent / "data"


def test_vectors_equal_the_reference_implementation(embedder: Embedder) -> None:
    record = json.loads((DATA / "minilm_reference.json").read_text())
    lines = (DATA / "sentences.txt").read_text("utf-8").split("\n")[:-1]
    assert len(lines) == 100
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == record["sentences"], "record the reference again"
    weights = (minilm_source() / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == record["weights"], "other weights than the reference had"
    expected = np.stack([np.frombuffer(base64.b64decode(text), "<f2") for text in record["vectors"]]).astype(np.float32)
    given = embedder.embed(lines)
    assert given.shape == (100, 384)
    assert given.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(given, axis=1), 1, atol=1e-5)
    cosines = np.sum(given * expected, axis=1) / np.linalg.norm(expected, axis=1)
    print(f"cosine to sentence-transformers {record['versions']}: smallest {cosines.min():.7f}")
    assert cosines.min() > 0.999


def test_a_text_has_the_same_vector_alone_and_in_a_batch(embedder: Embedder) -> None:
    texts = ["short", "a rather longer text about wombats that land on the moon at noon", "medium length, perhaps"]
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert embedder.embed([]).shape == (0, 384)
