"""A server of models on a real port that does what a test tells it, and a gateway before it that keeps its numbers."""

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from apps.gateway.check import Limiter
from apps.gateway.gateway import Gateway
from apps.gateway.ingress import build_asgi
from apps.gateway.settings import GatewayArgs, IngressSettings

KEY, NARROW, METERED = "sk-everything", "sk-narrow", "sk-metered"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
WORDS = ("Ray", " Serve", " answers")
MESSAGES: Any = [{"role": "user", "content": "What is Ray Serve?"}]


@dataclass
class Seen:
    """A request as a backend got it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass
class Backend:
    """An ASGI application. what: how it answers now.

    ok | hang (no answer) | slow (a piece of a stream, then nothing) | die (a stream that breaks off) | a status, with
    `error` as its body and `headers`.
    """

    name: str
    what: str | int = "ok"
    error: Any = field(default_factory=lambda: {"error": {"message": "secret trace", "type": "x", "code": "broken"}})
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    seen: list[Seen] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    running: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] == "GET":
            await self._json(send, self.what if isinstance(self.what, int) else 200, {"object": "list", "data": []})
            return
        self.seen.append(Seen(scope["path"], headers, json.loads(body)))
        gone = asyncio.ensure_future(self._watch(receive))
        self.running += 1
        try:
            await self._answer(self.seen[-1], send)
        finally:
            self.running -= 1
            gone.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.set()

    async def _answer(self, seen: Seen, send: Send) -> None:
        await asyncio.sleep(self.delay_s)
        if isinstance(self.what, int):
            await self._json(send, self.what, self.error)
        elif self.what == "hang":
            await self._until_left()
        elif seen.path.endswith("/embeddings"):
            row = {"object": "embedding", "index": 0, "embedding": [0.25, 0.5]}
            usage = {"prompt_tokens": 7, "total_tokens": 7}
            await self._json(send, 200, {"object": "list", "data": [row], "model": self.name, "usage": usage})
        elif seen.body.get("stream"):
            await self._stream(seen, send)
        else:
            await self._json(send, 200, whole(seen))

    async def _stream(self, seen: Seen, send: Send) -> None:
        head = [(b"content-type", b"text/event-stream"), (b"x-engine", self.name.encode()), (b"server", b"secret/1")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        events = stream_events(seen)
        if self.what in ("slow", "die"):
            await send(_piece(events[0]))
            if self.what == "die":
                raise ConnectionError("breaks off")
            await self._until_left()
            return
        for event in events:
            await send(_piece(event))
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _until_left(self) -> None:
        for _ in range(3000):
            if self.left.is_set():
                return
            await asyncio.sleep(0.01)

    async def _json(self, send: Send, status: int, body: Any) -> None:
        content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        head = {"content-type": "application/json", "content-length": str(len(content)), **self.headers}
        named = [(name.encode(), value.encode()) for name, value in head.items()]
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": content})


def whole(seen: Seen) -> dict[str, Any]:
    """An answer of a chat or a completion, as OpenAI's."""
    text = "".join(WORDS)
    chat = "chat" in seen.path
    said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    kind = "chat.completion" if chat else "text_completion"
    choice = {"index": 0, **said, "logprobs": None, "finish_reason": "stop"}
    return {"id": "1", "object": kind, "created": 1, "model": seen.body["model"], "choices": [choice], "usage": USAGE}


def stream_events(seen: Seen) -> list[bytes]:
    """The events of a stream, with the usage where it was asked for."""
    chat = "chat" in seen.path
    base: dict[str, Any] = {"id": "1", "object": "chat.completion.chunk" if chat else "text_completion", "created": 1}
    base["model"] = seen.body["model"]
    events = [
        {**base, "choices": [{"index": 0, **({"delta": {"content": word}} if chat else {"text": word})}]}
        for word in WORDS
    ]
    if (seen.body.get("stream_options") or {}).get("include_usage"):
        events.append({**base, "choices": [], "usage": USAGE})
    return [*(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events), b"data: [DONE]\n\n"]


def _piece(content: bytes) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": True}


class Counted:
    """Instruments that keep their numbers."""

    def __init__(self) -> None:
        self.values: Counter[str] = Counter()
        self.observed: Counter[str] = Counter()

    def add(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Add to a counter."""
        self.values[_series(name, tags)] += int(value)

    def observe(self, name: str, value: float, tags: Mapping[str, str]) -> None:
        """Count a value of a histogram."""
        assert value >= 0
        self.observed[_series(name, tags)] += 1

    def of(self, name: str) -> dict[str, int]:
        """The series of a counter that are not zero, by their tags."""
        return {key.partition(" ")[2]: value for key, value in self.values.items() if key.split()[0] == name and value}


def _series(name: str, tags: Mapping[str, str]) -> str:
    return " ".join([name, *(f"{key}={value}" for key, value in tags.items())])


def target(name: str, url: str, weight: float = 1.0, **more: Any) -> dict[str, Any]:
    """A target of a route as user_config has it."""
    return {"name": name, "url": f"{url}/v1", "model": f"{name}-there", "weight": weight, **more}


def route(model: str, *targets: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A route as user_config has it."""
    times = {"timeout_s": 20, "first_byte_timeout_s": 5}
    return {"model": model, "kind": "chat", "targets": list(targets), **times, **more}


@dataclass
class Running:
    """A gateway on a real port."""

    gateway: Gateway
    url: str
    counted: Counted

    def configure(self, *routes: dict[str, Any], **more: Any) -> None:
        """Give it other routes."""
        self.gateway.configure(IngressSettings.model_validate({"routes": routes, **more}))


def start(serving: Callable[[Any], str], args: GatewayArgs, limiter: Any = None, **given: Any) -> Running:
    """Start a gateway whose Limiter is in the same process."""
    counted = Counted()
    gateway = Gateway(args, limiter or Limiter(), instruments=counted, **given)
    return Running(gateway, serving(build_asgi(gateway)), counted)


def eventually(seen: Callable[[], Any], timeout_s: float = 5) -> Any:
    """What `seen` returns, as soon as it is true; fails after a while."""
    limit = time.monotonic() + timeout_s
    while time.monotonic() < limit:
        if found := seen():
            return found
        time.sleep(0.01)
    raise AssertionError(f"still {seen()!r}")


def digest(key: str) -> str:
    """What a file of keys has of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def keys_text(*keys: dict[str, Any]) -> str:
    """A file of keys."""
    return json.dumps({"keys": list(keys)})


def replace(path: Path, text: str) -> None:
    """Put a file in the place of another, as Secrets come."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)
