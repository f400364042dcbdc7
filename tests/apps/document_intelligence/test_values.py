"""Dates, amounts and everything that rules can tell by its form."""

import datetime
from decimal import Decimal

import pytest

from apps.document_intelligence.ner.rules import is_iban, spans
from apps.document_intelligence.values import amounts, dates, money, number


@pytest.mark.parametrize(
    ("text", "day", "sure"),
    [
        ("2026-03-14", "2026-03-14", True),
        ("14.03.2026", "2026-03-14", True),
        ("14/03/2026", "2026-03-14", True),
        ("03/14/2026", "2026-03-14", True),
        ("03/04/2026", "2026-04-03", False),
        ("4/4/2026", "2026-04-04", True),
        ("on 14 March 2026.", "2026-03-14", True),
        ("the 1st of May, 2026", "2026-05-01", True),
        ("March 14, 2026", "2026-03-14", True),
        ("Sept. 3, 2026", "2026-09-03", True),
    ],
)
def test_a_date_is_read(text: str, day: str, sure: bool) -> None:
    (found,) = dates(text)
    assert (found.value.isoformat(), found.sure) == (day, sure)


def test_slashes_are_read_as_told() -> None:
    (found,) = dates("03/04/2026", "month-first")
    assert (found.value, found.sure) == (datetime.date(2026, 3, 4), False)


@pytest.mark.parametrize("text", ["2026-02-30", "31.04.2026", "12-2026-03", "1.2.3", "2026-03-145", "INV-2026-03-14"])
def test_no_date_is_read(text: str) -> None:
    assert list(dates(text)) == []


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1,234.50", "1234.50"),
        ("1.234,50", "1234.50"),
        ("1,234", "1234"),
        ("1.234", "1234"),
        ("1,234,567", "1234567"),
        ("0.125", "0.125"),
        ("12,5", "12.5"),
        ("1'234.50", "1234.50"),
        ("1 234,50", "1234.50"),
        ("-7", "-7"),
        ("1.2.3", "12.3"),
    ],
)
def test_a_number_is_read(written: str, value: str) -> None:
    assert number(written) == Decimal(value)


def test_no_number_is_none() -> None:
    assert number("-") is None


def test_amounts_with_and_without_currency() -> None:
    text = "EUR 1,234.50 and 99,90 €, $5; 7 items, 20% off, A4 paper"
    assert [(str(each.value), each.currency) for each in money(text)] == [
        ("1234.50", "EUR"),
        ("99.90", "EUR"),
        ("5", "USD"),
    ]
    assert [str(each.value) for each in amounts(text) if each.currency is None] == ["7"]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("IBAN DE89 3704 0044 0532 0130 00 BIC", "iban", "DE89370400440532013000"),
        ("IBAN GB82WEST12345698765432", "iban", "GB82WEST12345698765432"),
        ("write to Jane.Doe+x@mail.example.org.", "email", "jane.doe+x@mail.example.org"),
        ("call +49 30 1234567 now", "phone", "+49301234567"),
        ("call (030) 123 4567", "phone", "0301234567"),
        ("VAT ID: DE123456789", "vat_id", "DE123456789"),
        ("UID CHE-123.456.789", "vat_id", "CHE123456789"),
        ("up by 3,5 %", "percentage", "3.5%"),
        ("paid EUR 20.00", "money", "20.00 EUR"),
        ("Invoice No. 2026/77-A", "reference", "2026/77-A"),
        ("Order Number: PO-4711", "reference", "PO-4711"),
        ("due 1 May 2026", "date", "2026-05-01"),
    ],
)
def test_a_form_is_told(text: str, kind: str, value: str) -> None:
    (found,) = spans(text)
    assert (found.kind, found.value) == (kind, value)
    assert 0.5 < found.confidence < 1


@pytest.mark.parametrize(
    "text",
    [
        "DE88 3704 0044 0532 0130 00",
        "a@b",
        "@home",
        "room 12345",
        "100 percent",
        "invoice number unknown",
        "DE12345678",
    ],
)
def test_what_only_looks_like_it_is_none(text: str) -> None:
    assert not [span for span in spans(text) if span.kind not in {"phone"}]


def test_the_check_digits_decide() -> None:
    assert is_iban("DE89 3704 0044 0532 0130 00")
    assert not is_iban("DE89 3704 0044 0532 0130 01")
    assert not is_iban("DE89")


def test_groups_behind_an_iban_do_not_belong_to_it() -> None:
    (found,) = [span for span in spans("DE89 3704 0044 0532 0130 00 INVO") if span.kind == "iban"]
    assert (found.start, found.end) == (0, 27)


def test_what_overlaps_is_told_once() -> None:
    assert [span.kind for span in spans("Reference: 12.05.2026")] == ["date"]
