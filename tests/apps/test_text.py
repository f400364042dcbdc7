"""Normalisation, counts, words, sentences, passages."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.common.retrieval.chunking import CHUNK_CHARACTERS, chunk_document, embedding_text
from apps.common.text import (
    Counts,
    clean_document,
    clean_question,
    lexical_scores,
    plain_sentences,
    sentences,
    terms,
)


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("  How\n\tare   you? ", "How are you?"),
        ("\uff26\uff35\uff2c\uff2c \ufb01ne", "FULL fine"),
        ("zero\u200bwidth\u0000null", "zero width null"),
        ("\u200b \u0007\n", ""),
        ("e\u0301", "é"),
    ],
)
def test_questions_are_normalised(raw: str, clean: str) -> None:
    assert clean_question(raw) == clean


@given(st.text())
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = clean_question(text)
    assert clean_question(once) == once
    once.encode("utf-8")


@given(st.text())
def test_documents_keep_their_lines(text: str) -> None:
    clean = clean_document(text)
    assert clean.count("\n") == text.replace("\r\n", "\n").replace("\r", "\n").count("\n")
    assert "\x00" not in clean
    clean.encode("utf-8")


def test_terms_lose_endings_and_stop_words() -> None:
    assert terms("How are the replicas failing?") == ["replica", "fail"]
    assert terms("max_ongoing_requests") == ["max", "ongo", "request"]


def test_the_passage_with_the_rare_word_wins() -> None:
    passages = ["the pod restarts", "the pod of the wombat", "the pod and the node"]
    scores = lexical_scores("pod wombat", passages)
    assert scores[1] == max(scores) == 1.0
    assert lexical_scores("wombat", []) == []
    assert lexical_scores("nothing shared", passages) == [0.0, 0.0, 0.0]
    assert lexical_scores("word", ["", ""]) == [0.0, 0.0]


def test_sentences_without_code_tables_and_marks() -> None:
    passage = (
        "First one. Second\nline here!\n\n- An item.\n- Another item\n\n```\ncode. More code.\n```\n| a | b |\n> Quote."
    )
    assert sentences(passage) == ["First one.", "Second line here!", "An item.", "Another item", "Quote."]


def test_passages_follow_headings_and_know_their_lines() -> None:
    text = "before\n\n# One\n\ntext one\n\n```\n# not a heading\n```\n\n## Two ##\ntext two\n"
    chunks = chunk_document("doc.md", text)
    facts = [(chunk.section, chunk.first_line, chunk.last_line) for chunk in chunks]
    assert facts == [("doc.md", 1, 1), ("One", 5, 9), ("Two", 12, 12)]
    assert chunks[1].text == "text one\n\n```\n# not a heading\n```"
    assert embedding_text(chunks[2]) == "doc: Two\ntext two"


@given(
    st.lists(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=2000), max_size=20)
)
def test_no_text_is_lost_and_no_passage_is_too_long(lines: list[str]) -> None:
    text = "\n".join(lines)
    chunks = chunk_document("doc.md", text)
    assert all(len(chunk.text) <= CHUNK_CHARACTERS * 1.5 for chunk in chunks)
    headings = [line for line in lines if line.startswith("#")]
    if not headings:
        assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(text.split())
    for chunk in chunks:
        assert 1 <= chunk.first_line <= chunk.last_line <= len(lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Über allem.\nÄpfel\nfallen. Ende", ["Über allem.", "Äpfel fallen.", "Ende"]),
        ("A heading\n \nA line. ", ["A heading", "A line."]),
        ('"Go!" He went. (So did I.) Then "we" left.', ['"Go!"', "He went.", "(So did I.)", 'Then "we" left.']),
        ("Dr. Doe met J. R. Roe (Mr. X) at approx. 5. So did I. Then e.g. Moe.", None),
        ("It costs 3.50 euros... or more. 4 is enough.", ["It costs 3.50 euros... or more.", "4 is enough."]),
        ("今日は晴れ。「明日も！」雨。", ["今日は晴れ。", "「明日も！」", "雨。"]),  # noqa: RUF001
        ("", []),
        (" \n\n\t ", []),
        ("?!", ["?!"]),
        ("Again? No. It broke.", ["Again?", "No.", "It broke."]),
    ],
)
def test_plain_text_is_cut_into_sentences(text: str, expected: list[str] | None) -> None:
    if expected is None:
        expected = ["Dr. Doe met J. R. Roe (Mr. X) at approx. 5.", "So did I.", "Then e.g. Moe."]
    assert plain_sentences(text) == expected


@given(st.text(alphabet="aB.!?…。 \n\"')"))
def test_no_character_is_lost_between_sentences(text: str) -> None:
    found = plain_sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(found)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", [".", "a. ", "Dr. ", '."', "\n", "。", "! "])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    started = time.process_time()
    plain_sentences(piece * (100_000 // len(piece)))
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Counts(0, 0, 0, 0)),
        ("One.\nTwo don't, e-mails\n", Counts(24, 4, 2, 2)),
        ("\n", Counts(1, 0, 0, 1)),
        ("— 42 …", Counts(6, 1, 1, 1)),
    ],
)
def test_a_text_is_counted(text: str, expected: Counts) -> None:
    assert Counts.of(text, len(plain_sentences(text))) == expected
