"""Latency of `POST /analyze` at one client, beside that of the slower of its two branches.

    python tests/benchmarks/text_analysis_latency.py --url http://127.0.0.1:8000 --requests 200 --out result.json

One request after the other with a text of 60 sentences; the first tenth is warm-up and not counted. The branches run
side by side, so the whole should take little more than the slower one: the goal is a ratio of medians of at most 1.10.
The whole is measured at the client, the branches are `timings_ms` of the same answers. Loopback only, and bounded: at
most 2,000 requests. Nothing is asserted: it is a measurement; an answer that lacks a branch ends it.
"""

import argparse
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

from tests.harness.loopback import loopback

GOAL = 1.10
MOST_REQUESTS = 2000
SUBJECTS = ("The bridge", "The library", "The harbour", "The old mill", "The market", "The tram line")
EVENTS = (
    "was closed for three weeks because the river had risen.",
    "reopened in May, and everybody was happy about it.",
    "cost the city more than four million euros in the end.",
    "is a terrible place on Saturdays, says a neighbour who works there.",
    "has been painted green since the council voted on it.",
    "will be served by two more buses from the summer.",
    "was built by the same family that owns the brewery.",
    "attracts visitors from the whole valley in the autumn.",
    "has a wonderful view over the hills in the evening.",
    "needs a new roof before the winter comes.",
)
TEXT = " ".join(f"{subject} {event}" for event in EVENTS for subject in SUBJECTS)


@dataclass(frozen=True, slots=True)
class Result:
    """Medians in milliseconds. whole: at the client. branch: of the slower branch of each answer."""

    whole_p50_ms: float
    branch_p50_ms: float
    ratio: float
    requests: int

    @classmethod
    def of(cls, whole: list[float], branch: list[float]) -> "Result":
        """Summarise; the first tenth is warm-up."""
        warm = len(whole) // 10
        medians = statistics.median(whole[warm:]), statistics.median(branch[warm:])
        return cls(round(medians[0], 2), round(medians[1], 2), round(medians[0] / medians[1], 3), len(whole) - warm)


def measure(url: str, requests: int) -> Result:
    """Ask, one request after the other.

    Raises:
        httpx.HTTPStatusError: the service refused the text.
        RuntimeError: an answer lacks a branch.
    """
    whole: list[float] = []
    branch: list[float] = []
    with httpx.Client(base_url=url, timeout=60) as client:
        for _ in range(requests):
            started = time.perf_counter()
            answer = client.post("/analyze", json={"text": TEXT})
            whole.append((time.perf_counter() - started) * 1000)
            answer.raise_for_status()
            body = answer.json()
            if not body["complete"]:
                raise RuntimeError(f"an answer lacks a branch: {body['errors']}")
            branch.append(max(body["timings_ms"]["sentiment"], body["timings_ms"]["summary"]))
    return Result.of(whole, branch)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Latency of POST /analyze at one client.")
    parser.add_argument("--url", type=loopback, required=True)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    if not 10 <= given.requests <= MOST_REQUESTS:
        raise SystemExit(f"--requests must be between 10 and {MOST_REQUESTS}")
    result = measure(given.url, given.requests)
    print(f"whole         p50 {result.whole_p50_ms:7.2f} ms   ({result.requests} requests, one client)")
    print(f"slower branch p50 {result.branch_p50_ms:7.2f} ms   ratio of medians {result.ratio}, goal {GOAL:.2f}")
    if given.out:
        versions = {name: metadata.version(name) for name in ("ray", "onnxruntime", "vaderSentiment")}
        facts = {**asdict(result), "goal": GOAL, "sentences": len(EVENTS) * len(SUBJECTS), "versions": versions}
        given.out.write_text(
            json.dumps({**facts, "machine": platform.processor() or platform.machine()}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
