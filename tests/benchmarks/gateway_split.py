"""How the gateway splits a model's requests between its targets, and whether a session stays where it is.

    python tests/benchmarks/gateway_split.py --url http://127.0.0.1:8000 --key local-demo-key --model assistant \
        --share stand-in=0.95 --share stand-in-next=0.05 --requests 10000 --out result.json

Short chats, several at a time. `x-served-by` of each answer says who answered; each share is held against the 99 %
interval of the binomial distribution. Then some sessions ask several times each: one that is answered by two targets
has flipped. Loopback only, and bounded: at most 20,000 requests. The exit status is 1 when a request failed, a share is
out of its interval, or a session flipped.
"""

import argparse
import asyncio
import json
import math
import platform
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.harness.loopback import loopback

MOST_REQUESTS = 20_000
AT_ONCE = 16
SESSIONS, TIMES = 20, 5
# Of the normal distribution: 99 % lie within.
_Z99 = 2.5758293035489004


def interval(share: float, requests: int) -> tuple[float, float]:
    """Return the least and the most answers of a target with this share, at 99 % (normal approximation)."""
    middle, half = share * requests, _Z99 * math.sqrt(requests * share * (1 - share))
    return middle - half, middle + half


def measure(
    url: str, key: str, model: str, shares: dict[str, float], requests: int = 10_000, at_once: int = AT_ONCE
) -> dict[str, Any]:
    """Ask, and return what was seen: `served` by target, `failed`, `within` and `intervals`, `flipped` sessions."""
    return asyncio.run(_measure(url, key, model, shares, requests, at_once))


async def _measure(
    url: str, key: str, model: str, shares: dict[str, float], requests: int, at_once: int
) -> dict[str, Any]:
    room = asyncio.Semaphore(at_once)
    bounds = httpx.Limits(max_connections=at_once)
    headers = {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=bounds, timeout=60, trust_env=False) as client:
        served = Counter(await asyncio.gather(*(_ask(client, room, model) for _ in range(requests))))
        names = [f"split-{number}" for number in range(SESSIONS)]
        found = await asyncio.gather(*(_ask(client, room, model, name) for name in names for _ in range(TIMES)))
    by_session = [{*found[place * TIMES : (place + 1) * TIMES]} for place in range(SESSIONS)]
    intervals = {name: interval(share, requests) for name, share in shares.items()}
    return {
        "requests": requests,
        "served": dict(sorted(served.items())),
        "failed": sum(count for name, count in served.items() if name.startswith("failed"))
        + sum(name.startswith("failed") for name in found),
        "intervals": {name: [round(edge, 1) for edge in edges] for name, edges in intervals.items()},
        "within": all(least <= served[name] <= most for name, (least, most) in intervals.items()),
        "flipped": sum(len(names) > 1 for names in by_session),
    }


async def _ask(client: httpx.AsyncClient, room: asyncio.Semaphore, model: str, session: str | None = None) -> str:
    """Who answered, or `failed: …`."""
    body = {"model": model, "messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 1}
    headers = {"x-session-id": session} if session else {}
    async with room:
        try:
            answer = await client.post("/v1/chat/completions", json=body, headers=headers)
        except httpx.HTTPError as error:
            return f"failed: {type(error).__name__}"
    return answer.headers.get("x-served-by", "nobody") if answer.status_code == 200 else f"failed: {answer.status_code}"


def _share(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    return name, float(number)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Split of a model's requests between its targets.")
    parser.add_argument("--url", type=loopback, required=True)
    parser.add_argument("--key", default="local-demo-key")
    parser.add_argument("--model", default="assistant")
    parser.add_argument("--share", type=_share, action="append", help="TARGET=SHARE, for each target")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--out", type=Path, help="JSON file")
    given = parser.parse_args()
    if not 10 <= given.requests <= MOST_REQUESTS or not 1 <= given.at_once <= 64:
        raise SystemExit(f"--requests must be between 10 and {MOST_REQUESTS}, --at-once between 1 and 64")
    shares = dict(given.share or [("stand-in", 0.95), ("stand-in-next", 0.05)])
    seen = measure(given.url, given.key, given.model, shares, given.requests, given.at_once)
    for name, (least, most) in seen["intervals"].items():
        print(f"{name:20} {seen['served'].get(name, 0):6} of {given.requests}   99 %: {least:.0f} to {most:.0f}")
    print(f"failed {seen['failed']}, sessions that flipped {seen['flipped']} of {SESSIONS}")
    if given.out:
        facts = {**seen, "machine": platform.processor() or platform.machine()}
        given.out.write_text(json.dumps(facts, indent=1) + "\n")
    sys.exit(0 if seen["within"] and not seen["failed"] and not seen["flipped"] else 1)


if __name__ == "__main__":
    main()
