"""Bad input of every kind for any pipeline, made from what its OpenAPI document says; also used on a live cluster."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
JSON = "application/json"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
# What has broken parsers, normalisers, databases and templates elsewhere.
NASTY_TEXTS = (
    "\x00",
    "\ufdfa" * 2000,
    "a" * 100_000,
    "']; DROP TABLE x; --",
    "../../etc/passwd",
    "\u202e\U0001f600",
    "\ufffe\uffff\u2028",
    "#" * 3000,
    "\ud800",
    "{{7*7}}${7*7}%s%n",
    "\u0301" * 500,
    " \t\r\n",
)
NASTY_VALUES: tuple[Any, ...] = (*NASTY_TEXTS, 10**400, 1e308, -1, 0, True, [], {}, None, [[]], ["a"] * 2000)
NASTY_BODIES = (
    b"",
    b"null",
    b'{"a":' * 5000,
    b"[" * 49_000 + b"]" * 500,
    b"\xef\xbb\xbf{}",
    b"\xff\xfe",
    b"%PDF-1.7\n%\xff\n1 0 obj\n<<>>\nendobj\ntrailer<</Root 1 0 R>>\n%%EOF",
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x06\x00\x00\x00",
)
header_values = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
HEADERS = ("content-type", "x-request-id", "x-request-timeout-ms", "accept", "x-forwarded-for")


@dataclass(frozen=True)
class Operation:
    """One operation with a body. fields: every name in its schema, at any depth."""

    path: str
    media_types: tuple[str, ...]
    fields: tuple[str, ...]

    @property
    def bodies(self) -> st.SearchStrategy[dict[str, Any]]:
        """JSON objects with the right names and any values."""
        names = st.sampled_from(self.fields or ("text",)) | st.text(max_size=8)
        return st.dictionaries(names, json_values | st.sampled_from(NASTY_VALUES), max_size=6)

    def nasty(self) -> Iterator[tuple[str, bytes]]:
        """Media type and body, for each field with each nasty value, and for each nasty body."""
        for media_type in self.media_types:
            for body in NASTY_BODIES:
                yield media_type, body
            if media_type != JSON:
                yield from ((media_type, text.encode("utf-8", "surrogatepass")) for text in NASTY_TEXTS)
                continue
            for name in self.fields:
                yield from ((media_type, as_sent({name: value})) for value in NASTY_VALUES)


def as_sent(body: object) -> bytes:
    """The standard encoder: NaN and lone surrogates go out as clients do send them."""
    return json.dumps(body).encode()


def operations(described: dict[str, Any]) -> list[Operation]:
    """The operations with a body that an OpenAPI document describes."""
    return [
        Operation(path, tuple(content), tuple(sorted(set(_names(content.get(JSON, {}), described, 0)))))
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
        if method in {"post", "put", "patch"}
        for content in [operation["requestBody"]["content"]]
    ]


def _names(node: Any, described: dict[str, Any], depth: int) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _names(each, described, depth)
    elif isinstance(node, dict) and depth < 12:
        if "$ref" in node:
            yield from _names(described["components"]["schemas"][node["$ref"].rpartition("/")[2]], described, depth + 1)
        yield from node.get("properties", {})
        for each in node.values():
            yield from _names(each, described, depth + 1)


def check(answer: httpx.Response) -> None:
    """Fail unless the answer is below 500 and, as an error, of the one shape."""
    assert answer.status_code < 500, (answer.request.url, answer.request.content[:200], answer.text)
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) >= {"type", "message", "field", "request_id"}, answer.text
