"""Many streams at once of which a part leaves in the middle: what is left of them in the engines, and in memory.

    python tests/benchmarks/llm_streams.py --url http://127.0.0.1:8000 --model stand-in \
        --streams 200 --leaving 0.2 --rounds 5 --out result.json

Each round opens all streams at once; those that leave do so after their third event. `GET /stats` of the own server of
apps/llm says before and after what its engines hold and have done, and how much memory each of its processes has; with
`--stats` it is asked elsewhere than the streams (those may go through the gateway, with `--key`). A request is leaked
when the engines neither finished nor aborted it, or hold it at rest. Memory is the sum over all processes, and its
ratio is the last round's to the first one's: the first fills caches. Loopback only, and bounded. The exit status is 1
when a request leaked or failed; what memory does is printed, not judged.
"""

import argparse
import asyncio
import json
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness.loopback import loopback

MOST_STREAMS, MOST_ROUNDS = 1000, 100
EVENTS_BEFORE_LEAVING = 3
REST_S = 60.0
_DONE = "data: [DONE]"


def measure(
    url: str,
    model: str,
    *,
    streams: int = 200,
    leaving: float = 0.2,
    rounds: int = 5,
    key: str = "none",
    stats_url: str = "",
) -> dict[str, Any]:
    """Run the rounds; return `whole`, `left` and `failed` streams, the engines' counts of them, `leaked`, and memory.

    Raises:
        RuntimeError: the engines hold requests for longer than a minute after a round.
    """
    return asyncio.run(_measure(url, model, streams, leaving, rounds, key, stats_url or url))


async def _measure(
    url: str, model: str, streams: int, leaving: float, rounds: int, key: str, stats_url: str
) -> dict[str, Any]:
    every = round(1 / leaving) if leaving else streams + 1
    before = last = await at_rest(stats_url)
    outcomes: Counter[str] = Counter()
    memory = [bytes_of(before)]
    for _ in range(rounds):
        outcomes += await a_round(url, model, streams, every, key)
        last = await at_rest(stats_url)
        memory.append(bytes_of(last))
    counts = {name: last["total"][name] - before["total"][name] for name in before["total"]}
    ended = counts["finished"] + counts["aborted"] + counts["failed"] + counts["refused"]
    return {
        "streams": streams * rounds,
        **{name: outcomes[name] for name in ("whole", "left", "failed")},
        "engines": counts,
        "leaked": streams * rounds - ended,
        "memory_bytes": memory,
        "memory_ratio": round(memory[-1] / memory[1], 3),
        "processes": len(last["engines"]) + len(last["ingresses"]),
    }


async def a_round(url: str, model: str, streams: int, every: int, key: str) -> Counter[str]:
    """Open all streams at once, of which each `every`-th leaves; return how many went how."""
    headers, bounds = {"authorization": f"Bearer {key}"}, httpx.Limits(max_connections=streams)
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=bounds, timeout=120, trust_env=False) as client:
        return Counter(await asyncio.gather(*(stream(client, model, not n % every, n) for n in range(streams))))


async def stream(client: httpx.AsyncClient, model: str, leaves: bool, number: int) -> str:
    """Read one stream; return `whole`, `left` or `failed`."""
    messages = [{"role": "user", "content": f"Count, please, for number {number}."}]
    body = {"model": model, "messages": messages, "stream": True}
    seen = 0
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                seen += bool(line)
                if line == _DONE:
                    return "whole"
                if leaves and answer.status_code == 200 and seen == EVENTS_BEFORE_LEAVING:
                    return "left"
    except httpx.HTTPError:
        return "failed"
    return "failed"


async def at_rest(url: str) -> dict[str, Any]:
    """Return what `/stats` says when nothing runs or waits."""
    async with httpx.AsyncClient(base_url=url, timeout=10, trust_env=False) as client:
        deadline = time.monotonic() + REST_S
        while True:
            found: dict[str, Any] = (await client.get("/stats")).raise_for_status().json()
            held = sum(each["requests"] for each in (*found["engines"], *found["ingresses"]))
            if not held and not found["total"]["running"] and not found["total"]["waiting"]:
                return found
            if time.monotonic() > deadline:
                raise RuntimeError(f"not at rest after {REST_S:g} s: {found}")
            await asyncio.sleep(0.2)


def bytes_of(stats: dict[str, Any]) -> int:
    """Return the memory of all processes that `/stats` heard."""
    return sum(each["rss_bytes"] for each in (*stats["engines"], *stats["ingresses"]))


def main() -> None:
    """Command line of the benchmark."""
    parser = argparse.ArgumentParser(description="Streams of which a part leaves in the middle.")
    parser.add_argument("--url", type=loopback, default="http://127.0.0.1:8000", help="of what answers /v1")
    parser.add_argument("--stats", type=loopback, help="of the own server, where that is not --url")
    parser.add_argument("--model", default="stand-in")
    parser.add_argument("--key", default="none")
    parser.add_argument("--streams", type=int, default=200, choices=range(1, MOST_STREAMS + 1), metavar="N")
    parser.add_argument("--leaving", type=float, default=0.2, help="a part of the streams, like 0.2")
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, MOST_ROUNDS + 1), metavar="N")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if not 0 <= given.leaving <= 1:
        parser.error("--leaving: a part from 0 to 1")
    found = measure(
        given.url,
        given.model,
        streams=given.streams,
        leaving=given.leaving,
        rounds=given.rounds,
        key=given.key,
        stats_url=given.stats or given.url,
    )
    print(
        f"{found['streams']} streams in {given.rounds} rounds: {found['whole']} whole, {found['left']} left by us, ",
        end="",
    )
    print(f"{found['failed']} failed; engines: " + ", ".join(f"{name} {n}" for name, n in found["engines"].items()))
    print(f"leaked: {found['leaked']}")
    megabytes = " ".join(f"{each / 1e6:.0f}" for each in found["memory_bytes"])
    print(f"memory of {found['processes']} processes, MB, before and after each round: {megabytes}")
    print(f"memory, last round to first: {found['memory_ratio']}")
    if given.out:
        facts = {"rounds": given.rounds, "leaving": given.leaving, "machine": platform.machine()}
        given.out.write_text(json.dumps({**facts, **found}, indent=1) + "\n")
    sys.exit(1 if found["leaked"] or found["failed"] else 0)


if __name__ == "__main__":
    main()
