"""One chat through the gateway to a server in the same process: for the check of the image."""

import asyncio
import hashlib
import json
import tempfile
from pathlib import Path

import httpx

from apps.gateway.gateway import Gateway
from apps.gateway.ingress import build_asgi
from apps.gateway.rates import Rates
from apps.gateway.settings import GatewayArgs, IngressSettings

_KEY = "a key of this check"
_ANSWER = {"object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


async def check() -> dict[str, object]:
    """Ask for an alias with a key, over real sockets to the backend; return what came.

    Raises:
        AssertionError: another backend answered, or something was lost on the way.
    """
    backend = await asyncio.start_server(_answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{backend.sockets[0].getsockname()[1]}/v1"
    async with backend:
        with tempfile.TemporaryDirectory() as folder:
            gateway = Gateway(GatewayArgs(keys_file=_keys(Path(folder))), Limiter())
        routes = [
            {"model": "m", "aliases": ["a"], "kind": "chat", "targets": [{"name": "t", "url": url, "model": "x"}]}
        ]
        gateway.configure(IngressSettings.model_validate({"routes": routes}))
        transport = httpx.ASGITransport(build_asgi(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            headers = {"authorization": f"Bearer {_KEY}"}
            found = await client.post("/v1/chat/completions", json={"model": "a", "messages": []}, headers=headers)
        await gateway.backends.client.aclose()
    left = found.headers.get("x-ratelimit-remaining-requests")
    if (found.status_code, found.headers.get("x-served-by"), left) != (200, "t", "8") or found.json() != _ANSWER:
        raise AssertionError(f"not what the backend said: {found.status_code} {dict(found.headers)} {found.text}")
    return {"served_by": found.headers["x-served-by"], "remaining": left}


def _keys(folder: Path) -> Path:
    file = folder / "keys.yaml"
    digest = hashlib.sha256(_KEY.encode()).hexdigest()
    file.write_text(f"keys: [{{name: check, sha256: {digest}, requests_per_minute: 9}}]\n")
    return file


class Limiter:
    """The Limiter's methods as a handle has them, in this process."""

    def __init__(self) -> None:
        rates = Rates()
        self.admit, self.spend = _Method(rates.admit), _Method(rates.spend)


class _Method:
    def __init__(self, method: object):
        self.remote = method


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    body = json.dumps(_ANSWER).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    writer.close()
