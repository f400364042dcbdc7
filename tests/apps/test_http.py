"""The HTTP interface on a real socket, with the whole application behind it."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import httpx
import pytest

from apps.common.guard import GuardLimits, RequestGuard
from apps.common.retrieval.types import Hit, IndexInfo, Ingested, Retrieved
from apps.common.settings import LimitArgs
from apps.rag.deployments import RagIngress
from apps.rag.ingress import build_asgi
from apps.rag.pipeline import Pipeline
from tests.apps.serving import Served, WaitingSteps

# As in conftest.py.
BODY_BYTES = 50_000
WOMBAT = {"question": "When does the wombat land on the moon?"}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"type", "message", "field", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(block[0].removeprefix("event: "), json.loads(block[1].removeprefix("data: "))) for block in blocks]


def test_an_answer_names_its_sources_index_and_settings(client: httpx.Client) -> None:
    answer = client.post("/ask", json=WOMBAT, headers={"x-request-id": "my-id.1"})
    assert answer.status_code == 200
    body = answer.json()
    assert "The wombat lands on the moon at noon. [1]" in body["answer"]
    first = body["sources"][0]
    assert (first["document"], first["section"], first["lines"]) == ("moon.md", "Moon", [3, 3])
    assert 0 < first["score"] <= 1
    assert "wombat" in first["snippet"]
    assert body["index"]["store"] == "lancedb"
    assert len(body["index"]["digest"]) == 16
    assert body["settings"]["revision"] == "1"
    assert set(body["timings_ms"]) == {"normalise", "retrieve", "rerank", "generate"}
    assert body["request_id"] == answer.headers["x-request-id"] == "my-id.1"


def test_ready_means_that_every_part_answers(client: httpx.Client, slow: tuple[Any, str]) -> None:
    assert client.get("/readyz").json() == {
        "status": "ready",
        "steps": dict.fromkeys(("normalizer", "retriever", "reranker", "generator"), "ok"),
    }
    answer = httpx.get(f"{slow[1]}/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert error_of(answer)["message"] == "retriever: no answer within 2 s"
    assert httpx.get(f"{slow[1]}/healthz").status_code == 200, "the ingress itself is up"


def test_search_gives_the_sources_only(client: httpx.Client) -> None:
    body = client.post("/search", json={"question": "floods", "top_k": 2}).json()
    assert body["sources"][0]["document"] == "river.md"
    assert len(body["sources"]) == 2
    assert "answer" not in body


def test_a_stream_has_sources_then_tokens_then_done(client: httpx.Client) -> None:
    with client.stream("POST", "/ask", json={**WOMBAT, "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        got = events(answer.read().decode())
    names = [name for name, _ in got]
    assert names[0] == "sources"
    assert names[-1] == "done"
    assert set(names[1:-1]) == {"token"}
    whole = client.post("/ask", json=WOMBAT).json()["answer"]
    assert "".join(data["text"] for name, data in got if name == "token") == whole


def test_a_document_is_found_after_ingest_and_the_index_changes(client: httpx.Client) -> None:
    before = client.post("/search", json=WOMBAT).json()["index"]["digest"]
    body = {"document": "zeppelin.md", "text": "# Zeppelin\r\n\r\nA zeppelin crosses the lake on Sundays.\r\n"}
    created = client.post("/documents", json=body)
    assert (created.status_code, created.json()["change"]) == (201, "created")
    assert created.json()["index"]["digest"] != before
    assert created.json()["index"]["durable"] is False
    again = client.post("/documents", json=body)
    assert (again.status_code, again.json()["change"]) == (200, "unchanged")
    assert again.json()["index"] == created.json()["index"]
    found = client.post("/search", json={"question": "When does a zeppelin cross the lake?"}).json()
    assert (found["sources"][0]["document"], found["sources"][0]["lines"]) == ("zeppelin.md", [3, 3])
    updated = client.post("/documents", json={**body, "text": "# Zeppelin\n\nIt stays in its hangar.\n"})
    assert (updated.status_code, updated.json()["change"]) == (200, "updated")
    many = client.post("/documents", json={"document": "many.md", "text": "# Many\n\n" + "A line of text.\n\n" * 900})
    assert many.json()["chunks"] > 12


def test_a_read_only_store_refuses_documents_and_says_why(served: Callable[..., Served]) -> None:
    url = served("rag", store={"kind": "lancedb", "read_only": True}).url
    before = httpx.post(f"{url}/search", json=WOMBAT).json()
    assert before["index"]["durable"] is True
    answer = httpx.post(f"{url}/documents", json={"document": "zeppelin.md", "text": "A zeppelin crosses the lake."})
    assert (answer.status_code, error_of(answer)["type"]) == (403, "read_only")
    assert "the next image" in error_of(answer)["message"]
    assert httpx.post(f"{url}/search", json=WOMBAT).json()["index"] == before["index"]


def test_live_settings_are_visible_at_once(client: httpx.Client, ingress: RagIngress) -> None:
    old = ingress.pipeline.settings
    ingress.reconfigure({"revision": "blue", "top_k": 1})
    body = client.post("/search", json=WOMBAT).json()
    assert (body["settings"]["revision"], len(body["sources"])) == ("blue", 1)
    assert client.get("/healthz").json() == {"status": "ok", "settings": body["settings"]}
    ingress.reconfigure(old.model_dump())
    with pytest.raises(ValueError, match="Extra inputs"):
        ingress.reconfigure({"revison": "typo"})


def test_the_interface_describes_itself(client: httpx.Client) -> None:
    assert "swagger" in client.get("/docs").text.lower()
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/ask", "/search", "/documents", "/healthz", "/readyz"}
    assert {"413", "415", "422", "503", "504"} <= set(described["paths"]["/ask"]["post"]["responses"])


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/ask", {}, 422, "question"),
        ("/ask", {"question": ""}, 422, "question"),
        ("/ask", {"question": " \u200b\n"}, 422, "question"),
        ("/ask", {"question": 5}, 422, "question"),
        ("/ask", {"question": "x" * 2001}, 422, "question"),
        ("/ask", {**WOMBAT, "top_k": "3"}, 422, "top_k"),
        ("/ask", {**WOMBAT, "top_k": 0}, 422, "top_k"),
        ("/ask", {**WOMBAT, "stream": 1}, 422, "stream"),
        ("/ask", {**WOMBAT, "timeout_s": -1}, 422, "timeout_s"),
        ("/ask", {**WOMBAT, "qestion": "typo"}, 422, "qestion"),
        ("/ask", [], 422, "body"),
        ("/search", {"question": None}, 422, "question"),
        ("/documents", {"document": "a\nb", "text": "x"}, 422, "document"),
        ("/documents", {"document": "a", "text": "\u0000 \n"}, 422, "text"),
        ("/documents", {"document": "a"}, 422, "text"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, path: str, body: Any, status: int, field: str) -> None:
    answer = client.post(path, json=body)
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["field"]) == (status, "validation", field)


@pytest.mark.parametrize(
    ("content", "kind", "status", "type_"),
    [
        (b'{"question": ', "application/json", 400, "invalid_json"),
        (b"\xff\xfe\x00broken", "application/json", 400, "invalid_json"),
        (b"[" * 40_000, "application/json", 400, "invalid_json"),
        (b'{"question": "\\ud800"}', "application/json", 422, "validation"),
        (b'{"\\ud800": 1, "question": "a"}', "application/json", 422, "validation"),
        (b'{"question": "a", "timeout_s": NaN}', "application/json", 422, "validation"),
        (b"", "application/json", 422, "validation"),
        (b"question=a", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"question": "a"}', "text/plain", 415, "unsupported_media_type"),
        (b'{"question": "a"}', "", 415, "unsupported_media_type"),
        (b'{"question": "a"}', "application/json; charset=latin-1", 415, "unsupported_media_type"),
        (b" " * (BODY_BYTES + 1), "application/json", 413, "body_too_large"),
    ],
)
def test_a_wrong_body_is_refused(client: httpx.Client, content: bytes, kind: str, status: int, type_: str) -> None:
    answer = client.post("/ask", content=content, headers={"content-type": kind} if kind else {})
    assert (answer.status_code, error_of(answer)["type"]) == (status, type_)


def test_utf_8_may_be_stated(client: httpx.Client) -> None:
    headers = {"content-type": 'application/json; charset="UTF-8"'}
    assert client.post("/search", content=json.dumps(WOMBAT), headers=headers).status_code == 200


def test_unknown_paths_and_methods(client: httpx.Client) -> None:
    answer = client.get("/nowhere")
    assert (answer.status_code, error_of(answer)["type"]) == (404, "not_found")
    answer = client.get("/ask")
    assert (answer.status_code, error_of(answer)["type"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_20_mb_are_refused_without_being_kept(client: httpx.Client) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 1_000_000

    for content in (b"x" * 20_000_000, body()):
        answer = client.post("/documents", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert error_of(answer)["field"] == "body"


def test_a_body_that_does_not_come_is_not_waited_for(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = "POST /ask HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("bad", ["abc", "-5", "0", "nan", "inf"])
def test_a_deadline_that_is_none_is_named(client: httpx.Client, bad: str) -> None:
    answer = client.post("/ask", json=WOMBAT, headers={"x-request-timeout-ms": bad})
    assert (answer.status_code, error_of(answer)["field"]) == (422, "x-request-timeout-ms")


def test_a_bad_request_id_is_replaced(client: httpx.Client) -> None:
    given = client.get("/healthz", headers={"x-request-id": "a b" + "c" * 200}).headers["x-request-id"]
    assert len(given) == 32


class SlowSteps(WaitingSteps):
    """The steps of this pipeline that wait."""

    async def ready(self, timeout_s: float) -> dict[str, str]:
        return {"retriever": f"no answer within {timeout_s:g} s", "generator": "ok"}

    async def clean_question(self, text: str) -> str:
        return text

    async def clean_document(self, text: str) -> str:
        return text

    async def retrieve(self, question: str, limit: int) -> Retrieved:  # noqa: ARG002
        await self._wait("retrieve")
        return Retrieved([], IndexInfo("none", "", 0, 0, False))

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:  # noqa: ARG002
        return hits

    async def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:  # noqa: ARG002
        try:
            yield "first"
            await self._wait("generate")
        finally:
            self.cancelled.set()

    async def ingest(self, name: str, text: str) -> Ingested:  # noqa: ARG002
        await self._wait("ingest")
        return Ingested(name, "created", 0, IndexInfo("none", "", 0, 0, False))


@pytest.fixture
def slow(serving: Callable[[Any], str]) -> tuple[SlowSteps, str]:
    steps = SlowSteps()
    return steps, serving(build_asgi(Pipeline(steps), LimitArgs(in_flight=2, retry_after_s=7)))


@pytest.mark.parametrize("way", ["header", "body", "ingest"])
def test_a_passed_deadline_is_504_and_stops_the_work(slow: tuple[SlowSteps, str], way: str) -> None:
    steps, url = slow
    steps.wait_in = "ingest" if way == "ingest" else "retrieve"
    body: dict[str, Any] = {"document": "a", "text": "b"} if way == "ingest" else dict(WOMBAT)
    headers = {"x-request-timeout-ms": "150"} if way == "header" else {}
    if way != "header":
        body["timeout_s"] = 0.15
    started = time.monotonic()
    answer = httpx.post(f"{url}/{'documents' if way == 'ingest' else 'ask'}", json=body, headers=headers)
    assert (answer.status_code, error_of(answer)["type"]) == (504, "deadline_exceeded")
    assert time.monotonic() - started < 5
    assert steps.cancelled.wait(5)


def test_a_deadline_in_a_stream_is_an_event(slow: tuple[SlowSteps, str]) -> None:
    steps, url = slow
    steps.wait_in = "generate"
    answer = httpx.post(f"{url}/ask", json={**WOMBAT, "stream": True, "timeout_s": 0.3})
    got = events(answer.text)
    assert [name for name, _ in got] == ["sources", "token", "error"]
    assert got[-1][1]["error"]["type"] == "deadline_exceeded"


@pytest.mark.parametrize(("step", "stream"), [("retrieve", False), ("generate", False), ("generate", True)])
def test_the_work_stops_when_the_client_leaves(slow: tuple[SlowSteps, str], step: str, stream: bool) -> None:
    steps, url = slow
    steps.wait_in = step
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.stream("POST", f"{url}/ask", json={**WOMBAT, "stream": stream}, timeout=0.5) as answer,
    ):
        answer.read()
    assert steps.started.is_set()
    assert steps.cancelled.wait(5)


def test_a_full_ingress_answers_503_at_once_and_recovers(slow: tuple[SlowSteps, str]) -> None:
    steps, url = slow
    threads = [threading.Thread(target=httpx.post, args=(f"{url}/ask",), kwargs={"json": {**WOMBAT, "timeout_s": 2}})]
    threads.append(
        threading.Thread(target=httpx.post, args=(f"{url}/ask",), kwargs={"json": {**WOMBAT, "timeout_s": 2}})
    )
    for thread in threads:
        thread.start()
        assert steps.started.wait(5)
        steps.started.clear()
    started = time.monotonic()
    answer = httpx.post(f"{url}/ask", json=WOMBAT)
    assert (answer.status_code, error_of(answer)["type"], answer.headers["retry-after"]) == (503, "overloaded", "7")
    assert time.monotonic() - started < 1
    assert httpx.get(f"{url}/healthz").status_code == 200
    for thread in threads:
        thread.join()
    steps.wait_in = "nowhere"
    assert httpx.post(f"{url}/ask", json=WOMBAT).status_code == 200


def test_a_defect_of_ours_is_500_with_an_id_and_no_detail(slow: tuple[SlowSteps, str]) -> None:
    steps, url = slow
    steps.failure = ZeroDivisionError("secret")
    answer = httpx.post(f"{url}/ask", json=WOMBAT)
    assert (answer.status_code, error_of(answer)["type"]) == (500, "internal")
    assert "secret" not in answer.text
    steps.wait_in = "generate"
    got = events(httpx.post(f"{url}/ask", json={**WOMBAT, "stream": True}).text)
    assert got[-1][1]["error"]["type"] == "internal"


def test_other_connections_pass_the_guard() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(RequestGuard(app, GuardLimits())({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
