"""What the documentation tests need of Markdown: pages, headings with their anchors, links."""

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

_HEADING = re.compile(r"(#{1,6})\s+(.+?)\s*#*")
_FENCE = re.compile(r"\s*(```|~~~)")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HTML_LINK = re.compile(r"<(?:img|source|a)\b[^>]*?\b(?:src|srcset|href)=\"([^\"]+)\"")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its level (1 to 6), its text without marks, the anchor that links use."""

    level: int
    text: str
    anchor: str


def pages() -> list[Path]:
    """Return all Markdown files of the repository that Git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return sorted(ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


@cache
def prose(page: Path) -> str:
    """Return the text of a page without its fenced code, lines kept."""
    fenced, lines = False, []
    for line in page.read_text("utf-8").splitlines():
        if _FENCE.match(line):
            fenced = not fenced
            lines.append("")
        else:
            lines.append("" if fenced else line)
    return "\n".join(lines)


@cache
def headings(page: Path) -> tuple[Heading, ...]:
    """Return the headings of a page in order, with anchors as GitHub makes them."""
    found: list[Heading] = []
    seen: dict[str, int] = {}
    for line in prose(page).splitlines():
        match = _HEADING.fullmatch(line)
        if match:
            anchor = _anchor(match[2])
            count = seen.get(anchor, 0)
            seen[anchor] = count + 1
            found.append(Heading(len(match[1]), match[2], f"{anchor}-{count}" if count else anchor))
    return tuple(found)


def links(page: Path) -> list[str]:
    """Return the targets of all links and pictures of a page, code left out."""
    text = re.sub(r"`[^`\n]*`", "", prose(page))
    return _LINK.findall(text) + _HTML_LINK.findall(text)


def _anchor(text: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
