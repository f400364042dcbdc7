"""Whatever arrives, the answer is below 500 and every error has the one shape."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

POSTS = ("/ask", "/search", "/documents")
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(["question", "top_k", "stream", "timeout_s", "document", "text"]) | st.text(max_size=8)
bodies = st.dictionaries(names, json_values, max_size=6)


def is_fine(answer: httpx.Response) -> None:
    assert answer.status_code < 500, answer.text
    assert answer.headers["x-request-id"]
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"type", "message", "field", "request_id"}


@QUICK
@given(path=st.sampled_from(POSTS), body=bodies)
@example(path="/ask", body={"question": "\x00"})
@example(path="/ask", body={"question": "\ufdfa" * 2000})
@example(path="/ask", body={"question": "a" * 100_000})
@example(path="/ask", body={"question": "']; DROP TABLE x; --", "top_k": 20})
@example(path="/ask", body={"question": "a", "timeout_s": 1e308})
@example(path="/search", body={"question": "a", "top_k": 10**400})
@example(path="/documents", body={"document": "../../etc/passwd", "text": "'; --"})
@example(path="/documents", body={"document": "\u202e\U0001f600", "text": "\ufffe\uffff\u2028"})
@example(path="/documents", body={"document": "a", "text": "#" * 3000})
def test_json_of_any_kind(client: httpx.Client, path: str, body: dict[str, Any]) -> None:
    # The standard encoder: NaN and lone surrogates go out as clients do send them.
    is_fine(client.post(path, content=json.dumps(body), headers={"content-type": "application/json"}))


@QUICK
@given(path=st.sampled_from(POSTS), content=st.binary(max_size=200))
@example(path="/ask", content=b'{"a":' * 5000)
@example(path="/ask", content=b"[" * 49_000 + b"]" * 500)
@example(path="/ask", content=b'{"question":' + b"9" * 40_000 + b"}")
@example(path="/ask", content=b"\xef\xbb\xbf{}")
def test_bytes_of_any_kind(client: httpx.Client, path: str, content: bytes) -> None:
    is_fine(client.post(path, content=content, headers={"content-type": "application/json"}))


header_values = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60)


@QUICK
@given(
    name=st.sampled_from(["content-type", "x-request-id", "x-request-timeout-ms", "accept", "x-forwarded-for"]),
    value=header_values,
)
def test_headers_of_any_kind(client: httpx.Client, name: str, value: str) -> None:
    headers = {"content-type": "application/json", name: value}
    is_fine(client.post("/search", content=b'{"question": "noon"}', headers=headers))


@QUICK
@given(path=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
def test_paths_of_any_kind(client: httpx.Client, path: str) -> None:
    answer = client.get("/" + quote(path))
    if answer.headers["content-type"] == "application/json":
        is_fine(answer)
    else:
        assert answer.status_code < 500


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_the_interface_keeps_what_it_describes(url: str, path: str, mode: schemathesis.GenerationMode) -> None:
    described = schemathesis.openapi.from_url(f"{url}/openapi.json")

    @settings(QUICK, max_examples=25)
    @given(case=described[path]["POST"].as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        answer = case.call()
        # Who asks for an answer in a millisecond is told, rightly, that it was too late.
        assert answer.status_code < 500 or (answer.status_code == 504 and case.body["timeout_s"] < 5), answer.text
        case.validate_response(answer, checks=[schemathesis.checks.response_schema_conformance])

    check()
