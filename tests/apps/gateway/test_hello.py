"""The smallest pipeline on a real socket, with the whole application behind it."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apps.common.settings import LimitArgs
from apps.gateway.check import check
from apps.gateway.deployments import GatewayIngress, NormalizerReplica
from apps.gateway.ingress import CHARACTERS, build_asgi
from apps.gateway.normalizer import Normalizer
from tests.apps.serving import Served

SAMPLE = json.loads((Path(__file__).parents[3] / "apps/gateway/sample.json").read_text())


@pytest.fixture(scope="module")
def gateway(served: Callable[..., Served]) -> Served:
    return served("gateway")


def error_of(answer: httpx.Response) -> dict[str, Any]:
    error: dict[str, Any] = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def normalize(url: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/normalize", json=body, headers=headers, timeout=20)


def test_the_sample_is_answered(gateway: Served) -> None:
    answer = httpx.post(gateway.url + SAMPLE["path"], json=SAMPLE["body"], headers={"x-request-id": "my-id.1"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["text"] == SAMPLE["body"]["text"]
    assert body["counts"] == {"characters": 55, "words": 11, "sentences": 2, "lines": 2}
    assert body["language"]["code"] == "en"
    assert 0.5 < body["language"]["confidence"] <= 1
    assert body["request_id"] == answer.headers["x-request-id"] == "my-id.1"


@pytest.mark.parametrize(
    ("text", "normal", "language"),
    [
        ("Cafe\u0301 ferme\u0301 a\u0300 midi,\r\nrevenez demain.\x00 ", "Café fermé à midi,\nrevenez demain.", "fr"),
        ("12:30\t— 5 €", "12:30\t— 5 €", "und"),
        ("\u200b\x07", "", "und"),
    ],
)
def test_a_text_comes_back_in_its_normal_form(gateway: Served, text: str, normal: str, language: str) -> None:
    body = normalize(gateway.url, {"text": text}).json()
    assert (body["text"], body["language"]["code"]) == (normal, language)
    assert body["counts"]["characters"] == len(normal)


def test_the_longest_text_is_taken_however_it_is_written(gateway: Served) -> None:
    content = json.dumps({"text": "🙂" * CHARACTERS})
    assert len(content) > 12 * CHARACTERS
    answer = httpx.post(f"{gateway.url}/normalize", content=content, headers={"content-type": "application/json"})
    assert answer.json()["counts"]["characters"] == CHARACTERS


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "x" * (CHARACTERS + 1)}, "text"),
        ({"text": 5}, "text"),
        ({"text": "a", "txt": "b"}, "txt"),
        ({"text": "a", "timeout_s": 0}, "timeout_s"),
        ([], "body"),
    ],
)
def test_a_wrong_field_is_named(gateway: Served, body: Any, field: str) -> None:
    answer = normalize(gateway.url, body)
    assert (answer.status_code, error_of(answer)["type"], error_of(answer)["field"]) == (422, "validation", field)


def test_live_settings_are_visible_at_once(gateway: Served) -> None:
    gateway.ingress.reconfigure({"revision": "blue"})
    assert httpx.get(f"{gateway.url}/healthz").json() == {"status": "ok", "settings": {"revision": "blue"}}
    gateway.ingress.reconfigure({"revision": "1"})
    with pytest.raises(ValueError, match="Extra inputs"):
        gateway.ingress.reconfigure({"revison": "typo"})


class Waiting:
    """A handle to a Normalizer that never answers."""

    def __init__(self) -> None:
        self.started, self.cancelled = threading.Event(), threading.Event()
        self.normalise = self.ready = self

    def remote(self, *_: Any) -> "Waiting":
        self.started.set()
        return self

    def __await__(self) -> Iterator[Any]:
        yield from asyncio.sleep(30).__await__()

    def cancel(self) -> None:
        self.cancelled.set()


@pytest.fixture
def stuck(serving: Callable[[Any], str]) -> tuple[Waiting, str]:
    handle = Waiting()
    return handle, serving(build_asgi(GatewayIngress(LimitArgs(in_flight=1, retry_after_s=7), handle)))


def test_a_passed_deadline_is_504_and_stops_the_work(stuck: tuple[Waiting, str]) -> None:
    handle, url = stuck
    answer = normalize(url, SAMPLE["body"], **{"x-request-timeout-ms": "100"})
    assert (answer.status_code, error_of(answer)["type"]) == (504, "deadline_exceeded")
    assert handle.cancelled.wait(5)


def test_the_work_stops_when_the_client_leaves(stuck: tuple[Waiting, str]) -> None:
    handle, url = stuck
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{url}/normalize", json=SAMPLE["body"], timeout=0.3)
    assert handle.started.is_set()
    assert handle.cancelled.wait(5)


def test_a_full_ingress_says_when_to_come_back(stuck: tuple[Waiting, str]) -> None:
    handle, url = stuck
    first = threading.Thread(target=normalize, args=(url, {**SAMPLE["body"], "timeout_s": 1}))
    first.start()
    assert handle.started.wait(5)
    answer = normalize(url, SAMPLE["body"])
    assert (answer.status_code, error_of(answer)["type"], answer.headers["retry-after"]) == (503, "overloaded", "7")
    first.join()


def test_not_ready_names_the_part(stuck: tuple[Waiting, str]) -> None:
    answer = httpx.get(f"{stuck[1]}/readyz", timeout=10)
    assert (answer.status_code, error_of(answer)["message"]) == (503, "normalizer: no answer within 2 s")


def test_the_model_is_loaded_once_behind_the_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    monkeypatch.setattr("apps.common.gate.ProxyGate.wait_for_answer", lambda _: loaded.append("gate"))
    monkeypatch.setattr(Normalizer, "__init__", lambda _: loaded.append("model"))
    NormalizerReplica()
    assert loaded == ["gate", "model", "gate"]


def test_the_check_of_the_image_passes() -> None:
    assert asyncio.run(check())["language"] == {"code": "de", "confidence": pytest.approx(0.99, abs=0.05)}


def test_the_check_sees_another_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Normalizer.normalise
    monkeypatch.setattr(Normalizer, "normalise", lambda self, text: right(self, text.replace("Der", "")))
    with pytest.raises(AssertionError, match="not what is in the text"):
        asyncio.run(check())
