"""PNG: the header is looked at before anything is decoded."""

import struct

from apps.document_intelligence.pages import Opened
from apps.document_intelligence.reading.bounds import damaged, refused
from apps.document_intelligence.settings import ReaderArgs

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# A scan whose resolution nobody states.
ASSUMED_DPI = 200.0


def size_of(content: bytes) -> tuple[int, int]:
    """Return width and height in pixels from the header.

    Raises:
        PipelineError: 422, not a PNG.
    """
    if not content.startswith(SIGNATURE):
        raise damaged("PNG", "it does not begin with the signature of a PNG")
    if len(content) < 33 or content[12:16] != b"IHDR":
        raise damaged("PNG", "the header is cut")
    width, height = struct.unpack(">II", content[16:24])
    if not width or not height:
        raise damaged("PNG", f"{width} x {height} pixels")
    return width, height


def open_png(content: bytes, args: ReaderArgs) -> Opened:
    """Return that its one page needs OCR.

    Raises:
        PipelineError: 422, not a PNG, or more pixels than are decoded.
    """
    width, height = size_of(content)
    if width * height > args.image_pixels:
        pixels = f"{width} x {height} pixels, {args.image_pixels} at most are decoded"
        raise refused("too_many_pixels", f"the image has {pixels}")
    return Opened(1, [], [1])
