"""No file, however made, is answered with 5xx or ends a replica: it is read, or refused with the reason."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.common.errors import PipelineError
from apps.document_intelligence.reading.sandbox import Reader
from apps.document_intelligence.settings import ReaderArgs
from tests.apps.document_intelligence import hostile_files, samples
from tests.apps.document_intelligence.hostile_files import PDF, PNG, TXT, Hostile, zoo

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ZOO = list(zoo())
QUICK = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


async def read(reader: Reader, content: bytes, media_type: Any) -> str:
    """ "read", or the reason of the refusal."""
    try:
        opened = await reader.open(content, media_type)
        for number in opened.scanned:
            await reader.page(content, media_type, number)
    except PipelineError as error:
        refusal = error
    else:
        return "read"
    assert (refusal.status, refusal.field) == (422, "body")
    assert refusal.message
    return refusal.kind


@pytest.mark.parametrize("file", ZOO, ids=lambda file: f"{file.media_type.split('/')[1]}: {file.name}")
def test_the_zoo(reader: Reader, file: Hostile, run: Run) -> None:
    answer = run(read(reader, file.content, file.media_type))
    assert answer == file.reason or file.reason is None, answer
    if file.reason is None:
        assert answer in {"read", "damaged", "too_expensive", "too_many_pages", "too_many_characters"}


def test_bombs_are_stopped_by_their_bound(run: Run) -> None:
    laughs = next(file for file in ZOO if file.name == "forms that draw forms")
    with pytest.raises(PipelineError, match="more than 1 s of CPU"):
        run(Reader(ReaderArgs(cpu_s=1)).open(laughs.content, "application/pdf"))
    with pytest.raises(PipelineError, match=r"more than 0\.5 s"):
        run(Reader(ReaderArgs(wall_s=0.5)).open(laughs.content, "application/pdf"))


def test_a_reader_that_dies_is_told_as_what_it_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.document_intelligence.reading import sandbox

    content = hostile_files.written(1)
    for end, reason in (
        ("os.abort()", "SIGABRT"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("sys.exit(3)", "anything of it"),
    ):
        command = (sandbox._COMMAND[0], "-c", f"import os, sys; {end}")
        monkeypatch.setattr(sandbox, "_COMMAND", command)
        with pytest.raises(PipelineError, match=reason) as caught:
            run(Reader(ReaderArgs()).open(content, "application/pdf"))
        assert caught.value.status == 422
        with pytest.raises(RuntimeError, match="the reader does not work"):
            Reader(ReaderArgs()).prove()


def test_the_child_sees_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    from apps.document_intelligence.reading import sandbox

    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    told = (
        "import json, os, sys; sys.stdin.buffer.read(); json.dump({'refused': ['x', ' '.join(os.environ)]}, sys.stdout)"
    )
    monkeypatch.setattr(sandbox, "_COMMAND", (sandbox._COMMAND[0], "-c", told))
    with pytest.raises(PipelineError) as caught:
        run(Reader(ReaderArgs()).open(b"%PDF-", "application/pdf"))
    assert "PYTHONPATH" in caught.value.message
    assert "KEY" not in caught.value.message


def test_where_a_text_is_no_text_is_told(url: str) -> None:
    cases = (
        (b"INVOICE\n\x00 1", "byte 8 is 0x00"),
        (b"caf\xe9\x00", "byte 3 is 0xe9"),
        (b"\xef\xbb\xbfab\xff", "byte 5 is 0xff"),
    )
    for content, message in cases:
        answer = httpx.post(f"{url}/documents", content=content, headers={"content-type": TXT})
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["field"]) == (422, "not_text", "body")
        assert message in error["message"]


def ask(url: str, content: bytes, media_type: str) -> httpx.Response:
    answer = httpx.post(f"{url}/documents", content=content, headers={"content-type": media_type}, timeout=60)
    assert answer.status_code in {200, 422}, answer.text
    if answer.status_code == 422:
        assert set(answer.json()["error"]) == {"type", "message", "field", "request_id"}
    return answer


@QUICK
@given(content=st.binary(max_size=300), media_type=st.sampled_from([PDF, PNG, TXT]))
@example(content=b"%PDF-1.4 1 0 obj<</Type/Catalog>>endobj trailer<</Root 1 0 R>>", media_type=PDF)
@example(
    content=b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x06\x00\x00\x00", media_type=PNG
)
def test_bytes_of_any_kind(url: str, content: bytes, media_type: str) -> None:
    ask(url, content, media_type)


@QUICK
@given(content=st.text(max_size=400))
@example(content="\u202eTotal: \u0661\u0662")
@example(content="Total: " + "9" * 5000)
@example(content="Invoice Number: 1\n" + "Date\t" * 4000)
@example(content="between " * 500 + "and " * 500 + " agreement contract parties governing law")
def test_texts_of_any_kind(url: str, content: str) -> None:
    ask(url, content.encode("utf-8", "replace"), TXT)


@pytest.mark.parametrize("form", ["pdf", "png"])
def test_bent_files(url: str, form: Any) -> None:
    chance = random.Random(3)  # noqa: S311
    content, media_type, _ = samples.make("receipt", form, chance)
    for _ in range(8 if form == "pdf" else 3):
        ask(url, hostile_files.bent(content, chance), media_type)


@pytest.mark.parametrize(
    "text",
    [
        "A " * 60_000,
        "DE00 " * 30_000,
        "Date: " * 30_000,
    ],
    ids=lambda text: text[:6],
)
def test_long_texts_take_no_more_than_their_share_of_time(url: str, text: str) -> None:
    lines = "\n".join(text[start : start + 100] for start in range(0, len(text), 100))
    started = time.process_time()
    assert ask(url, lines.encode(), TXT).status_code == 200
    assert time.process_time() - started < 20, "a second when it is linear, hours when it is not"


def test_the_replicas_are_still_there(url: str) -> None:
    assert httpx.get(f"{url}/readyz", timeout=10).json()["status"] == "ready"


def test_readers_in_flight_are_bounded_and_end_with_their_caller(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.document_intelligence.reading import sandbox

    hanging = (sandbox._COMMAND[0], "-c", "import time; time.sleep(60)")
    command = sandbox._COMMAND
    reader = Reader(ReaderArgs())
    started: list[Any] = []
    start = reader._start

    def watched() -> Any:
        started.append(start())
        return started[-1]

    async def leave() -> None:
        monkeypatch.setattr(reader, "_start", watched)
        monkeypatch.setattr(sandbox, "_COMMAND", hanging)
        first = asyncio.ensure_future(reader.open(b"%PDF-", "application/pdf"))
        await asyncio.sleep(0.3)
        # One process at a time: this one waits for the first.
        monkeypatch.setattr(sandbox, "_COMMAND", command)
        second = asyncio.ensure_future(reader.open(hostile_files.written(1), "application/pdf"))
        await asyncio.sleep(0.3)
        assert len(started) == 1
        first.cancel()
        assert (await second).count == 1
        assert started[0].wait(5) == -signal.SIGKILL

    began = time.monotonic()
    run(leave())
    assert time.monotonic() - began < 10
