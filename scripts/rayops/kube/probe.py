"""The data path: does the pipeline answer a real request? Separate from the health rule, which reads statuses only."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back. status 0: nothing did, and error says why. body: parsed JSON, else text. ms: milliseconds."""

    status: int
    ms: float
    body: Any
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


def probe(
    url: str,
    payload: object = None,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    timeout_s: float = 5.0,
) -> Answer:
    """GET an address, or POST a payload to it: as JSON, or a text of another content type as it is.

    Never raises for what the other side does; no proxy is used.
    """
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = connect(parts.hostname or "", parts.port, timeout=timeout_s)
    started = time.monotonic()
    try:
        if payload is None:
            connection.request("GET", target, headers=dict(headers or {}))
        else:
            body = payload if content_type != "application/json" else json.dumps(payload)
            sent = {"Content-Type": content_type, **(headers or {})}
            connection.request("POST", target, str(body).encode(), sent)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return Answer(0, _ms_since(started), None, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
    return Answer(answer.status, _ms_since(started), _parsed(text))


def _ms_since(started: float) -> float:
    return (time.monotonic() - started) * 1000


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
