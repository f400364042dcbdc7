"""The runbooks of an index, the warm-up, and realistic tickets against the repository's own runbooks."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.common.deadline import Clock, Deadline
from apps.common.onnx_text import Embedder
from apps.common.retrieval.rerank import make_reranker
from apps.common.retrieval.settings import RerankerArgs
from apps.support_assistant.answer import make_answerer
from apps.support_assistant.check import check
from apps.support_assistant.feedback import FeedbackLog
from apps.support_assistant.local import LocalSteps
from apps.support_assistant.pipeline import Found, Pipeline
from apps.support_assistant.replicas import RunbookRetrieverReplica
from apps.support_assistant.runbooks import RunbookIndex, warm_up
from apps.support_assistant.settings import AnswerArgs, CorpusArgs, SupportArgs, WarmUpArgs
from tests.apps.support_assistant.conftest import CORPUS, DOCUMENTS, WARM_UP

ROOT = Path(__file__).resolve().parents[3]
WANTED = 0.85


def small(runbooks: Path, embedder: Embedder, **args: Any) -> RunbookIndex:
    return RunbookIndex(CorpusArgs(**{**CORPUS, **args}), runbooks, embedder.digest)


def test_only_runbooks_are_found_and_whole(runbooks: Path, embedder: Embedder) -> None:
    index = small(runbooks, embedder)
    assert (index.info.documents, index.info.store, len(index.info.digest)) == (2, "memory", 16)
    one = index.search(embedder.embed(["the kettle is cold"])[0], 1)
    assert {hit.chunk.document for hit in one.hits} == {"runbooks/kettle-cold.md"}
    assert {hit.chunk.section.partition(":")[0] for hit in one.hits} == {"Symptom", "Confirm", "Cause", "Mend"}
    assert [hit.score for hit in one.hits] == sorted((hit.score for hit in one.hits), reverse=True)
    both = index.search(embedder.embed(["the lock of the door"])[0], 5)
    assert both.hits[0].chunk.document == "runbooks/door-locked.md"
    assert len(both.hits) == index.info.chunks


def test_what_is_left_out_is_an_argument(runbooks: Path, embedder: Embedder) -> None:
    everything = small(runbooks, embedder, prefix="", leave_out=())
    assert everything.info.documents == len(DOCUMENTS)
    assert everything.info.digest != small(runbooks, embedder).info.digest


def test_an_index_without_runbooks_is_refused(runbooks: Path, embedder: Embedder) -> None:
    with pytest.raises(ValueError, match=r"holds no runbook: no document begins with corpus\.prefix 'nowhere/'"):
        small(runbooks, embedder, prefix="nowhere/")
    with pytest.raises(FileNotFoundError):
        small(runbooks / "nowhere", embedder)
    with pytest.raises(ValueError, match="another embedding model"):
        RunbookIndex(CorpusArgs(), runbooks, "other")


def test_the_warm_up_finds_its_passage_or_says_why_not(runbooks: Path, embedder: Embedder) -> None:
    index = small(runbooks, embedder)
    warm_up(index, embedder, WarmUpArgs(question=WARM_UP))
    with pytest.raises(
        RuntimeError, match=r"warm-up: the passage nearest to 'Quarterly.*below warm_up\.least_similarity"
    ):
        warm_up(index, embedder, WarmUpArgs(question="Quarterly tax return of a bakery"))


def test_a_replica_over_the_wrong_index_does_not_start(runbooks: Path, model: Path) -> None:
    args = SupportArgs()
    with pytest.raises(RuntimeError, match="is this the index of the runbooks"):
        RunbookRetrieverReplica(args.embedder, CorpusArgs.model_validate(CORPUS), WarmUpArgs(), model, runbooks)


@pytest.fixture(scope="module")
def pipeline(corpus_data: Path, embedder: Embedder, model: Path) -> Pipeline:
    index = RunbookIndex(CorpusArgs(), corpus_data, embedder.digest)
    warm_up(index, embedder, WarmUpArgs())
    reranker = make_reranker(RerankerArgs(), model.parent)
    return Pipeline(LocalSteps(embedder, index, reranker, make_answerer(AnswerArgs()), FeedbackLog(None, 100)))


async def find(pipeline: Pipeline, ticket: dict[str, Any]) -> Found:
    return await pipeline.find(
        ticket["subject"], ticket["description"], ticket.get("component"), None, None, Deadline.after(30), Clock()
    )


@pytest.fixture(scope="module")
def tickets() -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "data" / "tickets.yaml").read_text("utf-8"))
    return listed


async def _all(pipeline: Pipeline, tickets: list[dict[str, Any]]) -> list[Found]:
    return [await find(pipeline, ticket) for ticket in tickets]


def test_recall_at_3_on_realistic_tickets(pipeline: Pipeline, tickets: list[dict[str, Any]]) -> None:
    fitting = [ticket for ticket in tickets if ticket["runbooks"]]
    missed, first = [], 0
    for ticket, found in zip(fitting, asyncio.run(_all(pipeline, fitting)), strict=True):
        # What comes first decides what is quoted, so a miss here is a wrong answer.
        names = [Path(name).stem for name in dict.fromkeys(hit.chunk.document for hit in found.hits)]
        first += names[:1] != [] and names[0] in ticket["runbooks"]
        if not set(names[:3]) & set(ticket["runbooks"]):
            missed.append((ticket["subject"], names))
    recall = 1 - len(missed) / len(fitting)
    print(f"recall@3 {recall:.3f}, right runbook first {first}, of {len(fitting)} tickets")
    assert len(fitting) >= 20
    assert {name for ticket in fitting for name in ticket["runbooks"]} == {
        file.stem for file in (ROOT / "base/observability/runbooks").glob("*.md")
    }, "each runbook has a ticket"
    assert recall >= WANTED, missed
    assert first / len(fitting) >= WANTED


def test_a_ticket_about_something_else_is_said_to_fit_nothing(
    pipeline: Pipeline, tickets: list[dict[str, Any]]
) -> None:
    foreign = [ticket for ticket in tickets if not ticket["runbooks"]]
    found = asyncio.run(_all(pipeline, foreign))
    matched = [ticket["subject"] for ticket, each in zip(foreign, found, strict=True) if each.hits]
    assert len(foreign) >= 5
    # One word of it ("replica") stands in every runbook: the nearest miss is told here, not hidden.
    assert matched == ["Postgres replication lag"]


def test_no_secret_of_a_ticket_gets_into_the_question(pipeline: Pipeline, tickets: list[dict[str, Any]]) -> None:
    for ticket, found in zip(tickets, asyncio.run(_all(pipeline, tickets)), strict=True):
        for secret in ("hunter2", "wJalrXUtnFEMI", "eyJhbGciOiJIUzI1NiJ9", "10.20.30.40", "203.0.113.77", "@"):
            assert secret not in found.ticket.question, ticket["subject"]


def test_the_check_of_the_image(corpus_data: Path, model: Path, runbooks: Path) -> None:
    found = asyncio.run(check(SupportArgs(models=model.parent, data=corpus_data)))
    assert found["runbook"] == "base/observability/runbooks/serve-queue-full-503.md"
    with pytest.raises(ValueError, match="holds no runbook"):
        asyncio.run(check(SupportArgs(models=model.parent, data=runbooks)))
    other = SupportArgs(
        models=model.parent, data=runbooks, corpus=CorpusArgs(prefix=""), warm_up=WarmUpArgs(question=WARM_UP)
    )
    with pytest.raises(AssertionError, match="not the right answer"):
        asyncio.run(check(other))
