"""Files made to break a reader, each with the reason that it should be told (None: it may also be read)."""

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, PngImagePlugin
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

PDF, PNG, TXT = "application/pdf", "image/png", "text/plain"


@dataclass(frozen=True)
class Hostile:
    """One file; reason: `error.type` of the answer, None when reading it is right too."""

    name: str
    media_type: str
    content: bytes
    reason: str | None


def pdf(objects: list[bytes], root: int = 1) -> bytes:
    """A PDF of these objects, numbered from 1, with a right table of references."""
    out, places = bytearray(b"%PDF-1.7\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<</Size %d /Root %d 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, root, table)
    return bytes(out)


def page(
    content: bytes = b"", media: bytes = b"0 0 612 792", resources: bytes = b"", more: list[bytes] | None = None
) -> bytes:
    """A PDF of one page; `more` are objects from 5 on."""
    tree = b"<</Type /Pages /Kids [3 0 R] /Count 1>>"
    leaf = b"<</Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R /Resources <<%s>>>>" % (media, resources)
    return pdf([b"<</Type /Catalog /Pages 2 0 R>>", tree, leaf, stream(content), *(more or [])])


def stream(content: bytes, head: bytes = b"") -> bytes:
    return b"<<%s /Length %d>>\nstream\n%s\nendstream" % (head, len(content), content)


def deflated_zeros(size: int) -> bytes:
    squeeze = zlib.compressobj(9)
    block = bytes(1 << 20)
    pieces = [squeeze.compress(block) for _ in range(size >> 20)]
    return b"".join(pieces) + squeeze.flush()


def picture(width: int, height: int, bits: int, data: bytes) -> bytes:
    """A page that is one picture."""
    size = b"/Width %d /Height %d /BitsPerComponent %d /ColorSpace /DeviceGray" % (width, height, bits)
    head = b"/Type /XObject /Subtype /Image /Filter /FlateDecode " + size
    return page(b"612 0 0 792 0 0 cm /I Do", resources=b"/XObject <</I 5 0 R>>", more=[stream(data, head)])


def laughs(depth: int, times: int) -> bytes:
    """Forms that draw forms that draw forms: times ** depth pieces of text."""
    forms = []
    for level in range(depth):
        resources = (
            b"/Resources <</XObject <</F %d 0 R>> /Font <</T <</Type /Font /Subtype /Type1 /BaseFont /Helvetica>>>>>>"
        )
        head = b"/Type /XObject /Subtype /Form /BBox [0 0 612 792] " + resources % (6 + level)
        last = level == depth - 1
        forms.append(stream(b"BT /T 1 Tf (a) Tj ET" if last else b"/F Do " * times, head))
    return page(b"/F Do", resources=b"/XObject <</F 5 0 R>>", more=forms)


def written(pages: int, password: str | None = None) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, encrypt=StandardEncryption(password) if password else None, invariant=1)
    for number in range(pages):
        canvas.drawString(72, 720, f"This is the page {number + 1} of a document that has some of them.")
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def png(width: int, height: int, data: bytes = b"", kind: int = 0, depth: int = 8) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def saved(image: Image.Image, **more: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", **more)
    return out.getvalue()


def commented(size: int) -> bytes:
    """A compressed comment that grows to `size` bytes."""
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "a" * size, zip=True)
    return saved(Image.new("L", (20, 20)), pnginfo=info)


