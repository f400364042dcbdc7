"""What a request costs in the gateway's process: bytes passed on by httpx, as in apps/gateway, and LiteLLM's Router.

    python -m venv .cache/litellm
    .cache/litellm/bin/pip install --require-hashes --no-deps -r tests/benchmarks/litellm.txt
    python tests/benchmarks/gateway_libraries.py --litellm .cache/litellm/bin/python --out result.json

For each a process of its own: CPU time and memory of the import, CPU time of a chat, CPU time of a chunk of a stream,
one request after the other, to a server on loopback in this process that answers at once. Prints each, and LiteLLM's as
a multiple of httpx'. Nothing is asserted: it is a measurement. apps/gateway does more than httpx alone (keys, limits,
routes, an ASGI server): that is the same with either, and is not in these numbers. The lock: `uv pip compile
--generate-hashes --override tests/benchmarks/litellm-overrides.txt tests/benchmarks/litellm.in`.
"""

import argparse
import asyncio
import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

CHUNKS = 200
WARM_UP = 20
BODY = {"model": "m", "messages": [{"role": "user", "content": "What is Ray Serve?"}]}
ANSWER = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "It serves."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
}  # fmt: skip


def chunk(number: int) -> bytes:
    """One event of a stream; no two are alike: LiteLLM 1.109 gives up a stream that repeats itself."""
    choice: dict[str, Any] = {"index": 0, "delta": {"content": f"word {number} "}, "finish_reason": None}
    if number == CHUNKS - 1:
        choice["finish_reason"] = "stop"
    event = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection: chats as a whole, or streams of CHUNKS events, chunked as HTTP/1.1 has it."""
    body = json.dumps(ANSWER).encode()
    whole = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    events = [*(chunk(number) for number in range(CHUNKS)), b"data: [DONE]\n\n"]
    try:
        while True:
            found = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(found.partition(b"content-length:")[2].split(b"\r\n")[0])
            if not json.loads(await reader.readexactly(length)).get("stream"):
                writer.write(whole)
                continue
            writer.write(head)
            for event in events:
                writer.write(b"%x\r\n" % len(event) + event + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def megabytes() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_s() -> float:
    """CPU time of this process."""
    return time.process_time()


Calls = tuple[Callable[[], Awaitable[Any]], Callable[[], Awaitable[int]]]


def with_httpx(url: str) -> Calls:
    """Bytes in, bytes out."""
    import httpx

    client = httpx.AsyncClient(timeout=30, trust_env=False)
    content, streamed = json.dumps(BODY).encode(), json.dumps({**BODY, "stream": True}).encode()
    headers = {"content-type": "application/json"}

    async def whole() -> None:
        (await client.post(f"{url}/chat/completions", content=content, headers=headers)).raise_for_status()

    async def stream() -> int:
        events = 0
        async with client.stream("POST", f"{url}/chat/completions", content=streamed, headers=headers) as found:
            async for piece in found.aiter_raw():
                events += piece.count(b"data:")
        return events

    return whole, stream


def with_litellm(url: str) -> Calls:
    """One model behind a Router, as its documentation has it."""
    litellm = importlib.import_module("litellm")  # in an environment of its own
    given = {"model": "openai/m", "api_base": url, "api_key": "none"}
    router = litellm.Router(model_list=[{"model_name": "m", "litellm_params": given}], num_retries=0)

    async def whole() -> None:
        await router.acompletion(model="m", messages=BODY["messages"])

    async def stream() -> int:
        events = 0
        async for _ in await router.acompletion(model="m", messages=BODY["messages"], stream=True):
            events += 1
        return events

    return whole, stream


LIBRARIES: dict[str, Callable[[str], Calls]] = {"httpx": with_httpx, "litellm": with_litellm}


async def child(name: str, url: str, requests: int, streams: int) -> dict[str, float]:
    """Measure one library in this process."""
    before_mb, started = megabytes(), cpu_s()
    whole, stream = LIBRARIES[name](url)
    found = {"import_s": cpu_s() - started, "import_mb": megabytes() - before_mb}
    for _ in range(WARM_UP):
        await whole()
    events = await stream()
    if not CHUNKS - 1 <= events <= CHUNKS + 2:
        raise RuntimeError(f"{name}: {events} chunks of {CHUNKS} came")
    started = cpu_s()
    for _ in range(requests):
        await whole()
    found["request_ms"] = (cpu_s() - started) / requests * 1000
    started = cpu_s()
    for _ in range(streams):
        await stream()
    found["chunk_us"] = (cpu_s() - started) / streams / CHUNKS * 1e6
    found["memory_mb"] = megabytes()
    return {what: round(value, 3) for what, value in found.items()}


async def measure(pythons: dict[str, str], requests: int, streams: int) -> dict[str, dict[str, float]]:
    """Measure each library with its own Python, one after the other."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    # Its list of prices comes with the package: nothing is fetched.
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    found = {}
    async with server:
        for name, python in pythons.items():
            command = [python, __file__, "--child", name, "--url", url]
            command += ["--requests", str(requests), "--streams", str(streams)]
            process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, env=environment)
            output, _ = await process.communicate()
            if process.returncode:
                raise SystemExit(f"{name}: its process ended with {process.returncode}")
            found[name] = json.loads(output.splitlines()[-1])
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Cost of a request: httpx and LiteLLM.")
    parser.add_argument("--litellm", help="Python of the environment of litellm.txt")
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--child", choices=LIBRARIES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(asyncio.run(child(given.child, given.url, given.requests, given.streams))))
        return
    if not given.litellm:
        raise SystemExit("--litellm is missing: the Python of the environment that the head of this file makes")
    found = asyncio.run(measure({"httpx": sys.executable, "litellm": given.litellm}, given.requests, given.streams))
    ratios = {what: round(found["litellm"][what] / max(value, 1e-9), 1) for what, value in found["httpx"].items()}
    for what, value in found["httpx"].items():
        print(f"{what:10} httpx {value:9.3f}   litellm {found['litellm'][what]:9.3f}   ratio {ratios[what]:6.1f}")
    if given.out:
        facts = {**found, "ratios": ratios, "requests": given.requests, "streams": given.streams, "chunks": CHUNKS}
        given.out.write_text(
            json.dumps({**facts, "machine": platform.processor() or platform.machine()}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
