"""Logs, events, stack traces and tables in a ticket: which lines are such, and what they say."""

import re
from collections import Counter
from collections.abc import Iterable

from apps.common.text import clean_question

SIGNALS = 12
LINES = 6
LINE_CHARACTERS = 160

_TIME = r"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)?\]?"
_KLOG = r"[IWEF]\d{4}\s[\d:.]+"
_LOG_LINE = re.compile(
    "|".join(
        [
            rf"^\s*(?:{_TIME}|\[?\d\d:\d\d:\d\d\b|{_KLOG}|[A-Z][a-z]{{2}}\s+\d{{1,2}}\s\d\d:\d\d:\d\d\s)",
            r"^\s*(?:\[|level=)?(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|CRITICAL)\b[\]:\s]",
            r"^\s*\(\w{1,60} pid=\d",
            r"^\s*(?:Traceback \(most|File \"|at [\w.$<>/]{3,200}\(|goroutine \d|\.{3}\s?\d+ more|Caused by:)",
            r"^(?:[\w.]{1,80}\.)?[A-Z]\w{2,60}(?:Error|Exception)\b",
            r"^\s*(?:HTTP/\d|curl: \()",
            r"^\s*[$#]\s+\S",  # a command
            r"^\s*(?:Normal|Warning)\s{2,}\S",  # an event
            r"^\s*(?:[{}\[\]]\s*$|\"[\w.-]{1,80}\"\s?:|```|~~~)",
            r"^(?:\S+\s{2,}){2,12}\S",  # a table
            r"^\s{4,}\S",
        ]
    )
)
# Frames and the heads of traces tell where, not what.
_FRAME = re.compile(r"^\s*(?:File \"|at [\w.$<>/]{3,200}\(|Traceback \(most|goroutine \d|\.{3}\s?\d+ more)")
_ALARMING = re.compile(r"(?i)error|fail|warn|denied|forbid|refused|cannot|unable|fatal")

_REASONS = (
    *("OOMKilled", "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "FailedCreate"),
    *("FailedScheduling", "FailedMount", "Unschedulable", "Evicted", "NotTriggerScaleUp", "DEPLOY_FAILED", "DEPLOYING"),
    *("UNHEALTHY", "UpgradeInProgress", "InitializingTimeout", "ZeroServeEndpoints", "ValidationFailed", "Pending"),
    *("InvalidRayServiceSpec", "ContainerCreating", "Terminating", "PodSecurity", "NetworkPolicy", "ResourceQuota"),
    *("ENOSPC", "EACCES", "ECONNREFUSED", "ETIMEDOUT"),
)
_ENDINGS = "Error|Exception|Failed|Failure|BackOff|Killed|Timeout|Exceeded|Invalid"
_CAMEL = r"[A-Z][a-z]{1,30}(?:[A-Z][a-z]{1,30}){0,5}"
_NAME = re.compile(rf"\b(?:{'|'.join(_REASONS)}|Failed{_CAMEL}|{_CAMEL}(?:{_ENDINGS}))\b")
# A number is a status code only where the words around it say so.
_BEFORE_CODE = (
    r"HTTP(?:/\d(?:\.\d)?)?|status(?:[ _-]?code)?|codes?|errors?|response|returns?|returned|gets?|got|gives?|a|see"
)
_AFTER_CODE = "Service Unavailable|Gateway Time-?out|Bad Gateway|Internal Server|Too Many|Not Found|errors?|responses?"
_NO_CODE = "ms|s|%|MB|Mi|Gi|users|requests"
_STATUS = re.compile(
    rf"(?i)(?:\b(?:{_BEFORE_CODE})|\")[\s:=\"]{{1,3}}([45]\d\d)\b(?!\s?(?:{_NO_CODE})\b)|\b([45]\d\d)s?\s(?:{_AFTER_CODE})"
)
_EXIT_CODE = re.compile(r"(?i)\bexit(?:ed)?(?: with)?(?: status)?(?: code)?[\s:=(]{0,3}(\d{1,3})\b")
_VARYING = re.compile(
    rf"{_TIME}|\b{_KLOG}|\bpid=\d+|\bip=\S+|\b0x[0-9a-fA-F]+|\bsha256:[0-9a-f]{{8,64}}"
    r"|\b[0-9a-f]{8}-[0-9a-f-]{20,30}\b|\b[0-9a-f]{12,64}\b|\b\d{5,}\b"
)


def is_log_line(line: str) -> bool:
    """Return whether a line looks like a log, an event, a stack trace, a table or a command rather than prose."""
    return bool(_LOG_LINE.search(line))


def signals_of(text: str) -> list[str]:
    """Return the reasons, exceptions, status and exit codes in `text`, the most frequent first."""
    found: Counter[str] = Counter(_NAME.findall(text))
    found.update(first or second for first, second in _STATUS.findall(text))
    found.update(f"exit code {code}" for code in _EXIT_CODE.findall(text) if code != "0")
    return [signal for signal, _ in found.most_common(SIGNALS)]


def evidence_of(lines: Iterable[str]) -> list[str]:
    """Return the lines that say what went wrong, each once, the last first: in a trace that is the cause.

    Times, addresses of memory and random names are left out, so that the same line twice is one.
    """
    kept: dict[str, None] = {}
    for line in lines:
        if _FRAME.match(line) or not (_ALARMING.search(line) or signals_of(line)):
            continue
        told = clean_question(_VARYING.sub(" ", line))
        kept.pop(told, None)
        kept[told] = None
    return [cut(line, LINE_CHARACTERS) for line in reversed(kept)][:LINES]


def cut(text: str, limit: int) -> str:
    """Return the words of `text` that fit `limit` characters; a single longer word is cut."""
    return text if len(text) <= limit else text[:limit].rpartition(" ")[0] or text[:limit]
