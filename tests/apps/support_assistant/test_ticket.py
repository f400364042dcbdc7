"""Tickets as people write them: mail clutter, evidence, signals, severity, and the question that is made of them."""

import time

import pytest

from apps.support_assistant.evidence import cut, evidence_of, is_log_line, signals_of
from apps.support_assistant.mail import without_quotes, without_reply_marks, without_signature
from apps.support_assistant.severity import Severity, guess_severity
from apps.support_assistant.ticket import understand


def test_quotes_signature_and_greeting_are_left_out() -> None:
    ticket = understand(
        "Re: Fwd: RE: kettle",
        "Hi all,\n\nthe kettle is cold.\n\nOn 3 May, Bob wrote:\n> it was warm\n>> never\n\nBest regards,\nAna\nACME\n",
        None,
        None,
    )
    assert ticket.question == "kettle the kettle is cold."


def test_a_ticket_that_is_all_quote_is_read_all_the_same() -> None:
    text = "Hello,\n\n> From the customer:\n> > the kettle is cold\n\nThanks\nBob"
    assert "the kettle is cold" in understand("FW:", text, None, None).question
    assert without_quotes("> only this") == "only this"


def test_a_forwarded_mail_keeps_its_words() -> None:
    text = "see below\n\n---------- Forwarded message ---------\nFrom: a@b.example\nSubject: x\n\nthe lid is broken"
    assert "the lid is broken" in understand("fwd", text, None, None).question
    assert "From" not in understand("fwd", text, None, None).question


def test_thanks_in_the_middle_is_no_signature() -> None:
    lines = ["it is cold", "thanks", *(f"line {number}" for number in range(9))]
    assert without_signature(lines) == lines
    assert without_signature(["Thanks,", "it works"]) == ["Thanks,", "it works"], "the first line is none either"
    assert without_signature(["a", "--", "Ana"]) == ["a"]
    assert without_signature(["a", "This e-mail and any attachments are confidential.", "b"]) == ["a"]
    assert without_reply_marks("Reaper died") == "Reaper died"


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-20 21:14:09,772 ERROR serve 113 -- Failed",
        "[2026-11-20T21:14:09Z] boom",
        "E1120 08:01:22.118273       1 leaderelection.go:347] error",
        "Nov  3 10:00:01 host kernel: oom",
        "ERROR: no",
        "Traceback (most recent call last):",
        '  File "/srv/a.py", line 3, in f',
        "    at com.acme.Kettle.boil(Kettle.java:12)",
        "(raylet pid=12) died",
        "ModuleNotFoundError: No module named 'x'",
        "httpx.ReadError: x",
        "HTTP/1.1 503 Service Unavailable",
        "$ kubectl get pods",
        "  Warning  FailedScheduling  4m12s  default-scheduler  0/3 nodes",
        "NAME          READY   STATUS",
        '  "reason": "x"',
        "```",
    ],
)
def test_a_log_line_is_seen(line: str) -> None:
    assert is_log_line(line)


@pytest.mark.parametrize(
    "line", ["Error rates went up today.", "The pod fails.", "Hi,", "", "On 3 May it broke", "- one"]
)
def test_prose_is_no_log_line(line: str) -> None:
    assert not is_log_line(line)


def test_signals_are_reasons_exceptions_and_codes() -> None:
    text = "OOMKilled OOMKilled, exit code 137, ValueError, FailedCreate, HTTP/1.1 503, status: 504, 502 Bad Gateway"
    assert signals_of(text) == ["OOMKilled", "ValueError", "FailedCreate", "503", "504", "502", "exit code 137"]
    assert signals_of("400 users, 500 ms, a 404 page, exit code 0, room 503, Helm, Timeout of the train") == ["404"]


def test_evidence_says_what_went_wrong_once() -> None:
    lines = [
        "2026-11-20 21:14:01,001 INFO started",
        "2026-11-20 21:14:09,772 ERROR cannot open 0xdeadbeef",
        "Traceback (most recent call last):",
        '  File "/srv/error.py", line 3, in fail',
        "KettleError: cold",
        "2026-11-20 21:14:10,772 ERROR cannot open 0xdeadbe11",
    ]
    assert evidence_of(lines) == ["ERROR cannot open", "KettleError: cold"]
    many = evidence_of(f"error {chr(97 + number)}{'x' * 300}" for number in range(20))
    assert len(many) == 6
    assert all(len(line) <= 160 for line in many)
    assert cut("a b c", 4) == "a b"
    assert cut("abcdef", 4) == "abcd"


def test_the_question_holds_subject_component_signals_prose_and_evidence_in_this_order() -> None:
    ticket = understand(
        "kettle", "It is cold.\nERROR: KettleFailed at 10.0.0.7 password=x1\nINFO: all is well", "Kitchen\nsink", None
    )
    evidence = "ERROR: KettleFailed at [ip] password=[secret]"
    assert ticket.question == f"kettle Kitchen sink KettleFailed It is cold. {evidence}"
    assert ticket.evidence == [evidence]
    assert ticket.signals == ["KettleFailed"]
    assert ticket.redacted == {"ip": 1, "secret": 1}


def test_a_key_that_never_ends_takes_nothing_of_the_other_fields() -> None:
    ticket = understand("-----BEGIN PRIVATE" + " KEY-----", "the kettle is cold", None, None)
    assert ticket.question == "[key] the kettle is cold"


@pytest.mark.parametrize("text", ["\u200b", "...", "--- !!!", "\x00\x01"])
def test_a_ticket_without_words_has_no_question(text: str) -> None:
    assert understand(text, text, None, None).question == ""


def test_long_prose_is_cut_before_the_evidence() -> None:
    ticket = understand("kettle", "word " * 3000 + "\nERROR: it is cold", None, None)
    assert len(ticket.question) < 1000
    assert ticket.question.endswith("ERROR: it is cold")


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("production is down", Severity.CRITICAL),
        ("all users are affected since noon", Severity.CRITICAL),
        ("complete outage", Severity.CRITICAL),
        ("customers see 503 on every page", Severity.HIGH),
        ("this is URGENT", Severity.HIGH),
        ("the dashboard is exposed", Severity.HIGH),
        ("Evicted pods on the node", Severity.HIGH),
        ("Evicted pods on my laptop", Severity.MEDIUM),
        ("a pod is Pending", Severity.MEDIUM),
        ("not urgent, but customers complain", Severity.LOW),
        ("how do I add a worker?", Severity.LOW),
    ],
)
def test_severity_is_guessed_by_rules(text: str, severity: Severity) -> None:
    found, reason = guess_severity(text, signals_of(text))
    assert (found, bool(reason)) == (severity, True)


def test_a_given_severity_stays() -> None:
    ticket = understand("production is down", "x", None, Severity.LOW)
    assert (ticket.severity, ticket.severity_reason) == (Severity.LOW, "given")


@pytest.mark.parametrize(
    "unit", ["a  ", "On ", "> ", "A", "Failed", "AbCd", "exit ", "error ", "users ", "\n", "{", "-", "1:"]
)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    started = time.process_time()
    understand("x", (unit * 20_000)[:20_000], None, None)
    assert time.process_time() - started < 10, "milliseconds when it is linear, hours when it is not"
