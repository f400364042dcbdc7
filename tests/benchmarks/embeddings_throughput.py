"""Throughput of the embedding models in one process: int8 beside fp32, and batches beside one text at a time.

    python tests/benchmarks/embeddings_throughput.py --models DIR [--texts FILE] [--rounds 5] [--out result.json]

Every round runs every way once, in turn, so that a busy machine is busy for all; the first round is warm-up and not
counted. Prints texts per second (median of the rounds), milliseconds a padded block of 128 tokens (what
apps/embeddings/pace.py works with), and the ratios; the file has the same as JSON with the versions. Nothing is
asserted: it is a measurement, and how much int8 gains depends on the CPU (VNNI or not).
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from apps.common.onnx_text import Embedder
from apps.common.paths import models_dir
from apps.embeddings.pace import blocks
from apps.embeddings.settings import FP32, INT8

TEXTS = Path(__file__).parents[1] / "apps/data/sentences.txt"
BATCH = 16
MOST_ROUNDS = 50


def ways(models: Path, texts: list[str]) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    made: dict[str, Callable[[], object]] = {}
    for name, folder in (("fp32", FP32), ("int8", INT8)):
        embedder = Embedder(models / folder, threads=1)
        made[f"{name} batched"] = lambda embedder=embedder: embedder.embed(texts, BATCH)  # type: ignore[misc]
        made[f"{name} one by one"] = lambda embedder=embedder: [embedder.embed([text]) for text in texts]  # type: ignore[misc]
    return made


def measure(models: Path, texts: list[str], rounds: int) -> dict[str, float]:
    """Return the median seconds of each way over the rounds after the first."""
    measured = ways(models, texts)
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    for number in range(rounds + 1):
        for name, run in measured.items():
            started = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def padded_blocks(models: Path, texts: list[str]) -> int:
    """Return the padded blocks of the batches, as Embedder.embed makes them."""
    ids = sorted(Embedder(models / FP32).tokenize(texts), key=len)
    return sum(blocks(ids[start : start + BATCH]) for start in range(0, len(ids), BATCH))


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description="Throughput of the embedding models.")
    parser.add_argument("--models", type=Path, help="default: PIPELINE_MODELS, else /srv/models")
    parser.add_argument("--texts", type=Path, default=TEXTS, help="one text a line")
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, MOST_ROUNDS + 1), metavar="N")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    models, texts = models_dir(given.models), given.texts.read_text("utf-8").splitlines()
    seconds, size = measure(models, texts, given.rounds), padded_blocks(models, texts)
    rates = {name: round(len(texts) / value, 1) for name, value in seconds.items()}
    ratios = {
        "int8 / fp32, batched": round(seconds["fp32 batched"] / seconds["int8 batched"], 2),
        "int8 / fp32, one by one": round(seconds["fp32 one by one"] / seconds["int8 one by one"], 2),
        "batched / one by one, fp32": round(seconds["fp32 one by one"] / seconds["fp32 batched"], 2),
        "batched / one by one, int8": round(seconds["int8 one by one"] / seconds["int8 batched"], 2),
    }
    block_ms = {name: round(seconds[f"{name} batched"] * 1000 / size, 2) for name in ("fp32", "int8")}
    for name, rate in rates.items():
        print(f"{name:20} {rate:8.1f} texts/s")
    for name, ratio in ratios.items():
        print(f"{name:28} {ratio:5.2f}")
    print(f"ms a block: fp32 {block_ms['fp32']}, int8 {block_ms['int8']} ({size} blocks, batches of {BATCH} texts)")
    if given.out:
        versions = {name: metadata.version(name) for name in ("onnxruntime", "tokenizers", "numpy")}
        facts = {"cpus": os.cpu_count(), "machine": platform.processor() or platform.machine(), "versions": versions}
        result = {"texts": len(texts), "texts_per_s": rates, "ratios": ratios, "ms_per_block": block_ms, **facts}
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
