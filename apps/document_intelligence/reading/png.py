"""PNG: the header is looked at before anything is decoded."""

import struct

from apps.document_intelligence.pages import Opened
from apps.document_intelligence.reading.bounds import Bounds, damaged, too_many_pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A scan whose resolution nobody states.
ASSUMED_DPI = 200.0


def size_of(content: bytes, bounds: Bounds) -> tuple[int, int]:
    """Return width and height in pixels from the header.

    Raises:
        RefusedError: not a PNG, or more pixels than are decoded.
    """
    if not content.startswith(SIGNATURE):
        raise damaged("PNG", "it does not begin with the signature of a PNG")
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise damaged("PNG", "the header is cut")
    width, height = struct.unpack(">II", content[16:24])
    if not width or not height:
        raise damaged("PNG", f"{width} x {height} pixels")
    if width * height > bounds.image_pixels:
        raise too_many_pixels(width, height, bounds.image_pixels)
    return width, height


def open_png(content: bytes, bounds: Bounds) -> Opened:
    """Return that its one page needs OCR.

    Raises:
        RefusedError: not a PNG, or more pixels than are decoded.
    """
    size_of(content, bounds)
    return Opened(1, [], [1])
