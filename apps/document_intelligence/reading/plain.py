"""Plain text as pages: set in Courier 10 on Letter paper, so that columns have boxes like those of any other page."""

import re
from collections.abc import Iterator

from apps.document_intelligence.pages import Opened, Page
from apps.document_intelligence.reading.bounds import Bounds, RefusedError, too_many_characters, too_many_pages
from apps.document_intelligence.reading.lines import Word, page_of_lines

_CHARACTER, _LINE, _MARGIN = 6.0, 12.0, 36.0
_WIDTH, _HEIGHT = 612.0, 792.0
LINES_PER_PAGE = 60
_TAB = 8
_WORD = re.compile(r"\S+")


def open_text(content: bytes, bounds: Bounds) -> Opened:
    """Return all pages.

    Raises:
        RefusedError: with the offset in bytes of what is not text; too many characters or pages; nothing to read.
    """
    zero = content.find(b"\x00")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        zero = start if zero < 0 else min(zero, start)
    if zero >= 0:
        raise RefusedError("not_text", f"not UTF-8 text: byte {zero} is {content[zero]:#04x}")
    if len(text) > bounds.characters:
        raise too_many_characters(bounds.characters)
    if not text.strip():
        raise RefusedError("empty", "the document holds white space only")
    lines = list(_pages(text))
    if len(lines) > bounds.pages:
        raise too_many_pages(len(lines), bounds.pages)
    return Opened(len(lines), [_page(number, page) for number, page in enumerate(lines, 1)], [])


def _pages(text: str) -> Iterator[list[str]]:
    for sheet in text.removesuffix("\f").split("\f"):
        lines = re.split(r"\r\n|\r|\n", sheet)
        for start in range(0, len(lines), LINES_PER_PAGE):
            yield lines[start : start + LINES_PER_PAGE]


def _page(number: int, lines: list[str]) -> Page:
    expanded = [line.expandtabs(_TAB) for line in lines]
    width = max(_WIDTH, *(2 * _MARGIN + len(line) * _CHARACTER for line in expanded))
    words = [list(_words(line, _MARGIN + row * _LINE)) for row, line in enumerate(expanded)]
    return page_of_lines(number, width, _HEIGHT, "text-layer", [line for line in words if line])


def _words(line: str, top: float) -> Iterator[Word]:
    for found in _WORD.finditer(line):
        left, right = (_MARGIN + place * _CHARACTER for place in found.span())
        yield Word(found[0], (left, top, right, top + _LINE - 2))
