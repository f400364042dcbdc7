"""What a mail wraps around a ticket: quotes of older mails, headers, greetings, signatures, small print."""

import re

_REPLY_HEAD = re.compile(
    r"^\s{0,8}(?:On\b.{0,200}\bwrote:|-{2,10}\s?(?:Original|Forwarded) Message\s?-{2,10}|_{10,})\s*$", re.IGNORECASE
)
_REPLY_MARK = re.compile(r"^(?:\s{0,4}(?:re|fwd?|aw|wg)\s?:){1,10}\s{0,4}", re.IGNORECASE)
_HEADER = re.compile(r"^(?:From|Sent|To|Cc|Date|Subject|Reply-To|Message-ID):\s", re.IGNORECASE)
_CLOSINGS = (
    r"--\s?|(?:best|kind|warm|many)\s(?:regards|wishes|thanks)|regards|cheers|thanks(?:\s(?:a lot|in advance))?"
    r"|thx|thank you|mit freundlichen gr..?en|sent from my\b.{0,60}"
)
_SIGNATURE = re.compile(rf"^\s{{0,8}}(?:{_CLOSINGS})[\s,.!]*$", re.IGNORECASE)
_SMALL_PRINT = re.compile(
    r"^\s{0,8}(?:this (?:e-?mail|message)\b.{0,200}\bconfidential|confidentiality notice)", re.IGNORECASE
)
_GREETING = re.compile(
    r"^\s{0,8}(?:hi|hello|hey|dear|good (?:morning|afternoon))\b[^.?!:]{0,40}[,!]?\s*$", re.IGNORECASE
)
_QUOTED = re.compile(r"^\s{0,8}(?:>\s?){1,20}")
# A signature is short; a closing line above more than this is a paragraph of the ticket.
_SIGNATURE_LINES = 8


def without_reply_marks(subject: str) -> str:
    """Return a subject without "Re:" and "Fwd:"."""
    return _REPLY_MARK.sub("", subject)


def without_quotes(text: str) -> str:
    """Return `text` without what it quotes of older mails; a text that is nothing but a quote is kept, unquoted."""
    lines = [line for line in text.split("\n") if not _REPLY_HEAD.match(line) and not _HEADER.match(line)]
    own = [line for line in lines if not _QUOTED.match(line)]
    says_something = any(re.search(r"\w", line) for line in without_signature(own))
    return "\n".join(own if says_something else [_QUOTED.sub("", line) for line in lines])


def without_signature(lines: list[str]) -> list[str]:
    """Return `lines` up to the signature or small print, without greetings."""
    filled = [number for number, line in enumerate(lines) if line.strip()]
    for place, number in enumerate(filled):
        is_last = place > 0 and len(filled) - place <= _SIGNATURE_LINES
        if _SMALL_PRINT.match(lines[number]) or (is_last and _SIGNATURE.match(lines[number])):
            lines = lines[:number]
            break
    return [line for line in lines if not _GREETING.match(line)]
