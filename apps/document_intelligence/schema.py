"""What is extracted from each kind of document. Every value says how sure it is and where it stands."""

import datetime
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from apps.document_intelligence.pages import Box

T = TypeVar("T")


class Found(BaseModel, Generic[T]):
    """A value, its confidence (0 to 1), its page (from 1) and its box in points, origin top-left."""

    value: T
    confidence: float = Field(ge=0, le=1)
    page: int = Field(ge=1)
    box: Box


class LineItem(BaseModel):
    """A row of an invoice."""

    description: str
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    amount: Decimal | None = None


class Invoice(BaseModel):
    """Who asks whom for how much, for what and until when."""

    kind: Literal["invoice"] = "invoice"
    number: Found[str] | None = None
    date: Found[datetime.date] | None = None
    due_date: Found[datetime.date] | None = None
    seller: Found[str] | None = None
    buyer: Found[str] | None = None
    currency: Found[str] | None = None
    subtotal: Found[Decimal] | None = None
    tax: Found[Decimal] | None = None
    total: Found[Decimal] | None = None
    iban: Found[str] | None = None
    line_items: list[Found[LineItem]] = Field(default_factory=list)


class Receipt(BaseModel):
    """What was paid, where and when."""

    kind: Literal["receipt"] = "receipt"
    merchant: Found[str] | None = None
    date: Found[datetime.date] | None = None
    currency: Found[str] | None = None
    tax: Found[Decimal] | None = None
    total: Found[Decimal] | None = None


class Letter(BaseModel):
    """Who writes whom about what."""

    kind: Literal["letter"] = "letter"
    sender: Found[str] | None = None
    recipient: Found[str] | None = None
    date: Found[datetime.date] | None = None
    subject: Found[str] | None = None


class Complaint(BaseModel):
    """A letter about something that went wrong."""

    kind: Literal["complaint"] = "complaint"
    sender: Found[str] | None = None
    recipient: Found[str] | None = None
    date: Found[datetime.date] | None = None
    subject: Found[str] | None = None
    reference: Found[str] | None = None


class Report(BaseModel):
    """The title page of a report."""

    kind: Literal["report"] = "report"
    title: Found[str] | None = None
    author: Found[str] | None = None
    date: Found[datetime.date] | None = None


class Contract(BaseModel):
    """Who agreed, from when on, under which law."""

    kind: Literal["contract"] = "contract"
    title: Found[str] | None = None
    parties: list[Found[str]] = Field(default_factory=list)
    effective_date: Found[datetime.date] | None = None
    governing_law: Found[str] | None = None


class Other(BaseModel):
    """A document of no known kind: entities only."""

    kind: Literal["other"] = "other"


AnyFields = Invoice | Receipt | Letter | Complaint | Report | Contract | Other
Fields = Annotated[AnyFields, Field(discriminator="kind")]
MODELS: dict[str, type[AnyFields]] = {
    "invoice": Invoice,
    "receipt": Receipt,
    "letter": Letter,
    "complaint": Complaint,
    "report": Report,
    "contract": Contract,
    "other": Other,
}
