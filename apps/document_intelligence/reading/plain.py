"""Plain text as pages: set in Courier 10 on Letter paper, so that what stands in columns has boxes like any other page."""

import re
from collections.abc import Iterator

from apps.document_intelligence.pages import Opened, Page
from apps.document_intelligence.reading.bounds import refused, too_many_characters, too_many_pages
from apps.document_intelligence.reading.lines import Word, page_of
from apps.document_intelligence.settings import ReaderArgs

_CHARACTER, _LINE, _MARGIN = 6.0, 12.0, 36.0
_WIDTH, _HEIGHT = 612.0, 792.0
LINES_PER_PAGE = 60
_TAB = 8
_WORD = re.compile(r"\S+")


def open_text(content: bytes, args: ReaderArgs) -> Opened:
    """Return all pages.

    Raises:
        PipelineError: 422, with the offset in bytes of what is not text; too many characters or pages; nothing to read.
    """
    zero = content.find(b"\x00")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if content.startswith(b"\xef\xbb\xbf") else 0)
        zero = start if zero < 0 else min(zero, start)
    if zero >= 0:
        raise refused("not_text", f"not UTF-8 text: byte {zero} is {content[zero]:#04x}")
    if len(text) > args.characters:
        raise too_many_characters(args.characters)
    if not text.strip():
        raise refused("empty", "the document holds white space only")
    lines = list(_pages(text))
    if len(lines) > args.pages:
        raise too_many_pages(len(lines), args.pages)
    return Opened(len(lines), [_page(number, page) for number, page in enumerate(lines, 1)], [])


def _pages(text: str) -> Iterator[list[str]]:
    for sheet in text.removesuffix("\f").split("\f"):
        lines = re.split(r"\r\n|\r|\n", sheet)
        for start in range(0, len(lines), LINES_PER_PAGE):
            yield lines[start : start + LINES_PER_PAGE]


def _page(number: int, lines: list[str]) -> Page:
    words = []
    width = _WIDTH
    for row, line in enumerate(lines):
        expanded = line.expandtabs(_TAB)
        top = _MARGIN + row * _LINE
        width = max(width, 2 * _MARGIN + len(expanded) * _CHARACTER)
        for found in _WORD.finditer(expanded):
            left, right = (_MARGIN + place * _CHARACTER for place in found.span())
            words.append(Word(found[0], (left, top, right, top + _LINE - 2)))
    return page_of(number, width, _HEIGHT, "text-layer", words)
