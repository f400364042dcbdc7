"""Documents with known truth, made by a seed: `generate(7)`.

Each is laid out once, as words at places (`Sheet`), and comes out as a PDF with a text layer, as a scan (the page as a
picture with noise, a little blurred and turned; in a PDF or as PNG), or as plain text. No name is among the examples of
the encoder in apps/document_intelligence/ner/names.py.
"""

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import pypdfium2
from PIL import Image, ImageChops, ImageFilter
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

Form = Literal["pdf", "scan", "png", "txt"]
MEDIA_TYPES: dict[Form, str] = {
    "pdf": "application/pdf",
    "scan": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
}
WIDTH, HEIGHT = 612, 792
SCAN_DPI = 170
_TURN_DEGREES = 0.3
Box = tuple[float, float, float, float]

COMPANIES = (
    *(
        "Quillon Metalworks Ltd",
        "Larkspur Analytics GmbH",
        "Bluepeak Catering LLC",
        "Vantor Freight Inc",
        "Ostrava Glass AG",
    ),
    *("Pinewood Textiles Ltd", "Meridian Robotics GmbH", "Halvorsen Marine AS", "Copperfield Printing Ltd"),
    *("Tamarind Foods Inc", "Greyhaven Insurance PLC", "Lindqvist Optics", "Marlowe Consulting", "Redwater Utilities"),
)
PERSONS = (
    *("Helena Brandt", "Tobias Lindqvist", "Marisol Okafor", "Ingrid Solheim", "Dmitri Volkov", "Faith Mensah"),
    *("Nikhil Rao", "Eleanor Whitfield", "Mateo Fernandez", "Yuki Tanaka", "Clara Hoffmann", "Samuel Osei"),
)
PLACES = ("Rotterdam", "Leipzig", "Gdansk", "Hanover", "Toulouse", "Bristol", "Zurich", "Oslo", "Denver", "Turin")
STREETS = ("Harbour Road", "Mill Lane", "Station Street", "Orchard Avenue", "Castle Street")
GOODS = (
    *("Steel bracket", "Cordless drill", "Office chair", "Printer paper", "Safety gloves", "LED panel", "Copper wire"),
    *("Site inspection", "Translation service", "Wooden pallet", "Glass jar", "Network cable"),
)
LAWS = ("Germany", "England and Wales", "the Netherlands", "Norway", "Switzerland")


@dataclass
class Truth:
    """What is in a document. fields: normal forms as in the answer; places: of fields; text: as it is laid out."""

    kind: str
    form: Form
    fields: dict[str, Any] = field(default_factory=dict)
    places: dict[str, tuple[int, Box]] = field(default_factory=dict)
    entities: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    pages: int = 1


@dataclass(frozen=True)
class _Piece:
    page: int
    x: float
    y: float
    text: str
    size: float
    bold: bool

    @property
    def font(self) -> str:
        return "Helvetica-Bold" if self.bold else "Helvetica"

    @property
    def box(self) -> Box:
        width = stringWidth(self.text, self.font, self.size)
        return self.x, self.y - 0.72 * self.size, self.x + width, self.y


class Sheet:
    """Words at places; y is the base line, from the top."""

    def __init__(self, kind: str):
        self.pieces: list[_Piece] = []
        self.truth = Truth(kind, "pdf")
        self.page = 1
        self.y = 60.0

    def put(
        self, x: float, text: str, name: str = "", size: float = 10, *, bold: bool = False, right: bool = False
    ) -> None:
        """Put text on the current line; `name` is the field whose place this is; right: x is its right edge."""
        piece = _Piece(self.page, x, self.y, text, size, bold)
        if right:
            piece = _Piece(self.page, x - (piece.box[2] - piece.box[0]), self.y, text, size, bold)
        self.pieces.append(piece)
        if name:
            self.truth.places[name] = (self.page, piece.box)

    def down(self, by: float = 16) -> None:
        self.y += by

    def turn(self) -> None:
        self.page, self.y = self.page + 1, 60.0

    def line(self, x: float, text: str, name: str = "", size: float = 10, *, bold: bool = False) -> None:
        self.put(x, text, name, size, bold=bold)
        self.down(size * 1.6)

    def knows(self, *entities: tuple[str, str]) -> None:
        self.truth.entities.extend(entities)

    def paragraph(self, text: str, x: float = 60, characters: int = 88) -> None:
        words, line = text.split(), ""
        for word in words:
            if len(line) + len(word) > characters:
                self.line(x, line)
                line = ""
            line = f"{line} {word}".strip()
        self.line(x, line)
        self.down(6)

    def rows(self) -> list[list[_Piece]]:
        """The pieces line by line."""
        keys = dict.fromkeys((piece.page, piece.y) for piece in self.pieces)
        lines = [[piece for piece in self.pieces if (piece.page, piece.y) == key] for key in sorted(keys)]
        return [sorted(line, key=lambda piece: piece.x) for line in lines]


