"""The HTTP interface on a real socket: the whole application over small runbooks, and steps that are slow."""

# ruff: noqa: ARG002 - steps that wait have no use for what they are given
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.errors import PipelineError
from apps.common.retrieval.types import Chunk, Hit, IndexInfo, Retrieved
from apps.common.settings import LimitArgs
from apps.support_assistant import pipeline as pipeline_module
from apps.support_assistant.feedback import Section, Stored, Summary, Verdict
from apps.support_assistant.ingress import build_asgi
from apps.support_assistant.pipeline import Pipeline
from apps.support_assistant.severity import Severity
from apps.support_assistant.ticket import Ticket
from tests.apps.serving import Served, WaitingSteps
from tests.apps.support_assistant.conftest import BODY_BYTES

KETTLE = {
    "subject": "cold water",
    "description": "The kettle stays cold, the display says\n\nERROR: KettleFailed 503\n",
}
FOREIGN = {"subject": "tax return", "description": "The quarterly numbers of the bakery are due on Monday."}
DONE = ["normalise", "retrieve", "rerank", "note", "generate"]


@pytest.fixture
def client(assistant: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=assistant.url, timeout=30) as opened:
        yield opened


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"type", "message", "field", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(block[0].removeprefix("event: "), json.loads(block[1].removeprefix("data: "))) for block in blocks]


def test_an_answer_quotes_a_runbook_and_names_its_sections(client: httpx.Client) -> None:
    answer = client.post("/tickets", json=KETTLE, headers={"x-request-id": "my-id.1"})
    body = answer.json()
    assert answer.status_code == 200, body
    assert body["matched"] is True
    assert body["answer"].startswith("**Check**\n- Look at the lamp of the socket. [")
    assert "kettlectl fuse" in body["answer"]
    assert "First pull the plug of the kettle." in body["answer"]
    number = body["answer"].partition("First pull the plug of the kettle. [")[2].partition("]")[0]
    cited = body["sources"][int(number) - 1]
    assert (cited["document"], cited["section"]) == ("runbooks/kettle-cold.md", "Mend: replace the fuse")
    assert cited["lines"] == [25, 25]
    assert cited["snippet"].startswith("First pull")
    assert body["runbooks"][0]["document"] == "runbooks/kettle-cold.md"
    listed = sorted(number for runbook in body["runbooks"] for number in runbook["sources"])
    assert listed == list(range(1, len(body["sources"]) + 1))
    assert "References" not in {source["section"] for source in body["sources"]}
    assert body["ticket"]["signals"] == ["KettleFailed"]
    assert body["ticket"]["evidence"] == ["ERROR: KettleFailed 503"]
    assert (body["ticket"]["severity"], body["ticket"]["severity_reason"]) == ("medium", "nothing says otherwise")
    assert body["index"]["documents"] == 2
    assert body["settings"]["revision"] == "1"
    assert list(body["timings_ms"]) == DONE
    assert len(body["answer_id"]) == 32
    assert body["request_id"] == answer.headers["x-request-id"] == "my-id.1"


def test_a_ticket_that_no_runbook_fits_is_told_so(client: httpx.Client) -> None:
    body = client.post("/tickets", json=FOREIGN).json()
    assert (body["matched"], body["sources"], body["runbooks"]) == (False, [], [])
    assert body["similarity"] < 0.38
    assert body["answer"].startswith(
        "No runbook fits this ticket: of 2 runbooks the nearest passage has a similarity of 0."
    )
    assert "Open the list of runbooks (runbooks/)" in body["answer"]
    assert len(body["answer_id"]) == 32, "that it was no help can be said too"


def test_given_fields_are_taken(client: httpx.Client) -> None:
    asked = {**KETTLE, "component": "kitchen", "severity": "critical", "top_k": 1, "timeout_s": 20}
    body = client.post("/tickets", json=asked).json()
    assert (body["ticket"]["severity"], body["ticket"]["severity_reason"]) == ("critical", "given")
    assert {source["document"] for source in body["sources"]} == {"runbooks/kettle-cold.md"}


