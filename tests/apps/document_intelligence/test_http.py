"""The HTTP interface: raw files in, one answer, every refusal with its reason, and work that stops with its caller."""

# ruff: noqa: ARG002 - stand-ins take what the real steps take
import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.errors import PipelineError
from apps.common.settings import LimitArgs
from apps.document_intelligence.classify import DocumentKind, Kind
from apps.document_intelligence.ingress import build_asgi
from apps.document_intelligence.ner.entities import Entity
from apps.document_intelligence.pages import MediaType, Opened, Page
from apps.document_intelligence.pipeline import Pipeline
from apps.document_intelligence.schema import AnyFields, Other
from apps.document_intelligence.settings import IngressSettings
from tests.apps.document_intelligence import hostile_files
from tests.apps.serving import Served

SAMPLE = json.loads((Path(__file__).parents[3] / "apps/document_intelligence/sample.json").read_text())
TEXT = {"content-type": "text/plain"}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"type", "message", "field", "request_id"}
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_the_sample_is_an_invoice(url: str) -> None:
    headers = {"content-type": "text/plain; charset=utf-8", "x-request-id": "my.1"}
    answer = httpx.post(f"{url}{SAMPLE['path']}?name=may.txt", content=SAMPLE["body"], headers=headers)
    assert answer.status_code == 200
    body = answer.json()
    assert body["request_id"] == answer.headers["x-request-id"] == "my.1"
    assert (body["name"], body["document"]["kind"], body["settings"]["revision"]) == ("may.txt", "invoice", "1")
    fields = body["fields"]
    assert fields["number"]["value"] == "INV-2026-0042"
    assert (fields["seller"]["value"], fields["buyer"]["value"]) == ("Northwind Tools Ltd", "Bluepeak Catering GmbH")
    assert (fields["due_date"]["value"], fields["total"]["value"]) == ("2026-04-13", "267.60")
    assert [item["value"]["amount"] for item in fields["line_items"]] == ["45.00", "178.00"]
    assert fields["total"]["page"] == 1
    assert fields["total"]["confidence"] > 0.9
    assert body["pages"] == [
        {"page": 1, "width": 612.0, "height": 792.0, "source": "text-layer", "characters": 269, "ocr_confidence": None}
    ]


@pytest.mark.parametrize(
    ("query", "headers", "status", "field"),
    [
        ("language=deu", {}, 422, "query.language"),
        ("name=", {}, 422, "query.name"),
        ("name=a%0Ab", {}, 422, "query.name"),
        ("timeout_s=0", {}, 422, "query.timeout_s"),
        ("timeout_s=nan", {}, 422, "query.timeout_s"),
        ("lang=eng", {}, 422, "query.lang"),
        ("", {"x-request-timeout-ms": "soon"}, 422, "x-request-timeout-ms"),
        ("", {"content-type": "application/json"}, 415, "content-type"),
        ("", {"content-type": "multipart/form-data; boundary=x"}, 415, "content-type"),
        ("", {"content-type": "text/plain; charset=latin-1"}, 415, "content-type"),
    ],
)
def test_what_is_wrong_is_named(url: str, query: str, headers: dict[str, str], status: int, field: str) -> None:
    answer = httpx.post(f"{url}/documents?{query}", content=b"x", headers={**TEXT, **headers})
    assert (answer.status_code, error_of(answer)["field"]) == (status, field)