def to_pdf(sheet: Sheet) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=(WIDTH, HEIGHT), invariant=1)
    for page in range(1, sheet.page + 1):
        for piece in sheet.pieces:
            if piece.page == page:
                canvas.setFont(piece.font, piece.size)
                canvas.drawString(piece.x, HEIGHT - piece.y, piece.text)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def to_image(pdf: bytes, page: int, chance: random.Random) -> Image.Image:
    """The page as a scanner gives it."""
    document = pypdfium2.PdfDocument(pdf)
    clean = document[page - 1].render(scale=SCAN_DPI / 72, grayscale=True).to_pil()
    turned = clean.rotate(chance.uniform(-_TURN_DEGREES, _TURN_DEGREES), Image.Resampling.BICUBIC, fillcolor=255)
    noise = Image.effect_noise(turned.size, 18)
    return ImageChops.add(turned.filter(ImageFilter.GaussianBlur(0.4)), noise, scale=1, offset=-128)


def to_scan(pdf: bytes, pages: int, chance: random.Random) -> bytes:
    """A PDF of pictures only."""
    images = [to_image(pdf, page, chance) for page in range(1, pages + 1)]
    out = io.BytesIO()
    images[0].save(out, "PDF", resolution=SCAN_DPI, save_all=True, append_images=images[1:])
    return out.getvalue()


def to_png(pdf: bytes, chance: random.Random) -> bytes:
    out = io.BytesIO()
    to_image(pdf, 1, chance).save(out, "PNG", dpi=(SCAN_DPI, SCAN_DPI))
    return out.getvalue()


def to_txt(sheet: Sheet) -> bytes:
    lines: list[str] = []
    before: tuple[int, float] = (1, 60.0)
    for row in sheet.rows():
        here = (row[0].page, row[0].y)
        if here[0] == before[0] and here[1] - before[1] > 20:
            lines.append("")
        if here[0] != before[0]:
            lines.append("\f")
        text = ""
        for piece in row:
            column = round((piece.x - 50) / 5.5)
            text = (text + "   " if text else "").ljust(column) + piece.text
        lines.append(text)
        before = here
    return "\n".join(lines).replace("\f\n", "\f").encode() + b"\n"


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _day(chance: random.Random) -> date:
    return date(2026, 1, 1) + timedelta(days=chance.randrange(330))


def _written(day: date, chance: random.Random) -> str:
    forms: tuple[Callable[[], str], ...] = (
        day.isoformat,
        lambda: f"{day.day} {day:%B %Y}",
        lambda: f"{day:%B} {day.day}, {day.year}",
        lambda: f"{day:%d.%m.%Y}",
    )
    return chance.choice(forms)()


def iban(chance: random.Random) -> str:
    """A German account number with right check digits."""
    account = "".join(str(chance.randrange(10)) for _ in range(18))
    check = 98 - int(account + "131400") % 97
    whole = f"DE{check:02}{account}"
    return " ".join(whole[start : start + 4] for start in range(0, len(whole), 4))


