"""How bad it is, by the words of a ticket, where nobody said it."""

import re
from enum import StrEnum


class Severity(StrEnum):
    """From outage to curiosity."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile(rf"(?i)\b(?:{'|'.join(alternatives)})\b")


# The first rule that holds decides.
_RULES: tuple[tuple[Severity, str, re.Pattern[str]], ...] = (
    (
        Severity.LOW,
        "the ticket says that it can wait",
        _words(
            "not urgent",
            "no (?:rush|hurry)",
            "low prio(?:rity)?",
            "nice to have",
            "cosmetic",
            "typo",
            "when you have time",
        ),
    ),
    (
        Severity.CRITICAL,
        "an outage",
        _words(
            "(?:total|complete|full|major|production|prod) outage",
            "(?:everything|production|prod|the (?:whole )?(?:service|site|api)) (?:is )?(?:down|dead|offline)",
            "(?:all|every) (?:users?|customers?|requests?) (?:are |gets? )?(?:affected|fail(?:s|ing)?|50\\d|errors?)",
            "nobody can",
            "data loss",
            "sev-?1",
            "p1",
        ),
    ),
    (
        Severity.HIGH,
        "a matter of security",
        _words("security", "breach", "intrusion", "leaked", "exposed", "cve-\\d+-\\d+"),
    ),
    (
        Severity.HIGH,
        "users are affected",
        _words(
            "(?:customers?|users?|clients?|production|prod)\\b.{0,80}\\b"
            "(?:fail(?:s|ed|ing)?|errors?|50\\d|complain\\w*|time ?outs?|slow|affected|refused|lost)",
            "urgent",
            "asap",
            "block(?:er|ing)",
            "sev-?2",
            "p2",
        ),
    ),
    (
        Severity.LOW,
        "a question",
        re.compile(r"(?i)^(?:question|how (?:do|can|to)|is it possible|what is|feature request)\b"),
    ),
)
_FATAL = frozenset(
    {
        *("OOMKilled", "CrashLoopBackOff", "DEPLOY_FAILED", "InitializingTimeout", "ZeroServeEndpoints", "Evicted"),
        *("500", "502", "503", "504"),
    }
)
_ELSEWHERE = _words(
    "staging", "dev(?:elopment)?", "sandbox", "kind", "laptop", "(?:test|local) (?:cluster|environment|machine)"
)


def guess_severity(text: str, signals: list[str]) -> tuple[Severity, str]:
    """Return the severity that words and signals suggest, and the rule that said so."""
    for severity, reason, pattern in _RULES:
        if pattern.search(text):
            return severity, reason
    fatal = [signal for signal in signals if signal in _FATAL]
    if fatal and not _ELSEWHERE.search(text):
        return Severity.HIGH, f"{fatal[0]} is seen"
    return Severity.MEDIUM, "nothing says otherwise"
