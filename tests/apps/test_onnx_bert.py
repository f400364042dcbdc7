"""The graph builder on a small random BERT, against a forward pass written out in numpy."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from apps.common import onnx_bert
from apps.common.onnx_text import CrossEncoder, OnnxText

LAYERS, HEADS, HIDDEN, INNER, POSITIONS = 2, 4, 16, 24, 32
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "the", "cat", "sat", "on", "mat", "moon"]
erf = np.vectorize(math.erf)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as Hugging Face lays it out: BertForSequenceClassification with one label, random weights."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    config = {"model_type": "bert", "hidden_act": "gelu", "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
    config |= {"hidden_size": HIDDEN, "layer_norm_eps": 1e-12, "max_position_embeddings": POSITIONS}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(_weights(), folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("[CLS]", 1), ("[SEP]", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=special
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _weights() -> dict[str, Any]:
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {}
    shapes["bert.embeddings.word_embeddings.weight"] = (len(WORDS), HIDDEN)
    shapes["bert.embeddings.position_embeddings.weight"] = (POSITIONS, HIDDEN)
    shapes["bert.embeddings.token_type_embeddings.weight"] = (2, HIDDEN)
    linear = {"bert.pooler.dense": (HIDDEN, HIDDEN), "classifier": (1, HIDDEN)}
    norms = ["bert.embeddings.LayerNorm"]
    for layer in range(LAYERS):
        name = f"bert.encoder.layer.{layer}"
        linear |= {f"{name}.attention.self.{part}": (HIDDEN, HIDDEN) for part in ("query", "key", "value")}
        linear |= {f"{name}.attention.output.dense": (HIDDEN, HIDDEN)}
        linear |= {f"{name}.intermediate.dense": (INNER, HIDDEN), f"{name}.output.dense": (HIDDEN, INNER)}
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
    for name, shape in linear.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        shapes |= {f"{name}.weight": (HIDDEN,), f"{name}.bias": (HIDDEN,)}
    weights = {name: random.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    # Half precision on purpose: the graph keeps this table so, and the comparison is then exact.
    words = "bert.embeddings.word_embeddings.weight"
    weights[words] = weights[words].astype(np.float16).astype(np.float32)
    return weights


def _forward(weights: dict[str, Any], ids: list[int], kinds: list[int]) -> Any:
    """Return the last hidden states (tokens, hidden) of one unpadded text, step by step after the paper."""

    def linear(x: Any, name: str) -> Any:
        return x @ weights[f"bert.{name}.weight"].T + weights[f"bert.{name}.bias"]

    def norm(x: Any, name: str) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        return scaled * weights[f"bert.{name}.weight"] + weights[f"bert.{name}.bias"]

    table = "bert.embeddings.{}_embeddings.weight"
    x = weights[table.format("word")][ids] + weights[table.format("token_type")][kinds]
    x = norm(x + weights[table.format("position")][: len(ids)], "embeddings.LayerNorm")
    width = HIDDEN // HEADS
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        q, k, v = (linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        heads = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = np.exp(q[:, part] @ k[:, part].T / math.sqrt(width))
            heads.append(scores / scores.sum(-1, keepdims=True) @ v[:, part])
        attended = linear(np.concatenate(heads, -1), f"{name}.attention.output.dense")
        x = norm(x + attended, f"{name}.attention.output.LayerNorm")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return x


def test_cross_encoder_scores_equal_the_forward_pass(source: Path, tmp_path: Path) -> None:
    onnx_bert.main(["--source", str(source), "--head", "classifier", "--out", str(tmp_path / "out")])
    encoder = CrossEncoder(tmp_path / "out", max_tokens=POSITIONS)
    passages = ["the cat sat on the mat", "moon", "on the moon the cat sat"]
    given = encoder.score("the cat", passages)
    weights = _weights()
    for passage, score in zip(passages, given, strict=True):
        encoding = encoder.encode([("the cat", passage)])[0]
        hidden = _forward(weights, encoding.ids, encoding.type_ids)
        pooled = np.tanh(hidden[0] @ weights["bert.pooler.dense.weight"].T + weights["bert.pooler.dense.bias"])
        expected = pooled @ weights["classifier.weight"].T + weights["classifier.bias"]
        assert score == pytest.approx(expected[0], abs=1e-4)
    assert given.shape == (3,)
    assert len(set(given.round(4).tolist())) == 3


def test_embeddings_equal_the_forward_pass(source: Path, tmp_path: Path) -> None:
    model = OnnxText(onnx_bert.export(source, tmp_path / "out"), max_tokens=POSITIONS)
    ids = [[1, 4, 5, 2], [1, 9, 2]]
    for row, vector in zip(ids, model.run(ids), strict=True):
        mean = _forward(_weights(), row, [0] * len(row)).mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_labels_of_tokens_equal_the_forward_pass(source: Path, tmp_path: Path) -> None:
    config = json.loads((source / "config.json").read_text()) | {"id2label": {"1": "B-PER", "0": "O", "2": "I-PER"}}
    random, weights = np.random.default_rng(8), _weights()
    weights |= {"classifier.weight": random.normal(0, 0.5, (3, HIDDEN)).astype(np.float32)}
    weights |= {"classifier.bias": random.normal(0, 0.5, 3).astype(np.float32)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    save_file(weights, tmp_path / "model.safetensors")
    model = OnnxText(onnx_bert.export(tmp_path, tmp_path / "out", "tokens"), max_tokens=POSITIONS)
    assert model.description["labels"] == ["O", "B-PER", "I-PER"]
    ids = [[1, 4, 5, 6, 2], [1, 9, 2]]
    logits = model.run(ids)
    assert logits.shape == (2, 5, 3)
    for row, given in zip(ids, logits, strict=True):
        expected = _forward(weights, row, [0] * len(row)) @ weights["classifier.weight"].T + weights["classifier.bias"]
        np.testing.assert_allclose(given[: len(row)], expected, atol=1e-4)


def test_long_texts_are_cut_to_the_positions_of_the_model(source: Path, tmp_path: Path) -> None:
    model = OnnxText(onnx_bert.export(source, tmp_path / "out"), max_tokens=512)
    encoding = model.encode(["cat " * 100])[0]
    assert len(encoding.ids) == POSITIONS
    assert model.run([encoding.ids]).shape == (1, HIDDEN)


def test_another_architecture_is_refused(source: Path, tmp_path: Path) -> None:
    config = json.loads((source / "config.json").read_text()) | {"hidden_act": "relu"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="only bert with gelu"):
        onnx_bert.BertConfig.read(tmp_path / "config.json")


def test_a_folder_without_a_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"apps\.common\.prepare"):
        OnnxText(tmp_path)


def test_cuda_is_refused_where_there_is_none(source: Path, tmp_path: Path) -> None:
    folder = onnx_bert.export(source, tmp_path / "out")
    with pytest.raises(RuntimeError, match=r"device: cuda needs CUDAExecutionProvider.*device: cpu"):
        OnnxText(folder, device="cuda")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_runtime_that_falls_back_to_the_cpu_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = onnx_bert.export(source, tmp_path / "out")
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(RuntimeError, match="CUDAExecutionProvider did not start"):
        OnnxText(folder, device="cuda")


def test_equal_weights_make_equal_files(source: Path, tmp_path: Path) -> None:
    first, second = onnx_bert.export(source, tmp_path / "a"), onnx_bert.export(source, tmp_path / "b")
    assert (first / "model.json").read_text() == (second / "model.json").read_text()