def invoice(chance: random.Random) -> Sheet:
    sheet = Sheet("invoice")
    seller, buyer = chance.sample(COMPANIES, 2)
    town, other_town = chance.sample(PLACES, 2)
    day = _day(chance)
    due = day + timedelta(days=chance.choice((14, 30, 60)))
    number = f"{chance.choice(('INV-2026-', 'R', '2026/'))}{chance.randrange(1000, 99999)}"
    currency = chance.choice(("EUR", "USD", "GBP"))
    mail = f"billing@{seller.split()[0].lower()}.example"
    account, rate = iban(chance), chance.choice((7, 19, 20))
    written, written_due = _written(day, chance), _written(due, chance)
    facts = {"number": number, "date": day.isoformat(), "due_date": due.isoformat(), "seller": seller, "buyer": buyer}
    sheet.truth.fields |= facts | {"currency": currency, "iban": account.replace(" ", "")}
    two_columns = chance.random() < 0.5
    sheet.line(60, "INVOICE", size=20, bold=True)
    sheet.down(10)
    sheet.line(60, seller, "seller", bold=True)
    sheet.line(60, f"{chance.randrange(1, 90)} {chance.choice(STREETS)}, {town}")
    sheet.line(60, f"E-mail: {mail}")
    sheet.down(10)
    rows = (
        ("Invoice Number:", number, "number"),
        ("Invoice Date:", written, "date"),
        ("Due Date:", written_due, "due_date"),
    )
    if two_columns:
        sheet.put(60, "Bill To:", bold=True)
    for place, (label, value, name) in enumerate(rows):
        if two_columns and place == 1:
            sheet.put(60, buyer, "buyer")
        if two_columns and place == 2:
            sheet.put(60, other_town)
        sheet.put(330 if two_columns else 60, label)
        sheet.put(430 if two_columns else 170, value, name)
        sheet.down()
    if not two_columns:
        sheet.down(8)
        sheet.line(60, "Bill To:", bold=True)
        sheet.line(60, buyer, "buyer")
        sheet.line(60, other_town)
    sheet.down(20)
    total = _table(sheet, chance)
    tax = (total * rate / 100).quantize(Decimal("0.01"))
    sums = ((f"VAT {rate}%", tax, "tax"), ("Total Due", total + tax, "total"))
    sheet.down(6)
    for label, amount, name in (("Subtotal", total, "subtotal"), *sums):
        sheet.put(380, label, bold=name == "total")
        sheet.put(550, f"{currency} {_money(amount)}", name, right=True)
        sheet.truth.fields[name] = str(amount)
        sheet.knows(("money", f"{currency} {_money(amount)}"))
        sheet.down()
    sheet.down(20)
    sheet.line(60, f"Please transfer the amount within {(due - day).days} days.")
    sheet.put(60, "IBAN:")
    sheet.put(100, account, "iban")
    sheet.knows(("organisation", seller), ("organisation", buyer), ("place", town), ("place", other_town))
    sheet.knows(("email", mail), ("reference", number), ("date", written), ("date", written_due), ("iban", account))
    sheet.knows(("percentage", f"{rate}%"))
    return sheet


def _table(sheet: Sheet, chance: random.Random) -> Decimal:
    heads = (("Description", 60), ("Quantity", 340), ("Unit Price", 450), ("Amount", 550))
    for place, (text, x) in enumerate(heads):
        sheet.put(x, text, bold=True, right=place > 0)
    sheet.down()
    items, total = [], Decimal(0)
    for goods in chance.sample(GOODS, chance.randrange(2, 6)):
        quantity, price = chance.randrange(1, 40), Decimal(chance.randrange(199, 250_000)).scaleb(-2)
        amount = quantity * price
        total += amount
        sheet.put(60, goods)
        for x, text in ((340, str(quantity)), (450, _money(price)), (550, _money(amount))):
            sheet.put(x, text, right=True)
        sheet.down()
        items.append((goods, str(quantity), str(price), str(amount)))
    sheet.truth.fields["line_items"] = items
    return total


def receipt(chance: random.Random) -> Sheet:
    sheet = Sheet("receipt")
    shop = chance.choice(("Brambleside Bakery", "Foxglove Coffee House", "Kestrel Books Ltd", "Tidewater Pharmacy"))
    town, day = chance.choice(PLACES), _day(chance)
    written = _written(day, chance)
    sheet.line(220, shop, "merchant", bold=True)
    sheet.line(220, town)
    sheet.line(220, f"Date: {written}")
    sheet.line(220, "Receipt No: " + (number := f"{chance.randrange(10_000, 99_999)}"))
    sheet.down()
    total = Decimal(0)
    for goods in chance.sample(("Espresso", "Rye bread", "Notebook", "Sandwich", "Apple juice"), 3):
        price = Decimal(chance.randrange(150, 3000)).scaleb(-2)
        total += price
        sheet.put(220, goods)
        sheet.put(400, _money(price), right=True)
        sheet.down()
    sheet.down(6)
    sheet.put(220, "Total", bold=True)
    sheet.put(400, f"EUR {_money(total)}", "total", right=True)
    sheet.down()
    sheet.put(220, "Cash")
    sheet.put(400, f"EUR {_money(total)}", right=True)
    sheet.down(24)
    sheet.line(220, "Thank you for your visit!")
    sheet.truth.fields |= {"merchant": shop, "date": day.isoformat(), "currency": "EUR", "total": str(total)}
    sheet.knows(("organisation", shop), ("place", town), ("date", written), ("reference", number))
    sheet.knows(*[("money", f"EUR {_money(total)}")] * 2)
    return sheet


