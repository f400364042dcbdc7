"""Answers: quoted part by part from one runbook, or by a language model in a server that the replica starts."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from apps.common.retrieval.settings import GeneratorSettings, RerankerArgs
from apps.common.retrieval.types import Chunk, Hit
from apps.support_assistant import vllm_server
from apps.support_assistant.answer import INSTRUCTION, TicketExtract, commands, make_answerer
from apps.support_assistant.pipeline import select
from apps.support_assistant.replicas import WARM_UP_HITS, AnswerGeneratorReplica, TicketRerankerReplica
from apps.support_assistant.settings import AnswerArgs, VllmArgs, WarmUpArgs
from apps.support_assistant.vllm_server import VllmServer

WARM = WarmUpArgs(timeout_s=10)
FAKE = (sys.executable, str(Path(__file__).parent / "fake_vllm.py"))


def hit(section: str, text: str, line: int = 1, document: str = "kettle.md", score: float = 0.5) -> Hit:
    return Hit(Chunk(document, section, line, line + 3, text), score)


HITS = [
    hit("Symptom: cold water", "The water stays cold.", score=0.9),
    hit("Cause: door", "The door is open.", document="door.md", score=0.8),
    hit("Mend: the fuse", "Then boil water.", line=40),
    hit("Mend: the fuse", "First pull the plug. Then replace the fuse.", line=30),
    hit("Confirm: power", "Look at the lamp.\n\n```bash\nkettlectl power\n\nkettlectl fuse\n```\n", line=10),
    hit("Cause: fuse", "| seen | cause |\n|---|---|\n| water is cold | the fuse |\n| steam | the lid |\n", line=20),
]


def said(question: str, hits: list[Hit], sentences: int = 3) -> list[str]:
    extract = TicketExtract()
    extract.configure(GeneratorSettings(sentences=sentences))

    async def collect() -> list[str]:
        return [piece async for piece in extract.stream(question, hits, 5)]

    return asyncio.run(collect())


def test_check_cause_and_fix_are_quoted_from_the_first_runbook_with_their_numbers() -> None:
    check, cause, fix = said("why is the water cold", HITS)
    assert check == "**Check**\n- Look at the lamp. [5]\n```bash\nkettlectl power\nkettlectl fuse\n```\n[5]"
    assert cause == "\n\n**Likely cause**\n- water is cold - the fuse [6]\n- steam - the lid [6]"
    assert fix == "\n\n**Fix**\n- First pull the plug. [4]\n- Then replace the fuse. [4]\n- Then boil water. [3]"
    assert "door" not in check + cause + fix


def test_causes_are_the_most_similar_and_steps_the_first() -> None:
    _, cause, fix = said("steam comes out", HITS, sentences=1)
    assert cause == "\n\n**Likely cause**\n- steam - the lid [6]"
    assert fix == "\n\n**Fix**\n- First pull the plug. [4]"


def test_other_documents_are_quoted_as_they_are() -> None:
    assert said("when is the fish cold", [hit("Menu", "On Fridays there is fish.")]) == [
        "On Fridays there is fish. [1]"
    ]
    assert "do not say anything" in "".join(said("x", []))


def test_commands_are_the_lines_in_fences() -> None:
    assert commands("a\n```\nb\n\n  c\n```\nd\n~~~sh\ne\n~~~") == ["b", "  c", "e"]


def test_sources_are_the_best_and_what_the_first_runbook_can_be_quoted_for() -> None:
    chosen = select(HITS, 2)
    assert [(each.chunk.document, each.chunk.section) for each in chosen] == [
        ("kettle.md", "Symptom: cold water"),
        ("door.md", "Cause: door"),
        ("kettle.md", "Mend: the fuse"),
        ("kettle.md", "Mend: the fuse"),
        ("kettle.md", "Confirm: power"),
        ("kettle.md", "Cause: fuse"),
    ]
    assert select(HITS[1:], 1) == [HITS[1]]


def test_a_replica_answers_a_trial_before_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    stream = TicketExtract.stream

    async def spying(self: TicketExtract, question: str, hits: list[Hit], timeout_s: float) -> Any:
        asked.append(question)
        async for piece in stream(self, question, hits, timeout_s):
            yield piece

    monkeypatch.setattr(TicketExtract, "stream", spying)
    AnswerGeneratorReplica(AnswerArgs(), WARM).check_health()
    assert asked == [WARM.question]

    async def nothing(*_: Any) -> Any:
        yield " \n"

    monkeypatch.setattr(TicketExtract, "stream", nothing)
    with pytest.raises(RuntimeError, match=r"warm-up: the generator .extractive. answers nothing to 'Requests are"):
        AnswerGeneratorReplica(AnswerArgs(), WARM)


def test_a_replica_whose_language_model_is_away_does_not_start() -> None:
    args = AnswerArgs(kind="openai", base_url="http://127.0.0.1:9/v1", max_retries=0)
    with pytest.raises(
        RuntimeError, match=r"warm-up: the generator .openai, http://127.0.0.1:9/v1. does not answer: the lang"
    ):
        AnswerGeneratorReplica(args, WARM)


@pytest.mark.parametrize("scores", [[], [float("nan"), 1.0]])
def test_a_reranker_without_scores_does_not_start(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    args = RerankerArgs()
    TicketRerankerReplica(args, WARM, Path())

    class Broken:
        def rerank(self, question: str, hits: list[Hit], limit: int) -> list[Hit]:
            assert (question, len(hits)) == (WARM.question, limit)
            return [each.with_score(score) for each, score in zip(hits, scores, strict=False)]

    monkeypatch.setattr("apps.common.retrieval.rerank.make_reranker", lambda *_: Broken())
    with pytest.raises(RuntimeError, match=r"warm-up: the reranker .hybrid. gives .* as scores"):
        TicketRerankerReplica(args, WARM, Path())


def test_the_arguments_name_one_server() -> None:
    with pytest.raises(ValueError, match="base_url: kind openai needs the address of a server"):
        AnswerArgs(kind="openai")
    for more in ("{}", '{"kind": "openai", "base_url": "http://a"}'):
        with pytest.raises(ValueError, match="server: needs kind openai and no base_url"):
            AnswerArgs.model_validate({"server": {}, **json.loads(more)})


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VllmServer.__init__, "__defaults__", (FAKE,))


def served_by(model: str, **server: Any) -> AnswerGeneratorReplica:
    return AnswerGeneratorReplica(
        AnswerArgs(kind="openai", model=model, max_retries=0, server=VllmArgs(**server)), WARM
    )


@pytest.mark.usefixtures("fake")
def test_a_replica_starts_its_server_asks_it_and_stops_it() -> None:
    replica = served_by("fine", arguments=("--max-model-len", "8192"))
    assert replica._server is not None
    process = replica._server._process
    replica.check_health()

    async def collect() -> list[str]:
        return [piece async for piece in replica.stream("why", WARM_UP_HITS, 5)]

    assert asyncio.run(collect()) == [INSTRUCTION[:20], " [1]"]
    replica.__del__()
    assert process.poll() is not None
    with pytest.raises(RuntimeError, match="vLLM server ended with status -15"):
        replica.check_health()


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("broken", "vLLM server ended with status 3"),
        ("slow", r"not ready within generator\.server\.start_timeout_s 0\.6 s"),
        ("silent", "answers nothing"),
    ],
)
def test_a_server_that_does_not_come_up_fails_the_constructor(
    model: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    popen = subprocess.Popen

    def noting(*args: Any, **options: Any) -> Any:
        started.append(popen(*args, **options))
        return started[-1]

    monkeypatch.setattr("apps.support_assistant.vllm_server.subprocess.Popen", noting)
    with pytest.raises(RuntimeError, match=message):
        served_by(model, start_timeout_s=0.6 if model == "slow" else 20)
    for process in started:
        process.wait(10)


@pytest.mark.usefixtures("fake")
def test_a_server_that_ends_makes_the_replica_unhealthy() -> None:
    replica = served_by("mortal")
    assert replica._server is not None
    replica._server._process.wait(10)
    with pytest.raises(RuntimeError, match="ended with status 9"):
        replica.check_health()


@pytest.mark.usefixtures("fake")
def test_a_server_that_does_not_want_to_stop_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_server, "_STOP_S", 0.2)
    replica = served_by("stubborn")
    assert replica._server is not None
    replica._server.close()
    with pytest.raises(RuntimeError, match="ended with status -9"):
        replica.check_health()


def test_the_server_goes_with_its_parent() -> None:
    code = (
        "import os, sys; from apps.support_assistant.settings import VllmArgs;"
        "from apps.support_assistant.vllm_server import VllmServer;"
        f"server = VllmServer('m', VllmArgs(), {FAKE!r}); print(server._process.pid, flush=True);"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -9, done.stderr
    for _ in range(50):
        if not _runs(int(done.stdout)):
            return
        time.sleep(0.1)
    pytest.fail("the server is still there")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_model_gets_the_words_for_tickets() -> None:
    assert "Never invent a command" in INSTRUCTION
    generator: Any = make_answerer(AnswerArgs(kind="openai", base_url="http://127.0.0.1:9/v1"))
    assert generator._instruction == INSTRUCTION
