"""Text layers, pictures and plain text: the same words at the same places."""

import io
import json
import random
import resource
import sys
from collections.abc import Iterator

import pypdfium2
import pytest
from PIL import Image, ImageDraw
from reportlab.pdfgen.canvas import Canvas

from apps.document_intelligence.pages import CELL, GOES_ON, LINE, Layout
from apps.document_intelligence.reading import child, ocr, pdf
from apps.document_intelligence.reading.bounds import Bounds, RefusedError
from apps.document_intelligence.reading.lines import Word, page_of
from apps.document_intelligence.reading.plain import open_text
from tests.apps.document_intelligence import hostile_files, samples

BOUNDS = Bounds(100, 400_000, 50_000_000, 200, 8_000_000, 1024, 20)


def canvas(*strings: tuple[float, float, str]) -> bytes:
    out = io.BytesIO()
    sheet = Canvas(out, pagesize=(400, 300), invariant=1)
    for x, y, text in strings:
        sheet.drawString(x, y, text)
    sheet.showPage()
    sheet.save()
    return out.getvalue()


def test_a_text_layer_gives_words_in_reading_order() -> None:
    content = canvas((50, 200, "second line"), (50, 250, "first line"), (300, 250, "right"))
    (page,) = pdf.open_pdf(content, BOUNDS).pages
    assert page.words == ["first", "line", "right", "second", "line"]
    assert page.breaks == [LINE, GOES_ON, CELL, LINE, GOES_ON]
    assert page.source == "text-layer"
    assert set(page.confidences) == {1.0}
    x0, y0, x1, y1 = page.boxes[0]
    assert 49 < x0 < 51
    assert 36 < y0 < y1 < 55, "the base line is 50 points from the top"
    assert 65 < x1 < 75


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_boxes_are_those_of_the_page_as_it_is_shown(rotate: int) -> None:
    document = pypdfium2.PdfDocument(canvas((50, 250, "word")))
    document[0].set_rotation(rotate)
    document.save(out := io.BytesIO())
    (page,) = pdf.open_pdf(out.getvalue(), BOUNDS).pages
    assert (page.width, page.height) == ((300, 400) if rotate in {90, 270} else (400, 300))
    x0, y0, x1, y1 = page.boxes[0]
    # The start of the base line, from the left and the bottom (50, 250) of the page before it was turned.
    start = {90: (250, 50), 180: (350, 250), 270: (50, 350)}[rotate]
    assert x0 - 1 <= start[0] <= x1 + 1
    assert y0 - 1 <= start[1] <= y1 + 1
    turned_on_its_side = rotate != 180
    assert (y1 - y0 > x1 - x0) == turned_on_its_side


def test_pictures_and_text_layers_have_the_same_boxes() -> None:
    content = canvas((50, 250, "Invoice"), (50, 100, "Total"))
    (page,) = pdf.open_pdf(content, BOUNDS).pages
    picture = ocr.read_pdf(content, 1, BOUNDS)
    assert picture.words == page.words
    for seen, stated in zip(picture.boxes, page.boxes, strict=True):
        assert seen[0] == pytest.approx(stated[0], abs=2)
        assert stated[1] - 2 < seen[1] < seen[3] < stated[3] + 2


def test_a_slice_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "SLICE_S", -1)
    content = hostile_files.written(3)
    first = pdf.open_pdf(content, BOUNDS)
    assert (first.count, [page.number for page in first.pages], first.next) == (3, [1], 2)
    assert pdf.open_pdf(content, BOUNDS, 3).next is None


def test_a_scan_with_a_stamp_is_read_by_ocr() -> None:
    picture = Image.new("L", (400, 300), 255)
    out = io.BytesIO()
    sheet = Canvas(out, pagesize=(400, 300), invariant=1)
    sheet.drawInlineImage(picture, 0, 0, 400, 300)
    sheet.drawString(50, 250, "COPY")
    sheet.showPage()
    sheet.drawInlineImage(picture, 10, 10, 40, 30)
    sheet.drawString(50, 250, "a small picture beside a text")
    sheet.showPage()
    sheet.drawInlineImage(picture, 10, 10, 40, 30)
    sheet.showPage()
    sheet.showPage()
    sheet.save()
    opened = pdf.open_pdf(out.getvalue(), BOUNDS)
    assert opened.scanned == [1, 3]
    assert [(page.number, len(page.words)) for page in opened.pages] == [(2, 6), (4, 0)]
    assert ocr.read_pdf(out.getvalue(), 1, BOUNDS).words == ["COPY"]


def test_a_text_layer_that_means_nothing_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf, "_letter", lambda code: "\ufffd" if chr(code) in "aeiou" else chr(code))
    assert pdf.open_pdf(canvas((50, 250, "aeiou aeiou")), BOUNDS).scanned == [1]


def test_letters_of_a_text_layer_are_cleaned() -> None:
    given = (0x41, 0x02, 0xAD, 0x0A, 0x200B, 0xD800, 0xE000, 0x110000, 0)
    assert [pdf._letter(code) for code in given] == ["A", "-", "-", " ", "", "\ufffd", "\ufffd", "", ""]


def test_too_much_text_in_a_pdf_is_refused() -> None:
    few = Bounds(100, 20, 50_000_000, 200, 8_000_000, 1024, 20)
    for text in ("a few more letters than twenty", "many more letters than twenty " * 60):
        with pytest.raises(RefusedError, match="more than"):
            pdf.open_pdf(canvas((50, 250, text)), few)


@pytest.mark.parametrize(
    ("reason", "content"),
    [
        ("encrypted", hostile_files.written(1, "secret")),
        ("has 3 pages", hostile_files.written(3)),
        ("begin with", b"x"),
    ],
)
def test_what_cannot_be_opened_is_told(reason: str, content: bytes) -> None:
    with pytest.raises(RefusedError, match=reason):
        pdf.open_pdf(content, Bounds(2, 20, 1, 200, 1, 1, 1))