def zoo() -> Iterator[Hostile]:
    """All of them."""
    for kind in (PDF, PNG, TXT):
        yield Hostile("0 bytes", kind, b"", "empty")
    sound, small = written(1), saved(Image.new("L", (60, 40), 255))
    yield Hostile("text as PDF", PDF, b"Dear Sir, this is no PDF.", "damaged")
    yield Hostile("PNG as PDF", PDF, small, "damaged")
    yield Hostile("PDF as PNG", PNG, sound, "damaged")
    yield Hostile("PDF as text", TXT, sound + b"\x00", "not_text")
    yield Hostile("the first line of a PDF", PDF, b"%PDF-1.7\n", "damaged")
    yield Hostile("encrypted", PDF, written(1, "secret"), "encrypted")
    yield Hostile("101 pages", PDF, written(101), "too_many_pages")
    yield Hostile(
        "no page", PDF, pdf([b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [] /Count 0>>"]), "damaged"
    )
    loop = [b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [2 0 R] /Count 9>>"]
    yield Hostile("a tree of pages that is a loop", PDF, pdf(loop), "damaged")
    many = [b"<</Type /Catalog /Pages 2 0 R>>", b"<</Type /Pages /Kids [2 0 R] /Count 2000000000>>"]
    yield Hostile("two thousand million pages", PDF, pdf(many), None)
    yield Hostile("the half of a PDF", PDF, sound[: len(sound) // 2], None)
    yield Hostile("a page of a million million points", PDF, page(b"", b"0 0 1e12 1e12"), None)
    yield Hostile("a page without size", PDF, page(b"", b"0 0 0 0"), None)
    yield Hostile("a page of not a number", PDF, page(b"", b"nan inf -inf nan"), None)
    wall = page(b"14400 0 0 14400 0 0 cm /I Do", b"0 0 14400 14400", b"/XObject <</I 5 0 R>>", [_dot()])
    yield Hostile("a wall of five metres as picture", PDF, wall, None)
    yield Hostile("a picture that grows to 3 GB", PDF, picture(160_000, 160_000, 1, deflated_zeros(64 << 20)), None)
    yield Hostile("a picture of 4 thousand million pixels", PDF, picture(65_535, 65_535, 8, b"x"), None)
    bomb = page(more=[])
    grown = stream(deflated_zeros(256 << 20), b"/Filter /FlateDecode")
    yield Hostile("drawing that grows to 256 MB", PDF, bomb.replace(stream(b""), grown), None)
    yield Hostile("forms that draw forms", PDF, laughs(12, 10), None)
    yield Hostile("a form that draws itself", PDF, laughs(1, 1).replace(b"(a) Tj ET", b"ET /F Do  "), None)
    yield Hostile("deep nesting", PDF, page(b"q " * 200_000), None)
    yield Hostile("deep arrays", PDF, page(b"[" * 300_000), None)
    yield Hostile("16 thousand million pixels", PNG, png(131_072, 131_072), "too_many_pixels")
    yield Hostile("no width", PNG, png(0, 10), "damaged")
    yield Hostile("cut header", PNG, small[:20], "damaged")
    yield Hostile("cut picture", PNG, saved(Image.effect_noise((200, 200), 50))[:9000], "damaged")
    yield Hostile("broken picture", PNG, png(100, 100, b"\x00\x01 not deflated"), "damaged")
    yield Hostile("no picture", PNG, png(100, 100, zlib.compress(b"")), "damaged")
    yield Hostile("a comment that grows to 100 MB", PNG, commented(100_000_000), "damaged")
    yield Hostile("a line of one pixel", PNG, png(50_000_000, 1, deflated_zeros(50 << 20)), None)
    yield Hostile("zero byte", TXT, b"INVOICE\n\x00 1", "not_text")
    yield Hostile("Latin-1", TXT, "Grüße".encode("latin-1"), "not_text")
    yield Hostile("UTF-16", TXT, "Invoice".encode("utf-16"), "not_text")
    yield Hostile("white space", TXT, b" \n\t\r\n" * 10, "empty")
    yield Hostile("too long", TXT, b"word " * 100_000, "too_many_characters")
    yield Hostile("too many lines", TXT, b"a\n" * 6001, "too_many_pages")
    yield Hostile("too many sheets", TXT, b"a\f" * 101, "too_many_pages")


def _dot() -> bytes:
    head = b"/Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray"
    return stream(b"\x80", head)


def bent(content: bytes, chance: random.Random) -> bytes:
    """`content` with a few bytes changed, cut out or doubled."""
    bytes_ = bytearray(content)
    for _ in range(chance.randrange(1, 12)):
        place = chance.randrange(len(bytes_))
        length = chance.choice((1, 1, 4, 64))
        if (what := chance.randrange(3)) == 0:
            bytes_[place : place + length] = chance.randbytes(length)
        elif what == 1:
            del bytes_[place : place + length]
        else:
            bytes_[place:place] = bytes_[place : place + length]
    return bytes(bytes_)