def test_a_stream_has_sources_then_tokens_then_done(client: httpx.Client) -> None:
    for asked in (KETTLE, FOREIGN):
        with client.stream("POST", "/tickets", json={**asked, "stream": True}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            got = events(answer.read().decode())
        assert [name for name, _ in got][:2] == ["sources", "token"]
        assert got[-1][0] == "done"
        assert len(got[0][1]["answer_id"]) == 32
        whole = client.post("/tickets", json=asked).json()["answer"]
        assert "".join(data["text"] for name, data in got if name == "token") == whole


def test_feedback_is_taken_once_changed_and_counted(client: httpx.Client) -> None:
    before = client.get("/feedback/summary").json()
    ticket = client.post("/tickets", json=KETTLE).json()
    body = {"answer_id": ticket["answer_id"], "helpful": True, "comment": "thanks, my password=hunter2"}
    first = client.post("/feedback", json=body)
    assert first.status_code == 201
    assert (first.json()["change"], first.json()["durable"]) == ("created", True)
    assert client.post("/feedback", json=body).json()["change"] == "unchanged"
    second = client.post("/feedback", json={**body, "helpful": False})
    assert (second.status_code, second.json()["change"]) == (200, "updated")
    after = client.get("/feedback/summary", headers={"x-request-id": "sum-1"}).json()
    assert after["not_helpful"] == before["not_helpful"] + 1
    assert after["helpful"] == before["helpful"]
    assert {
        "document": "runbooks/kettle-cold.md",
        "section": "Mend: replace the fuse",
        "helpful": 0,
        "not_helpful": 1,
    } in (after["sections"])
    assert (after["durable"], after["request_id"]) == (True, "sum-1")


def test_a_comment_is_stored_without_secrets(client: httpx.Client, feedback_file: Path) -> None:
    ticket = client.post("/tickets", json=KETTLE).json()
    client.post("/feedback", json={"answer_id": ticket["answer_id"], "helpful": True, "comment": "token=tell-1-nobody"})
    assert "token=[secret]" in feedback_file.read_text()
    assert "tell-1-nobody" not in feedback_file.read_text()


def test_feedback_on_nothing_known_is_404_naming_the_field(client: httpx.Client) -> None:
    answer = client.post("/feedback", json={"answer_id": "no-such-answer", "helpful": True})
    assert answer.status_code == 404
    error = error_of(answer)
    assert (error["type"], error["field"]) == ("not_found", "answer_id")


def test_secrets_are_neither_answered_nor_logged(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    text = "The kettle is cold.\nERROR: KettleFailed password=hunter2-XyZ for ana@acme.example from 10.9.8.7\n"
    answer = client.post("/tickets", json={"subject": "kettle of 10.9.8.7", "description": text})
    assert answer.json()["ticket"]["redacted"] == {"e-mail": 1, "ip": 2, "secret": 1}
    lines = [record.getMessage() for record in caplog.records]
    (line,) = [line for line in lines if line.startswith("ticket ")]
    assert "runbook=runbooks/kettle-cold.md" in line
    assert "redacted=4" in line
    for secret in ("hunter2", "acme.example", "10.9.8.7"):
        assert secret not in answer.text
        assert not any(secret in line for line in lines)
    assert not any("cold" in line and "kettle-cold" not in line for line in lines), "nothing of the ticket is logged"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/tickets", {"description": "x"}, "subject"),
        ("/tickets", {**KETTLE, "subject": ""}, "subject"),
        ("/tickets", {**KETTLE, "subject": "x" * 301}, "subject"),
        ("/tickets", {"subject": "x"}, "description"),
        ("/tickets", {**KETTLE, "description": "x" * 20_001}, "description"),
        ("/tickets", {"subject": "-", "description": "\u200b"}, "description"),
        ("/tickets", {**KETTLE, "component": "x" * 101}, "component"),
        ("/tickets", {**KETTLE, "severity": "terrible"}, "severity"),
        ("/tickets", {**KETTLE, "severity": 1}, "severity"),
        ("/tickets", {**KETTLE, "top_k": 21}, "top_k"),
        ("/tickets", {**KETTLE, "stream": "yes"}, "stream"),
        ("/tickets", {**KETTLE, "timeout_s": 0}, "timeout_s"),
        ("/tickets", {**KETTLE, "titel": "typo"}, "titel"),
        ("/feedback", {"helpful": True}, "answer_id"),
        ("/feedback", {"answer_id": "x" * 65, "helpful": True}, "answer_id"),
        ("/feedback", {"answer_id": "a", "helpful": "yes"}, "helpful"),
        ("/feedback", {"answer_id": "a", "helpful": True, "comment": "x" * 2001}, "comment"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, path: str, body: Any, field: str) -> None:
    answer = client.post(path, json=body)
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["field"]) == (422, "validation", field)


def test_bounds_are_inside(client: httpx.Client) -> None:
    body = {"subject": "k" * 300, "description": "kettle " * 2857 + "x", "component": "c" * 100, "top_k": 20}
    assert len(str(body["description"])) == 20_000
    assert client.post("/tickets", json=body).status_code == 200
    assert (
        client.post(
            "/tickets", content=b" " * (BODY_BYTES + 1), headers={"content-type": "application/json"}
        ).status_code
        == 413
    )


def test_live_settings_are_visible_at_once(assistant: Served, client: httpx.Client) -> None:
    ingress = assistant.ingress
    old = ingress.pipeline.settings
    ingress.reconfigure({"revision": "blue", "least_similarity": 0.99})
    body = client.post("/tickets", json=KETTLE).json()
    ingress.reconfigure(old.model_dump())
    assert (body["settings"]["revision"], body["matched"]) == ("blue", False)
    assert "below 0.99" in body["answer"]


def test_ready_means_that_every_part_answers(client: httpx.Client) -> None:
    steps = ("normalizer", "retriever", "reranker", "generator", "feedback")
    assert client.get("/readyz").json() == {"status": "ready", "steps": dict.fromkeys(steps, "ok")}


class SlowSteps(WaitingSteps):
    """The steps of this pipeline that wait."""

    async def understand(
        self, subject: str, description: str, component: str | None, severity: Severity | None
    ) -> Ticket:
        await self._wait("understand")
        return Ticket(subject, [], [], severity or Severity.LOW, "given", {})

    async def redact(self, text: str) -> str:
        return text

    async def retrieve(self, question: str, runbooks: int) -> Retrieved:
        await self._wait("retrieve")
        hits = [Hit(Chunk("a.md", "Cause: x", 1, 2, "It is so."), 0.9)]
        return Retrieved(hits, IndexInfo("memory", "", 1, 1, durable=True))

    async def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
        await self._wait("rerank")
        return hits

    async def generate(self, question: str, hits: list[Hit], timeout_s: float) -> AsyncGenerator[str, None]:
        try:
            yield "first"
            await self._wait("generate")
        finally:
            self.cancelled.set()

    async def answered(self, answer_id: str, sections: list[Section]) -> None:
        await self._wait("answered")

    async def judge(self, answer_id: str, verdict: Verdict) -> Stored:
        await self._wait("judge")
        return Stored("created", durable=False)

    async def summary(self) -> Summary:
        await self._wait("summary")
        return Summary(0, 0, 0, 0, [], durable=False)

    async def ready(self, timeout_s: float) -> dict[str, str]:
        return {"retriever": f"no answer within {timeout_s:g} s", "generator": "ok"}


@pytest.fixture
def slow(serving: Callable[[Any], str]) -> tuple[SlowSteps, str]:
    steps = SlowSteps()
    return steps, serving(build_asgi(Pipeline(steps), LimitArgs(in_flight=2, retry_after_s=7)))


@pytest.mark.parametrize("step", ["understand", "retrieve", "rerank", "generate", "judge", "summary"])
def test_a_passed_deadline_is_504_and_stops_the_work(slow: tuple[SlowSteps, str], step: str) -> None:
    steps, url = slow
    steps.wait_in = step
    headers = {"x-request-timeout-ms": "150"}
    started = time.monotonic()
    if step == "summary":
        answer = httpx.get(f"{url}/feedback/summary", headers=headers)
    elif step == "judge":
        answer = httpx.post(f"{url}/feedback", json={"answer_id": "a", "helpful": True}, headers=headers)
    else:
        answer = httpx.post(f"{url}/tickets", json={**KETTLE, "timeout_s": 0.15})
    assert (answer.status_code, error_of(answer)["type"]) == (504, "deadline_exceeded")
    assert time.monotonic() - started < 5
    assert steps.cancelled.wait(5)


def test_a_deadline_in_a_stream_is_an_event(slow: tuple[SlowSteps, str]) -> None:
    steps, url = slow
    steps.wait_in = "generate"
    got = events(httpx.post(f"{url}/tickets", json={**KETTLE, "stream": True, "timeout_s": 0.3}).text)
    assert [name for name, _ in got] == ["sources", "token", "error"]
    assert got[-1][1]["error"]["type"] == "deadline_exceeded"


@pytest.mark.parametrize(("step", "stream"), [("retrieve", False), ("generate", False), ("generate", True)])
def test_the_work_stops_when_the_client_leaves(
    slow: tuple[SlowSteps, str], step: str, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    steps, url = slow
    steps.wait_in = step
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.stream("POST", f"{url}/tickets", json={**KETTLE, "stream": stream}, timeout=0.5) as answer,
    ):
        answer.read()
    assert steps.started.is_set()
    assert steps.cancelled.wait(5)
    if stream:
        time.sleep(0.1)
        assert any("outcome=left" in record.getMessage() for record in caplog.records)


def test_feedback_that_is_away_costs_the_id_and_not_the_answer(
    slow: tuple[SlowSteps, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, url = slow
    steps.wait_in = "answered"
    monkeypatch.setattr(pipeline_module, "NOTE_TIMEOUT_S", 0.1)
    answer = httpx.post(f"{url}/tickets", json=KETTLE)
    assert (answer.status_code, answer.json()["answer"], answer.json()["answer_id"]) == (200, "first", None)
    steps.failure = OSError("no space left on device")
    assert httpx.post(f"{url}/tickets", json=KETTLE).json()["answer_id"] is None
    steps.failure = None
    monkeypatch.setattr(pipeline_module, "NOTE_TIMEOUT_S", 10)
    assert httpx.post(f"{url}/tickets", json={**KETTLE, "timeout_s": 0.2}).status_code == 504


def test_a_full_ingress_answers_503_at_once_and_recovers(slow: tuple[SlowSteps, str]) -> None:
    steps, url = slow
    asked = {**KETTLE, "timeout_s": 2}
    threads = [threading.Thread(target=httpx.post, args=(f"{url}/tickets",), kwargs={"json": asked}) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert steps.started.wait(5)
        steps.started.clear()
    started = time.monotonic()
    answer = httpx.post(f"{url}/tickets", json=KETTLE)
    assert (answer.status_code, error_of(answer)["type"], answer.headers["retry-after"]) == (503, "overloaded", "7")
    assert time.monotonic() - started < 1
    assert httpx.get(f"{url}/healthz").status_code == 200
    for thread in threads:
        thread.join()
    steps.wait_in = "nowhere"
    assert httpx.post(f"{url}/tickets", json=KETTLE).status_code == 200


@pytest.mark.parametrize("step", ["understand", "retrieve", "rerank", "generate"])
def test_a_part_that_fails_is_told_without_detail(slow: tuple[SlowSteps, str], step: str) -> None:
    steps, url = slow
    steps.wait_in = step
    steps.failure = ZeroDivisionError("hush")
    answer = httpx.post(f"{url}/tickets", json=KETTLE)
    assert (answer.status_code, error_of(answer)["type"]) == (500, "internal")
    assert "hush" not in answer.text
    steps.failure = PipelineError(502, "generator", "the language model server failed")
    assert httpx.post(f"{url}/tickets", json=KETTLE).status_code == 502
    if step == "generate":
        got = events(httpx.post(f"{url}/tickets", json={**KETTLE, "stream": True}).text)
        assert got[-1][1]["error"]["type"] == "generator"


def test_a_part_that_is_not_ready_is_named(slow: tuple[SlowSteps, str]) -> None:
    answer = httpx.get(f"{slow[1]}/readyz")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert error_of(answer)["message"] == "retriever: no answer within 2 s"
