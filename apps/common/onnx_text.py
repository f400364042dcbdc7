"""Run exported text encoders: sentence embeddings and cross-encoder scores by ONNX Runtime."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apps.common.settings import Device

Vectors = NDArray[np.float32]

_PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxText:
    """A tokenizer and a session over one folder that `apps.common.onnx_bert` wrote.

    Args:
        folder: holds `model.onnx`, `tokenizer.json` and `model.json`.
        threads: intra-op threads; there is no inter-op parallelism in these graphs.
        max_tokens: longer inputs are cut here (256 is what all-MiniLM-L6-v2 was trained with).
        device: where the graph runs.

    Raises:
        FileNotFoundError: the folder is not an exported model.
        RuntimeError: `device` is cuda and this ONNX Runtime, or this machine, cannot.
    """

    def __init__(self, folder: Path, threads: int = 1, max_tokens: int = 256, device: Device = "cpu"):
        if not (folder / "model.onnx").is_file():
            raise FileNotFoundError(f"no exported model in {folder}; make it with python -m apps.common.prepare")
        from tokenizers import Tokenizer

        self.description: dict[str, Any] = json.loads((folder / "model.json").read_text())
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(min(max_tokens, int(self.description["positions"])))
        self._tokenizer.no_padding()
        self._session = _session(folder / "model.onnx", threads, device)
        self._head = str(self.description["head"])

    @property
    def digest(self) -> str:
        """Digest of graph, weights and tokenizer: vectors of different digests must not be compared."""
        return str(self.description["digest"])

    def encode(self, inputs: Sequence[str] | Sequence[tuple[str, str]]) -> list[Any]:
        """Return one `tokenizers.Encoding` per text or pair of texts."""
        return list(self._tokenizer.encode_batch(list(inputs)))

    def run(self, ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]] | None = None) -> Vectors:
        """Run the graph on token ids, padded here to the longest: (n, width) float32."""
        width = max(len(row) for row in ids)
        feed = np.zeros((3, len(ids), width), np.int64)
        for number, row in enumerate(ids):
            feed[0, number, : len(row)] = row
            feed[1, number, : len(row)] = 1
            if type_ids is not None:
                feed[2, number, : len(row)] = type_ids[number]
        names = ("input_ids", "attention_mask", "token_type_ids")
        result: Vectors = self._session.run([self._head], dict(zip(names, feed, strict=True)))[0]
        return result


class Embedder(OnnxText):
    """Sentence embeddings of length 1, so that the dot product is the cosine."""

    def tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the token ids of each text, special tokens included, cut to `max_tokens`."""
        return [list(encoding.ids) for encoding in self.encode(texts)]

    def embed(self, texts: Sequence[str], batch: int = 16) -> Vectors:
        """Return (n, width) float32 in the order of `texts`; texts of like length share a batch."""
        if not texts:
            return np.zeros((0, int(self._session.get_outputs()[0].shape[1])), np.float32)
        ids = self.tokenize(texts)
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        parts = [order[start : start + batch] for start in range(0, len(order), batch)]
        rows = np.concatenate([self.run([ids[number] for number in part]) for part in parts])
        result = np.empty_like(rows)
        result[order] = rows
        return result


class CrossEncoder(OnnxText):
    """Relevance of a passage to a question, read together by one model."""

    def score(self, question: str, passages: Sequence[str]) -> Vectors:
        """Return (n,) float32; larger is more relevant, without a fixed range."""
        encodings = self.encode([(question, passage) for passage in passages])
        logits = self.run([encoding.ids for encoding in encodings], [encoding.type_ids for encoding in encodings])
        scores: Vectors = logits[:, 0] if logits.shape[1] == 1 else logits[:, -1] - logits[:, 0]
        return scores


def _session(path: Path, threads: int, device: Device) -> Any:
    import onnxruntime

    wanted = _PROVIDERS[device]
    present = onnxruntime.get_available_providers()
    if wanted not in present:
        raise RuntimeError(
            f"device: {device} needs {wanted}, this ONNX Runtime has {', '.join(present)}; "
            "use an image with onnxruntime-gpu (pipeline-gpu) or device: cpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that wait must not burn the CPU of their neighbours in the same Pod.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=[wanted])
    if wanted not in session.get_providers():
        # ONNX Runtime falls back to the CPU with a warning when the driver or a library is missing.
        raise RuntimeError(f"device: {device} asked for, but {wanted} did not start; does this process see a GPU?")
    return session