def _correspondence(kind: str, chance: random.Random) -> tuple[Sheet, str, str]:
    """The head of a letter; returns sheet, sender, recipient."""
    sheet = Sheet(kind)
    sender, recipient = chance.sample(PERSONS, 2)
    company, town, day = chance.choice(COMPANIES), chance.choice(PLACES), _day(chance)
    written = _written(day, chance)
    phone = f"+49 {chance.randrange(30, 900)} {chance.randrange(100_000, 9_999_999)}"
    sheet.line(60, company, bold=True)
    sheet.line(60, f"{chance.randrange(1, 90)} {chance.choice(STREETS)}, {town}")
    sheet.line(60, f"Phone: {phone}")
    sheet.down()
    sheet.line(60, f"Date: {written}")
    sheet.down(4)
    sheet.truth.fields |= {"sender": sender, "recipient": recipient, "date": day.isoformat()}
    sheet.knows(("organisation", company), ("place", town), ("phone", phone), ("date", written))
    sheet.knows(("person", sender), ("person", recipient))
    return sheet, sender, recipient


def letter(chance: random.Random) -> Sheet:
    sheet, sender, recipient = _correspondence("letter", chance)
    place = chance.choice([place for place in PLACES if ("place", place) not in sheet.truth.entities])
    subject = chance.choice(("Our meeting next week", "Invitation to the summer party", "Change of our address"))
    sheet.line(60, f"Subject: {subject}")
    sheet.down()
    sheet.line(60, f"Dear {recipient},", "recipient")
    sheet.down(4)
    sheet.paragraph(
        f"thank you for the pleasant talk at our office. I am writing to tell you that we will be in {place} from"
        " next month on, and that all of us are looking forward to seeing you there again. Please let me know which day"
        " would suit you best, and whether your colleagues are going to join us for dinner."
    )
    sheet.line(60, "Yours sincerely,")
    sheet.down()
    sheet.line(60, sender, "sender")
    sheet.truth.fields["subject"] = subject
    sheet.knows(("place", place))
    return sheet


def complaint(chance: random.Random) -> Sheet:
    sheet, sender, recipient = _correspondence("complaint", chance)
    order, price = f"PO-{chance.randrange(10_000, 99_999)}", f"EUR {chance.randrange(50, 900)}.00"
    goods = chance.choice(GOODS).lower()
    sheet.line(60, "Subject: Complaint about a damaged delivery")
    sheet.put(60, "Order Number:")
    sheet.line(140, order, "reference")
    sheet.down()
    sheet.line(60, f"Dear {recipient},", "recipient")
    sheet.down(4)
    sheet.paragraph(
        f"I am very disappointed with the {goods} that came two weeks late and badly damaged. The box was torn, three"
        " pieces were broken, and nobody answered my calls. This is unacceptable. I expect a replacement or a refund"
        f" of {price} within ten days."
    )
    sheet.line(60, "Kind regards,")
    sheet.down()
    sheet.line(60, sender, "sender")
    sheet.truth.fields |= {"subject": "Complaint about a damaged delivery", "reference": order}
    sheet.knows(("reference", order), ("money", price))
    return sheet


def report(chance: random.Random) -> Sheet:
    sheet = Sheet("report")
    company, person, day = chance.choice(COMPANIES), chance.choice(PERSONS), _day(chance)
    written, share, place = _written(day, chance), f"{chance.randrange(2, 40)}%", chance.choice(PLACES)
    title = chance.choice(("Quarterly Sales Report", "Annual Safety Report", "Market Research Report"))
    sheet.line(60, title, "title", size=22, bold=True)
    sheet.down(6)
    sheet.line(60, company)
    sheet.put(60, "Prepared by:")
    sheet.line(140, person, "author")
    sheet.line(60, f"Date: {written}")
    sheet.down()
    sheet.line(60, "Executive Summary", size=13, bold=True)
    sheet.paragraph(
        f"The figures of the last months show a growth of {share} over the year before. The best region was {place},"
        " where two new customers were won. Costs stayed level, and the number of accidents fell for the third time."
    )
    sheet.line(60, "Findings", size=13, bold=True)
    sheet.paragraph(
        "The survey reached four hundred people, of whom most were content with the service. Waiting times came up as"
        " the first reason for a low mark. The method is described at the end of this document."
    )
    sheet.line(60, "Recommendations", size=13, bold=True)
    sheet.paragraph(
        "We recommend to train two more people, to shorten the way of a request, and to measure again in spring."
    )
    sheet.truth.fields |= {"title": title, "author": person, "date": day.isoformat()}
    sheet.knows(
        ("organisation", company), ("person", person), ("date", written), ("percentage", share), ("place", place)
    )
    return sheet


