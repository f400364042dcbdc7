"""PDF by pdfium: pages, text layers with boxes, and pages as images. Runs in the child process only."""

import ctypes
import math
import time
import unicodedata
from typing import Any

import pypdfium2
import pypdfium2.raw as pdfium

from apps.document_intelligence.pages import Box, Opened, Page, union
from apps.document_intelligence.reading.bounds import Bounds, RefusedError, damaged, too_many_characters, too_many_pages
from apps.document_intelligence.reading.lines import Word, page_of

# Text layers are read in slices: this many seconds, then the caller asks for the next.
SLICE_S = 1.0
# A page with fewer characters below a picture of most of its area is a scan with a stamp on it.
_STAMP_CHARACTERS, _SCAN_AREA = 100, 0.5
# A text layer with a larger share of characters that mean nothing (fonts without a map to Unicode) is not used.
_MEANINGLESS = 0.3
_HYPHENS = {0x02: "-", 0xAD: "-", 0xFFFE: "-"}
_SCALE = 1000


def open_pdf(content: bytes, bounds: Bounds, first: int = 1) -> Opened:
    """Read text layers from page `first` on, for about a second.

    Raises:
        RefusedError: encrypted, damaged, too many pages or characters.
    """
    document = _document(content)
    count = len(document)
    if not count:
        raise damaged("PDF", "it has no page")
    if count > bounds.pages:
        raise too_many_pages(count, bounds.pages)
    pages: list[Page] = []
    scanned: list[int] = []
    characters = 0
    until = time.monotonic() + SLICE_S
    for number in range(first, count + 1):
        if number > first and time.monotonic() > until:
            return Opened(count, pages, scanned, number)
        page = _read(_load(document, number), number, bounds.characters - characters)
        if page is None:
            scanned.append(number)
        else:
            pages.append(page)
            characters += page.characters
    return Opened(count, pages, scanned)


def render(content: bytes, number: int, bounds: Bounds) -> tuple[Any, float, float, float]:
    """Return page `number` as a grey PIL image, its width and height in points, and pixels per point.

    Raises:
        RefusedError: damaged.
    """
    page = _load(_document(content), number)
    width, height = _size(page)
    scale = min(bounds.render_dpi / 72, math.sqrt(bounds.render_pixels / (width * height)))
    return page.render(scale=scale, grayscale=True).to_pil(), width, height, scale


def _document(content: bytes) -> Any:
    if b"%PDF-" not in content[:1024]:
        raise damaged("PDF", "it does not begin with %PDF-")
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if error.err_code in (pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY):
            raise RefusedError("encrypted", "the PDF is encrypted; send it without a password") from error
        raise damaged("PDF", "its structure is broken") from error


def _load(document: Any, number: int) -> Any:
    try:
        return document[number - 1]
    except pypdfium2.PdfiumError as error:
        raise damaged("PDF", f"page {number} cannot be loaded") from error


def _size(page: Any) -> tuple[float, float]:
    width, height = page.get_size()
    if not (1 <= width <= 1e6 and 1 <= height <= 1e6):
        raise damaged("PDF", f"a page of {width:g} x {height:g} points")
    return width, height


def _read(page: Any, number: int, limit: int) -> Page | None:
    """Return the text layer of a page, or None when it has to be read by OCR."""
    width, height = _size(page)
    text = page.get_textpage()
    count = text.count_chars()
    if count > 2 * limit + 1000:
        raise too_many_characters(limit)
    words = _words(text, count, _matrix(page, width, height))
    characters = sum(len(word.text) for word in words)
    if characters > limit:
        raise too_many_characters(limit)
    meaningless = sum(character == "\ufffd" for word in words for character in word.text)
    if characters and meaningless > _MEANINGLESS * characters:
        return None
    if characters < _STAMP_CHARACTERS:
        covered = _covered(page) / (width * height)
        if covered > _SCAN_AREA or (not characters and covered > 0):
            return None
    return page_of(number, width, height, "text-layer", words)


def _covered(page: Any) -> float:
    """Return the area of the largest picture of the page in square points."""
    largest = 0.0
    for found in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=3):
        left, bottom, right, top = found.get_bounds()
        largest = max(largest, (right - left) * (top - bottom))
    return largest


def _matrix(page: Any, width: float, height: float) -> tuple[float, ...]:
    """Return a, b, c, d, e, f of x' = ax + cy + e, y' = bx + dy + f, from the file's to the shown page's points.

    Asked of pdfium, which knows the page's rotation and crop box.
    """
    device = (0, 0, round(width * _SCALE), round(height * _SCALE), 0)

    def shown(x: float, y: float) -> tuple[float, float]:
        across, down = ctypes.c_int(), ctypes.c_int()
        pdfium.FPDF_PageToDevice(page, *device, x, y, ctypes.byref(across), ctypes.byref(down))
        return across.value / _SCALE, down.value / _SCALE

    origin, right, up = shown(0, 0), shown(100, 0), shown(0, 100)
    return (
        *((right[axis] - origin[axis]) / 100 for axis in (0, 1)),
        *((up[axis] - origin[axis]) / 100 for axis in (0, 1)),
        *origin,
    )


def _words(text: Any, count: int, matrix: tuple[float, ...]) -> list[Word]:
    words: list[Word] = []
    letters: list[str] = []
    boxes: list[Box] = []

    def close() -> None:
        if letters:
            words.append(Word("".join(letters), union(boxes)))
            letters.clear()
            boxes.clear()

    rectangle = pdfium.FS_RECTF()
    for index in range(count):
        letter = _letter(pdfium.FPDFText_GetUnicode(text, index))
        if not letter or letter.isspace():
            close()
            continue
        if not pdfium.FPDFText_GetLooseCharBox(text, index, rectangle):
            continue
        box = _shown(rectangle, matrix)
        if boxes and _apart(boxes[-1], box):
            close()
        letters.append(letter)
        boxes.append(box)
    close()
    return words


def _letter(code: int) -> str:
    if code in _HYPHENS:
        return _HYPHENS[code]
    if not 0 < code <= 0x10FFFF:
        return ""
    letter = chr(code)
    category = unicodedata.category(letter)
    if category in {"Cs", "Co", "Cn"}:
        return "\ufffd"
    return " " if category in {"Cc", "Zl", "Zp"} else "" if category == "Cf" else letter


def _shown(rectangle: Any, matrix: tuple[float, ...]) -> Box:
    a, b, c, d, e, f = matrix
    corners = ((rectangle.left, rectangle.bottom), (rectangle.right, rectangle.top))
    (x0, y0), (x1, y1) = ((a * x + c * y + e, b * x + d * y + f) for x, y in corners)
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _apart(before: Box, after: Box) -> bool:
    """Return whether two letters that follow each other in the file stand too far apart for one word."""
    height = max(before[3] - before[1], after[3] - after[1])
    return abs(after[1] - before[1]) > height or after[0] - before[2] > height or after[0] < before[0] - height
