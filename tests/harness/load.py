"""A load generator for honest numbers: open loop, every failed request logged with its time and class.

    with Load(f"{url}/ask", log=folder / "load.jsonl", rate=10) as load:
        change_something()
    assert not load.summary().failed, load.summary()

Open loop: requests start by the clock, whether or not earlier ones were answered, so an outage is seen in full. It
aims at loopback addresses only, and is bounded in requests and time.
"""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from tests.harness.loopback import loopback

MAX_SECONDS = 900.0
MAX_REQUESTS = 20_000
MAX_RATE = 200.0

# From the body of an answer to a reason why it is wrong, empty when it is right.
Check = Callable[[Any], str]
# From the body of a right answer to the one fact of it that is worth keeping.
Observe = Callable[[Any], Any]


def unobserved(_: Any) -> None:
    """Keep nothing of an answer."""


@dataclass(frozen=True)
class Request:
    """What is sent: a JSON body, and how its answer is judged."""

    body: Any
    check: Check = lambda _: ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """One failed request. at_s: when it was sent, in seconds since the load began. kind: the class of the failure."""

    at_s: float
    kind: str
    detail: str
    ms: float


@dataclass(frozen=True)
class Summary:
    """What happened. failed: number by class. Latencies are of right answers, in milliseconds; times in seconds."""

    sent: int
    failed: dict[str, int]
    seconds: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    first_failure_s: float | None
    last_failure_s: float | None
    late: int
    """Requests that left more than 0.5 s after their time: the generator itself was short of CPU."""

    @property
    def failures(self) -> int:
        """Failed requests of every class."""
        return sum(self.failed.values())

    def as_dict(self) -> dict[str, Any]:
        """For a results file."""
        return {**asdict(self), "failures": self.failures}


@dataclass
class _Record:
    sent: int = 0
    late: int = 0
    latencies: list[float] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    seen: list[tuple[float, Any]] = field(default_factory=list)


class Load:
    """Sends requests in turn, from `with` to the end of the block, in a thread of its own."""

    def __init__(
        self,
        url: str,
        requests: Sequence[Request],
        *,
        log: Path,
        rate: float = 10.0,
        keep_alive: bool = True,
        timeout_s: float = 5.0,
        max_seconds: float = MAX_SECONDS,
        max_requests: int = MAX_REQUESTS,
        observe: Observe = unobserved,
    ) -> None:
        """url: POST goes here; loopback only. rate: requests a second. keep_alive: else a new connection each.

        observe: one fact of each right answer, kept with its time (`seen`). log: JSON lines, one a failed request.
        """
        self._url = loopback(url)
        if not (0 < rate <= MAX_RATE and 0 < max_seconds <= MAX_SECONDS and 0 < max_requests <= MAX_REQUESTS):
            raise ValueError(f"load is bounded: {MAX_RATE:.0f}/s, {MAX_SECONDS:.0f} s, {MAX_REQUESTS} requests")
        self._requests, self._rate, self._timeout_s, self._observe = list(requests), rate, timeout_s, observe
        self._total = min(max_requests, int(max_seconds * rate))
        self._limits = httpx.Limits(max_connections=500, max_keepalive_connections=500 if keep_alive else 0)
        self._log = log
        self._stop = threading.Event()
        self._record = _Record()
        self._began = self._ended = 0.0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_text("")
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self._timeout_s + 10)
        self._ended = time.monotonic()

    def now(self) -> float:
        """Seconds since the load began: the clock of failures and of what was seen."""
        return time.monotonic() - self._began

    @property
    def failures(self) -> list[Failure]:
        """Every failed request so far, in the order of failing."""
        return list(self._record.failures)

    @property
    def seen(self) -> list[tuple[float, Any]]:
        """What `observe` made of each right answer, with the time at which its request was sent."""
        return sorted(self._record.seen, key=lambda pair: pair[0])

    def summary(self) -> Summary:
        """The numbers so far."""
        record = self._record
        times = [failure.at_s for failure in record.failures]
        slow = sorted(record.latencies)
        return Summary(
            sent=record.sent,
            failed=dict(Counter(failure.kind for failure in record.failures)),
            seconds=round((self._ended or time.monotonic()) - self._began, 1),
            p50_ms=_quantile(slow, 0.5),
            p99_ms=_quantile(slow, 0.99),
            max_ms=_quantile(slow, 1.0),
            first_failure_s=min(times, default=None),
            last_failure_s=max(times, default=None),
            late=record.late,
        )

    async def _run(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(trust_env=False, timeout=self._timeout_s, limits=self._limits) as client:
            for number in range(self._total):
                due = self._began + number / self._rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self._stop.is_set():
                    break
                self._record.sent += 1
                self._record.late += time.monotonic() - due > 0.5
                request = self._requests[number % len(self._requests)]
                task = asyncio.create_task(self._send(client, request))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)

    async def _send(self, client: httpx.AsyncClient, request: Request) -> None:
        at_s, started = round(self.now(), 3), time.monotonic()
        kind, detail, body = await self._outcome(client, request)
        ms = round((time.monotonic() - started) * 1000, 2)
        if kind:
            self._fail(Failure(at_s, kind, detail[:300], ms))
            return
        self._record.latencies.append(ms)
        self._record.seen.append((at_s, self._observe(body)))

    async def _outcome(self, client: httpx.AsyncClient, request: Request) -> tuple[str, str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await client.post(self._url, json=request.body, headers=request.headers)
            body = answer.json() if answer.is_success else None
        except (httpx.TimeoutException, TimeoutError) as error:
            return "timeout", type(error).__name__, None
        except httpx.ConnectError as error:
            return "connect", str(error), None
        except httpx.TransportError as error:
            return "broken-connection", f"{type(error).__name__}: {error}", None
        except ValueError as error:
            return "wrong-answer", f"not JSON: {error}", None
        if not answer.is_success:
            return f"status-{answer.status_code}", answer.text, None
        wrong = request.check(body)
        return ("wrong-answer", wrong, body) if wrong else ("", "", body)

    def _fail(self, failure: Failure) -> None:
        self._record.failures.append(failure)
        with self._log.open("a") as log:
            log.write(json.dumps(asdict(failure)) + "\n")


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