def test_a_body_beyond_the_limit_is_refused(served: Callable[..., Served]) -> None:
    small = served("document-intelligence", limits=LimitArgs(body_bytes=2000))
    answer = httpx.post(f"{small.url}/documents", content=b"a" * 2001, headers=TEXT)
    assert (answer.status_code, error_of(answer)["type"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("media_type", "content", "kind"),
    [
        (hostile_files.PDF, b"", "empty"),
        (hostile_files.PDF, hostile_files.written(1, "secret"), "encrypted"),
        (hostile_files.PDF, hostile_files.written(101), "too_many_pages"),
        (hostile_files.PNG, hostile_files.png(131_072, 131_072), "too_many_pixels"),
        (hostile_files.PNG, hostile_files.written(1), "damaged"),
        (hostile_files.TXT, b"a" * 400_001, "too_many_characters"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(url: str, media_type: str, content: bytes, kind: str) -> None:
    answer = httpx.post(f"{url}/documents", content=content, headers={"content-type": media_type}, timeout=30)
    error = error_of(answer)
    assert (answer.status_code, error["type"], error["field"]) == (422, kind, "body")


def test_100_pages_are_read(url: str) -> None:
    content = hostile_files.written(100)
    answer = httpx.post(f"{url}/documents", content=content, headers={"content-type": "application/pdf"}, timeout=60)
    assert [page["page"] for page in answer.json()["pages"]] == list(range(1, 101))


def test_the_interface_describes_the_three_types_of_bodies(url: str) -> None:
    operation = httpx.get(f"{url}/openapi.json").json()["paths"]["/documents"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/pdf", "image/png", "text/plain"}
    assert {parameter["name"] for parameter in operation["parameters"]} == {"name", "language", "timeout_s"}


def test_live_settings_are_taken_by_every_deployment(pipeline: Served) -> None:
    ingress = pipeline.ingress
    old = ingress.pipeline.settings
    ingress.reconfigure({"revision": "blue", "pages_in_flight": 2})
    health = httpx.get(f"{pipeline.url}/healthz").json()
    assert health["settings"] == {"revision": "blue", "pages_in_flight": 2, "bytes_in_flight": 32_000_000}
    ingress.reconfigure(old.model_dump())
    with pytest.raises(ValueError, match="less than or equal to 32"):
        ingress.reconfigure({"pages_in_flight": 100})


class SlowSteps:
    """Ten scanned pages; reading one takes until it is let go. Counts what is in flight and what was cancelled."""

    def __init__(self, page_s: float = 30, failing: int = 0):
        self.page_s = page_s
        self.failing = failing
        self.started = threading.Event()
        self.in_flight = self.most = self.cancelled = self.asked = self.understanding = 0

    async def open(self, content: bytes, media_type: MediaType, first: int) -> Opened:
        # In two slices: the first says where the next begins.
        return Opened(10, [], [1, 2, 3], 4) if first == 1 else Opened(10, [], list(range(first, 11)))

    async def page(self, content: bytes, media_type: MediaType, number: int) -> Page:
        self.asked += 1
        if number == self.failing:
            raise PipelineError(422, "damaged", "no", "body")
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        self.started.set()
        try:
            # Later pages are ready first.
            await asyncio.sleep(self.page_s / number)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        return Page(number, 10, 10, "ocr", ["word"], [(0, 0, 1, 1)], [0.5], [2])

    async def entities(self, pages: Sequence[Page]) -> list[Entity]:
        await self._both()
        return []

    async def _both(self) -> None:
        """Return when entities and kind are both being found: one after the other, it is a TimeoutError."""
        self.understanding += 1
        async with asyncio.timeout(5):
            while self.understanding < 2:
                await asyncio.sleep(0.001)

    async def classify(self, pages: Sequence[Page]) -> Kind:
        await self._both()
        return Kind("other", 1.0, {"other": 1.0})

    async def extract(
        self, kind: DocumentKind, pages: Sequence[Page], entities: Sequence[Entity], timeout_s: float
    ) -> AnyFields:
        assert 0 < timeout_s <= 30
        return Other()

    async def ready(self, timeout_s: float) -> dict[str, str]:
        return {"ocr": f"no answer within {timeout_s:g} s"}


Slow = Callable[..., tuple[SlowSteps, str]]


@pytest.fixture
def slow(serving: Callable[[Any], str]) -> Slow:
    def start(limits: LimitArgs | None = None, characters: int = 100, **more: Any) -> tuple[SlowSteps, str]:
        steps = SlowSteps(**more)
        pipeline = Pipeline(steps, characters, IngressSettings(pages_in_flight=3))
        return steps, serving(build_asgi(pipeline, limits or LimitArgs()))

    return start


def wait(condition: Callable[[], bool]) -> bool:
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_pages_are_read_some_at_a_time_and_answered_in_order(slow: Slow) -> None:
    steps, url = slow(page_s=0.3)
    body = httpx.post(f"{url}/documents", content=b"x", headers=TEXT).json()
    assert [page["page"] for page in body["pages"]] == list(range(1, 11))
    assert (steps.most, steps.asked) == (3, 10)
    assert body["pages"][0]["ocr_confidence"] == 0.5
    assert steps.understanding == 2, "entities and kind at the same time"


def test_of_a_large_document_fewer_pages_are_read_at_once(slow: Slow) -> None:
    limits = LimitArgs(body_bytes=20_000_000)
    for size, most in ((12_000_000, 2), (20_000_000, 1)):
        steps, url = slow(limits, page_s=0.1)
        assert httpx.post(f"{url}/documents", content=b"x" * size, headers=TEXT).status_code == 200
        assert steps.most == most


def test_one_damaged_page_ends_the_work_on_the_others(slow: Slow) -> None:
    steps, url = slow(failing=3)
    answer = httpx.post(f"{url}/documents", content=b"x", headers=TEXT)
    assert (answer.status_code, error_of(answer)["type"]) == (422, "damaged")
    assert (steps.cancelled, steps.in_flight, steps.asked) == (2, 0, 3)


def test_too_much_text_over_all_pages_is_refused(slow: Slow) -> None:
    steps, url = slow(page_s=0.1, characters=15)
    answer = httpx.post(f"{url}/documents", content=b"x", headers=TEXT)
    assert (answer.status_code, error_of(answer)["type"]) == (422, "too_many_characters")
    assert steps.asked < 10


def test_the_work_on_pages_stops_when_the_client_leaves(slow: Slow) -> None:
    steps, url = slow()
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/documents", content=b"x", headers=TEXT, timeout=httpx.Timeout(5, read=0.5))
    assert wait(lambda: steps.cancelled == 3)
    assert (steps.in_flight, steps.asked) == (0, 3)


@pytest.mark.parametrize(("query", "headers"), [("?timeout_s=0.3", {}), ("", {"x-request-timeout-ms": "300"})])
def test_the_deadline_ends_the_work_on_pages(slow: Slow, query: str, headers: dict[str, str]) -> None:
    steps, url = slow()
    answer = httpx.post(f"{url}/documents{query}", content=b"x", headers={**TEXT, **headers})
    assert (answer.status_code, error_of(answer)["type"]) == (504, "deadline_exceeded")
    assert (steps.cancelled, steps.in_flight) == (3, 0)


def test_a_full_ingress_says_when_to_come_back(slow: Slow) -> None:
    steps, url = slow(LimitArgs(in_flight=1, retry_after_s=7))
    first = threading.Thread(target=httpx.post, args=(f"{url}/documents?timeout_s=1",), kwargs={"headers": TEXT})
    first.start()
    assert steps.started.wait(5)
    answer = httpx.post(f"{url}/documents", content=b"x", headers=TEXT)
    assert (answer.status_code, answer.headers["retry-after"], error_of(answer)["type"]) == (503, "7", "overloaded")
    first.join()


def test_ready_means_that_every_part_answers(slow: Slow) -> None:
    answer = httpx.get(f"{slow()[1]}/readyz")
    assert (answer.status_code, error_of(answer)["message"]) == (503, "ocr: no answer within 2 s")
