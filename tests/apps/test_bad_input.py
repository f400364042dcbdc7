"""Whatever arrives at any endpoint of any pipeline, the answer is below 500 and every error has the one shape."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.apps.hostile import HEADERS, JSON, QUICK, Operation, as_sent, check, header_values, operations
from tests.apps.serving import PIPELINES, Served


@pytest.fixture(params=PIPELINES, scope="module")
def pipeline(request: pytest.FixtureRequest, served: Callable[..., Served]) -> Served:
    return served(request.param)


@pytest.fixture(scope="module")
def found(pipeline: Served) -> list[Operation]:
    described = operations(httpx.get(f"{pipeline.url}/openapi.json").json())
    assert described
    return described


# What the gateway asks for, so that its bodies are read; the others do not look.
KEY = {"authorization": "Bearer local-demo-key"}


def post(pipeline: Served, path: str, content: bytes, media_type: str) -> httpx.Response:
    return httpx.post(pipeline.url + path, content=content, headers={**KEY, "content-type": media_type}, timeout=60)


@pytest.mark.parametrize(
    ("status", "body"), [(500, '{"error": {"type": "x", "message": "", "field": null, "request_id": ""}}'), (404, "[]")]
)
def test_a_wrong_answer_is_noticed(status: int, body: str) -> None:
    request = httpx.Request("POST", "http://127.0.0.1/x", content=b"{}")
    with pytest.raises((AssertionError, TypeError)):
        check(httpx.Response(status, text=body, headers={"x-request-id": "1"}, request=request))


def test_every_field_of_every_depth_is_tried() -> None:
    inner = {"properties": {"b": {"type": "array", "items": {"properties": {"c": {}}}}}}
    media = {
        "application/json": {"schema": {"allOf": [{"$ref": "#/components/schemas/Inner"}], "properties": {"a": {}}}}
    }
    described = {
        "paths": {"/x": {"post": {"requestBody": {"content": media}}, "get": {}}},
        "components": {"schemas": {"Inner": inner}},
    }
    (operation,) = operations(described)
    assert (operation.path, operation.fields) == ("/x", ("a", "b", "c"))
    assert {body for _, body in operation.nasty()} >= {b"null", b'{"c": null}', b'{"a": -1}'}


def test_values_that_have_broken_others(pipeline: Served, found: list[Operation]) -> None:
    for operation in found:
        for media_type, body in operation.nasty():
            check(post(pipeline, operation.path, body, media_type))


def test_json_of_any_kind(pipeline: Served, found: list[Operation]) -> None:
    for operation in found:
        if JSON in operation.media_types:
            send_json(pipeline, operation)


def send_json(pipeline: Served, operation: Operation) -> None:
    @QUICK
    @given(body=operation.bodies)
    def ask(body: dict[str, Any]) -> None:
        check(post(pipeline, operation.path, as_sent(body), JSON))

    ask()


def test_bytes_of_any_kind(pipeline: Served, found: list[Operation]) -> None:
    for operation in found:
        send_bytes(pipeline, operation)


def send_bytes(pipeline: Served, operation: Operation) -> None:
    @QUICK
    @given(content=st.binary(max_size=200), media_type=st.sampled_from(operation.media_types))
    def ask(content: bytes, media_type: str) -> None:
        check(post(pipeline, operation.path, content, media_type))

    ask()


def test_headers_of_any_kind(pipeline: Served, found: list[Operation]) -> None:
    @QUICK
    @given(operation=st.sampled_from(found), name=st.sampled_from(HEADERS), value=header_values)
    def ask(operation: Operation, name: str, value: str) -> None:
        headers = {**KEY, "content-type": operation.media_types[0], name: value}
        check(httpx.post(pipeline.url + operation.path, content=b'{"text": "noon"}', headers=headers, timeout=60))

    ask()


def test_paths_of_any_kind(pipeline: Served) -> None:
    @QUICK
    @given(path=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=30))
    def ask(path: str) -> None:
        answer = httpx.get(f"{pipeline.url}/{quote(path)}")
        if answer.headers["content-type"] == JSON:
            check(answer)
        else:
            assert answer.status_code < 500

    ask()


def timeout_asked(case: Any) -> float:
    """The deadline of a request in seconds: a field of its body, or of its query where the body is a document."""
    places = [place for place in (case.query, case.body) if isinstance(place, dict)]
    return float(min((place["timeout_s"] for place in places if place.get("timeout_s")), default=60))


@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_the_interface_keeps_what_it_describes(
    pipeline: Served, found: list[Operation], mode: schemathesis.GenerationMode
) -> None:
    described = schemathesis.openapi.from_url(f"{pipeline.url}/openapi.json")
    for operation in found:

        @settings(QUICK, max_examples=25)
        @given(case=described[operation.path]["POST"].as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call(headers=KEY)
            # Who asks for an answer in a millisecond is told, rightly, that it was too late.
            late = answer.status_code == 504 and timeout_asked(case) < 5
            assert answer.status_code < 500 or late, answer.text
            case.validate_response(answer, checks=[schemathesis.checks.response_schema_conformance])

        ask()
