"""Take secrets and personal data out of a ticket, before it is logged, searched with or shown to a language model."""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

_MARKS = ("[key]", "[token]", "[secret]", "[e-mail]", "[ip]")
# The quantifiers are bounded, so that time grows with the length of the text alone.
_NAMED = (
    r"(?:pass(?:word|wd|phrase)?|pwd|(?:client|app|user)?[_-]?secret|(?:access|auth|bearer|refresh|id|api)?[_-]?token"
    r"|(?:api|access|private|secret|account|shared)[_-]?key|credentials?|dsn)"
)
_VALUE = "|".join([*map(re.escape, _MARKS), r"\"[^\"\n]{1,500}\"", r"'[^'\n]{1,500}'"])
_PRIVATE_KEY = r"[A-Z ]{0,40}PRIVATE KEY-----"
_SERVICES = r"gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|sk-|hf_|npm_|pypi-|dckr_pat_|ya29\."
_BASE64 = r"[A-Za-z0-9_-]"


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is taken out is the pattern's first group, or all of it where there is none."""

    kind: str
    pattern: re.Pattern[str]


_RULES = [
    _Rule("key", re.compile(rf"-----BEGIN {_PRIVATE_KEY}.*?(?:-----END {_PRIVATE_KEY}|\Z)", re.DOTALL)),
    _Rule(
        "token",
        re.compile(r"(?i)\b(?:authorization|x-api-key|(?:set-)?cookie)[\"']?\s{0,4}:\s{0,4}([^\s][^\n'\"]{0,2000})"),
    ),
    _Rule("token", re.compile(r"(?i)\b(?:bearer|basic)\s{1,4}([A-Za-z0-9._~+/=-]{8,4000})")),
    _Rule("secret", re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,200}:([^\s/@]{1,200})@")),
    _Rule("token", re.compile(rf"\beyJ{_BASE64}{{5,4000}}\.{_BASE64}{{5,4000}}(?:\.{_BASE64}{{0,4000}})?")),
    _Rule(
        "token",
        re.compile(
            rf"\b(?:{_SERVICES}){_BASE64}{{16,400}}|\b(?:AKIA|ASIA)[A-Z0-9]{{12,30}}\b|\bAIza{_BASE64}{{30,50}}"
        ),
    ),
    _Rule(
        "secret",
        re.compile(rf"(?i)(?<![a-z]){_NAMED}[\"']?\s{{0,4}}(?:=>|[:=])\s{{0,4}}({_VALUE}|[^\s,;\"'&}}\]]{{1,500}})"),
    ),
    _Rule("secret", re.compile(rf"(?i)--{_NAMED}\s{{1,4}}({_VALUE}|[^\s-]\S{{0,500}})")),
    _Rule(
        "secret",
        re.compile(
            r"(?i)\b(?:password|passphrase|passwd|pwd)\b[^\n:=]{0,40}?\s(?:is|was)\s{1,4}(?:now\s)?([^\s,;]{4,200})"
        ),
    ),
    _Rule("e-mail", re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")),
]
_LEAST_SECRET = 8
# A long run of letters of both cases and digits is no word and no name of an object (those are in lower case).
_RANDOM = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_=-]{32,4000}(?![\w+/=-])")
_IPV4 = r"\d{1,3}(?:\.\d{1,3}){3}"
_IPV6 = r"(?=[0-9A-Fa-f:]{0,39}::|(?:[0-9A-Fa-f]{1,4}:){7})[0-9A-Fa-f:]{2,39}"
_ADDRESS = re.compile(rf"(?<![\w.:])(?:{_IPV4}|{_IPV6})(?!\w|\.\d)")


def redact(*texts: str) -> tuple[list[str], dict[str, int]]:
    """Return `texts` with secrets, mail and network addresses replaced by `[kind]`, and how many of each there were.

    What follows a name like `password=` is taken out whatever it looks like; a secret that nothing names is found when
    it has a known form (key blocks, JSON web tokens, the prefixes of common services) or looks random. What one text
    names is taken out of all of them.
    """
    found: Counter[str] = Counter()
    secrets: dict[str, str] = {}
    for rule in _RULES:
        texts = tuple(rule.pattern.sub(_replace(rule.kind, found, secrets), text) for text in texts)
    return [_unnamed(text, secrets, found) for text in texts], dict(sorted(found.items()))


def _unnamed(text: str, secrets: dict[str, str], found: Counter[str]) -> str:
    for secret, kind in secrets.items():
        found[kind] += text.count(secret)
        text = text.replace(secret, f"[{kind}]")
    text = _RANDOM.sub(lambda match: _counted("token", found) if _looks_random(match[0]) else match[0], text)
    return _ADDRESS.sub(lambda match: _counted("ip", found) if _is_address(match[0]) else match[0], text)


def _replace(kind: str, found: Counter[str], secrets: dict[str, str]) -> Callable[[re.Match[str]], str]:
    def replaced(match: re.Match[str]) -> str:
        group = match.re.groups
        value = match[group].strip("\"'")
        if value in _MARKS:
            return match[0]
        # Named once, a secret is taken out wherever it stands; a plain word ("token: expired") only here.
        if len(value) >= _LEAST_SECRET and re.search(r"\d", value) and re.search(r"[^\W\d]", value):
            secrets[value] = kind
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return match[0][:start] + _counted(kind, found) + match[0][end:]

    return replaced


def _counted(kind: str, found: Counter[str]) -> str:
    found[kind] += 1
    return f"[{kind}]"


def _looks_random(word: str) -> bool:
    kinds = (any(map(str.isdigit, word)), any(map(str.islower, word)), any(map(str.isupper, word)))
    return all(kinds)


def _is_address(word: str) -> bool:
    try:
        address = ipaddress.ip_address(word)
    except ValueError:
        return False
    # 0.0.0.0, 127.0.0.1 and ::1 are nobody's, and say that a server listens on the wrong side.
    return not (address.is_unspecified or address.is_loopback)
