"""Latency of `POST /ask` at one client, beside the same functions called in one process.

    python tests/benchmarks/rag_latency.py --url http://127.0.0.1:8000 --models DIR --data DIR --out result.json

Both sides answer the same questions, in turn, so that a busy machine is busy for both; the first tenth is warm-up and
not counted. Loopback only, and bounded: at most 2,000 requests. Prints p50 and p95 of both, in milliseconds, and the
ratio of the medians; the file has the same as JSON with the versions. Nothing is asserted: it is a measurement.
"""

import argparse
import asyncio
import json
import platform
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from apps.common.deadline import Clock, Deadline
from apps.common.onnx_text import Embedder
from apps.common.paths import data_dir, models_dir
from apps.common.retrieval.generate import make_generator
from apps.common.retrieval.rerank import make_reranker
from apps.common.retrieval.search import SearchService, open_store
from apps.rag.pipeline import Pipeline
from apps.rag.settings import RagArgs
from apps.rag.steps import LocalSteps
from tests.harness.loopback import loopback

MOST_REQUESTS = 2000
QUESTIONS = (
    "What happens when the head pod is lost?",
    "Why is the order of worker groups part of the API?",
    "How do I add an environment?",
    "What does the tuned Serve environment change?",
    "The image cannot be pulled, what now?",
)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one side."""

    p50: float
    p95: float
    requests: int

    @classmethod
    def of(cls, milliseconds: list[float]) -> "Latency":
        """Summarise; the first tenth is warm-up."""
        counted = sorted(milliseconds[len(milliseconds) // 10 :])
        p95 = counted[min(len(counted) - 1, int(len(counted) * 0.95))]
        return cls(round(statistics.median(counted), 2), round(p95, 2), len(counted))


def local_pipeline(models: Path, data: Path) -> Pipeline:
    """Return the pipeline with all its parts in this process, with the default arguments."""
    args = RagArgs()
    embedder = Embedder(models / args.embedder.model, args.embedder.threads, args.embedder.max_tokens)
    service = SearchService(open_store(args.store), embedder.digest, data / args.index)
    return Pipeline(LocalSteps(embedder, service, make_reranker(args.reranker, models), make_generator(args.generator)))


async def ask_locally(pipeline: Pipeline, question: str) -> str:
    """Answer in this process."""
    deadline, clock = Deadline.after(60), Clock()
    return await pipeline.answer(await pipeline.find(question, None, deadline, clock), deadline, clock)


async def measure(url: str, pipeline: Pipeline, requests: int) -> tuple[Latency, Latency]:
    """Ask both sides in turn and return (served, in one process).

    Raises:
        httpx.HTTPStatusError: the service refused a question.
        RuntimeError: the two answers to a question differ.
    """
    served: list[float] = []
    local: list[float] = []
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        for number in range(requests):
            question = QUESTIONS[number % len(QUESTIONS)]
            started = time.perf_counter()
            answer = await client.post("/ask", json={"question": question})
            served.append((time.perf_counter() - started) * 1000)
            answer.raise_for_status()
            started = time.perf_counter()
            expected = await ask_locally(pipeline, question)
            local.append((time.perf_counter() - started) * 1000)
            if answer.json()["answer"] != expected:
                raise RuntimeError(
                    f"the service and this process answer differently, other index or settings? {question}"
                )
    return Latency.of(served), Latency.of(local)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Latency of POST /ask at one client.")
    parser.add_argument("--url", type=loopback, required=True)
    parser.add_argument("--models", type=Path, help="default: PIPELINE_MODELS")
    parser.add_argument("--data", type=Path, help="default: PIPELINE_DATA; the index that the service uses")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    if not 10 <= given.requests <= MOST_REQUESTS:
        raise SystemExit(f"--requests must be between 10 and {MOST_REQUESTS}")
    pipeline = local_pipeline(models_dir(given.models), data_dir(given.data))
    served, local = asyncio.run(measure(given.url, pipeline, given.requests))
    ratio = round(served.p50 / local.p50, 2)
    print(f"served     p50 {served.p50:7.2f} ms   p95 {served.p95:7.2f} ms   ({served.requests} requests, one client)")
    print(f"in process p50 {local.p50:7.2f} ms   p95 {local.p95:7.2f} ms   ratio of medians {ratio}")
    if given.out:
        versions = {name: metadata.version(name) for name in ("ray", "onnxruntime", "lancedb")}
        facts = {"served_ms": asdict(served), "in_process_ms": asdict(local), "ratio": ratio, "versions": versions}
        given.out.write_text(
            json.dumps({**facts, "machine": platform.processor() or platform.machine()}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