def picture(mode: str, dpi: float | None, size: int = 40) -> bytes:
    image = Image.new("L", (900, 200), 255)
    ImageDraw.Draw(image).text((40, 60), "Invoice 4711", 0, font_size=size)
    if mode == "RGBA":
        seen = Image.new("RGBA", image.size, (0, 0, 0, 0))
        seen.putalpha(image.point(lambda value: 255 - value))
        image = seen
    elif mode == "I;16":
        image = image.convert("I").point(lambda value: value * 256).convert("I;16")
    else:
        image = image.convert(mode)
    return hostile_files.saved(image, **({"dpi": (dpi, dpi)} if dpi else {}))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "I;16"])
def test_pictures_of_every_mode_are_read(mode: str) -> None:
    page = ocr.read_png(picture(mode, None), BOUNDS)
    assert page.words == ["Invoice", "4711"]
    assert (page.width, page.height, page.source) == (324, 72, "ocr")
    assert min(page.confidences) > 0.7


def test_the_stated_resolution_counts_and_a_coarse_picture_is_enlarged() -> None:
    fine, coarse = (ocr.read_png(picture("L", dpi, 24), BOUNDS) for dpi in (300, 72))
    assert (round(fine.width), round(coarse.width)) == (216, 900)
    assert fine.words == coarse.words == ["Invoice", "4711"]
    assert coarse.boxes[0][0] == pytest.approx(300 / 72 * fine.boxes[0][0], abs=4)


def test_words_parted_at_the_sign_of_mail_are_joined() -> None:
    content, _, truth = samples.make("invoice", "png", random.Random(5))  # noqa: S311
    (mail,) = [text for kind, text in truth.entities if kind == "email"]
    assert mail in ocr.read_png(content, BOUNDS).words


def test_plain_text_has_the_places_of_a_typewriter() -> None:
    opened = open_text(b"a  bc d\te\r\nf\fg\n", BOUNDS)
    first, second = opened.pages
    assert (first.words, second.words) == (["a", "bc", "d", "e", "f"], ["g"])
    assert first.breaks == [LINE, CELL, GOES_ON, GOES_ON, LINE]
    assert first.boxes[:2] == [(36, 36, 42, 46), (54, 36, 66, 46)]
    assert Layout(opened.pages).text == "a\tbc d e\nf\n\ng"


def test_a_slanted_line_is_one_line() -> None:
    words = [
        Word(str(number), (20.0 * number, number + 0.0, 20.0 * number + 15, number + 10.0)) for number in range(20)
    ]
    low = [Word(f"b{word.text}", (word.box[0], word.box[1] + 14, word.box[2], word.box[3] + 14)) for word in words]
    page = page_of(1, 500, 500, "ocr", [*low, *words, Word(" ", (0, 0, 1, 1))])
    assert page.words == [word.text for word in [*words, *low]]
    assert page.breaks.count(LINE) == 2


def test_spans_find_their_boxes_back() -> None:
    layout = Layout(open_text(b"Total  EUR 5\nnext\fpage two", BOUNDS).pages)
    start = layout.text.index("EUR")
    place = layout.place(start, start + 5)
    assert (place.page, place.box, place.confidence) == (1, (78, 36, 108, 46), 1.0)
    everything = layout.place(0, len(layout.text))
    assert (everything.page, everything.box) == (1, (36, 36, 108, 58)), "the page on which it begins"
    assert layout.place(layout.text.index("two"), len(layout.text)).page == 2
    assert [[layout.of(cell) for cell in line] for line in layout.lines] == [["Total", "EUR 5"], ["next"], ["page two"]]
    with pytest.raises(ValueError, match="no word"):
        Layout([]).place(0, 5)


class TestChild:
    """The program of the child process, in this one; only its limits are left out."""

    @pytest.fixture
    def jobs(self) -> Iterator[tuple[str, dict[str, object], bytes]]:
        bounds = {name: getattr(BOUNDS, name) for name in Bounds.__slots__}
        job = {"bounds": bounds, "media_type": "application/pdf", "number": 1, "first": 1}
        return iter(
            [
                ("opened", {**job, "do": "open"}, hostile_files.written(1)),
                ("page", {**job, "do": "page"}, hostile_files.written(1)),
                ("page", {**job, "do": "page", "media_type": "image/png"}, picture("L", None)),
                ("refused", {**job, "do": "open"}, b"no PDF"),
            ]
        )

    def test_every_job_leaves_one_answer(
        self, jobs: Iterator[tuple[str, dict[str, object], bytes]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits: dict[int, tuple[int, int]] = {}
        monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
        for name, job, content in jobs:
            given = io.TextIOWrapper(io.BytesIO(json.dumps(job).encode() + b"\n" + content))
            out = io.StringIO()
            monkeypatch.setattr(sys, "stdin", given)
            monkeypatch.setattr(sys, "stdout", out)
            child.main()
            assert list(json.loads(out.getvalue())) == [name]
        assert limits[resource.RLIMIT_CPU] == (20, 20)
        assert limits[resource.RLIMIT_AS] == (1 << 30, 1 << 30)
        assert limits[resource.RLIMIT_FSIZE] == limits[resource.RLIMIT_CORE] == (0, 0)

    def test_a_lack_of_memory_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr(pdf, "open_pdf", full)
        answer = child.work({"do": "open", "first": 1}, b"", BOUNDS)
        assert answer == {"refused": ["too_expensive", answer["refused"][1]]}
        assert "1024 MB" in answer["refused"][1]
