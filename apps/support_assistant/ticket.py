"""A ticket as people write it, made into a question."""

import re
from dataclasses import dataclass

from apps.common.text import clean_document, clean_question
from apps.support_assistant.evidence import cut, evidence_of, is_log_line, signals_of
from apps.support_assistant.mail import without_quotes, without_reply_marks, without_signature
from apps.support_assistant.redaction import redact
from apps.support_assistant.severity import Severity, guess_severity

# The embedding model reads 256 word pieces, about 900 characters: subject and signals come first, then what fits.
PROSE_CHARACTERS = 700


@dataclass(frozen=True, slots=True)
class Ticket:
    """What is understood of a ticket; nothing in it is secret.

    question: what is searched with; empty when the ticket says nothing.
    signals: reasons, exceptions and status codes, the most frequent first.
    evidence: lines of logs and events that say what went wrong.
    redacted: how many secrets and addresses were taken out, by kind.
    """

    question: str
    signals: list[str]
    evidence: list[str]
    severity: Severity
    severity_reason: str
    redacted: dict[str, int]


def understand(subject: str, description: str, component: str | None, severity: Severity | None) -> Ticket:
    """Return what a ticket says, redacted first of all."""
    (title, body, part), redacted = redact(
        clean_question(subject), clean_document(description), clean_question(component or "")
    )
    title, lines = without_reply_marks(title), without_quotes(body).split("\n")
    signals = signals_of("\n".join([title, *lines]))
    evidence = evidence_of(line for line in lines if is_log_line(line))
    prose = clean_question(" ".join(without_signature([line for line in lines if not is_log_line(line)])))
    question = clean_question(" ".join([title, part, *signals, cut(prose, PROSE_CHARACTERS), *evidence]))
    level, reason = (severity, "given") if severity else guess_severity(f"{title}\n{prose}", signals)
    return Ticket(question if re.search(r"\w", question) else "", signals, evidence, level, reason, redacted)