def contract(chance: random.Random) -> Sheet:
    sheet = Sheet("contract")
    one, other = chance.sample(COMPANIES, 2)
    day, law, price = _day(chance), chance.choice(LAWS), f"EUR {chance.randrange(1, 90)},000.00"
    written = f"{day.day} {day:%B %Y}"
    title = chance.choice(("Service Agreement", "Supply Agreement", "Framework Agreement"))
    clauses = {
        "Scope": "The supplier delivers the goods that the orders of the client name, in time and in good quality.",
        "Payment": f"The client pays {price} each year, in four equal parts, at the end of each quarter.",
        "Confidentiality": "Neither party shows papers, drawings or figures of the other to anybody outside its house.",
        "Liability": "Either party is liable for harm that it does on purpose or by gross neglect.",
        "Term and Termination": "The contract runs for two years. Each party may end it with three months' notice.",
        "Governing Law": f"This agreement is governed by the laws of {law}. Changes must be in writing.",
    }
    sheet.line(60, title, "title", size=20, bold=True)
    sheet.down()
    sheet.paragraph(
        f"This agreement is entered into on {written} by and between {one} (the supplier) and {other} (the client)."
        " The parties agree as follows."
    )
    for number, (head, text) in enumerate(clauses.items(), 1):
        if number in (3, 5):
            sheet.turn()
        sheet.line(60, f"{number}. {head}", size=12, bold=True)
        sheet.paragraph(text)
    place = law.removeprefix("the ")
    sheet.truth.fields |= {
        "title": title,
        "parties": [one, other],
        "effective_date": day.isoformat(),
        "governing_law": place,
    }
    sheet.knows(("organisation", one), ("organisation", other), ("date", written), ("money", price))
    sheet.knows(*(("place", each) for each in place.split(" and ")))
    return sheet


MAKERS = {each.__name__: each for each in (invoice, receipt, letter, complaint, report, contract)}
# How often each kind comes in each form: 4 scanned pages in all.
PLAN: tuple[tuple[str, Form, int], ...] = (
    ("invoice", "pdf", 4),
    ("invoice", "scan", 1),
    ("invoice", "png", 1),
    ("invoice", "txt", 1),
    ("receipt", "pdf", 1),
    ("receipt", "png", 1),
    ("letter", "pdf", 2),
    ("letter", "scan", 1),
    ("complaint", "pdf", 1),
    ("complaint", "txt", 1),
    ("report", "pdf", 1),
    ("report", "txt", 1),
    ("contract", "pdf", 1),
    ("contract", "txt", 1),
)


def make(kind: str, form: Form, chance: random.Random) -> tuple[bytes, str, Truth]:
    """One document."""
    sheet = MAKERS[kind](chance)
    truth = sheet.truth
    truth.form, truth.pages = form, sheet.page
    truth.text = "\n".join(" ".join(piece.text for piece in row) for row in sheet.rows())
    if form == "txt":
        return to_txt(sheet), MEDIA_TYPES[form], truth
    pdf = to_pdf(sheet)
    if form == "pdf":
        return pdf, MEDIA_TYPES[form], truth
    picture = to_scan(pdf, sheet.page, chance) if form == "scan" else to_png(pdf, chance)
    return picture, MEDIA_TYPES[form], truth


def generate(seed: int, plan: tuple[tuple[str, Form, int], ...] = PLAN) -> Iterator[tuple[bytes, str, Truth]]:
    """The documents of the plan as (bytes, content type, truth); the same for the same seed."""
    chance = random.Random(seed)  # noqa: S311
    for kind, form, count in plan:
        for _ in range(count):
            yield make(kind, form, chance)
