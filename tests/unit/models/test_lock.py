"""A revision whose content changes has moved; a new revision, and a digest that was not known, have not."""

import pytest

from rayops.models.sync import CATALOGUE, LOCK
from tests.unit.models.conftest import REVISION, ZERO, A, B, Checkout

FIX = "another revision for another content, or the content that was recorded"
OTHER = "e" * 64


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size_gib: 13.5", "size_gib: 14.5", "size_gib: 14.5 under the same revision cccccccccccc that was 13.5"),
        (
            "maker/Big-7B",
            "other/Big-7B",
            "source: other/Big-7B under the same revision cccccccccccc that was maker/Big-7B",
        ),
        (B, OTHER, "files[1].sha256: eeeeeeeeeeee… under the same revision cccccccccccc that had bbbbbbbbbbbb…"),
        (B, f'"{ZERO}"', "files[1].sha256: 000000000000… under the same revision cccccccccccc that had bbbbbbbbbbbb…"),
    ],
)
def test_another_content_under_the_same_revision(synced: Checkout, old: str, new: str, said: str) -> None:
    synced.model("big", old, new)
    faults = synced.faults()
    assert [fault.partition(": ")[2] for fault in faults] == [f"models[big].{said} → {FIX}"]
    synced.model("big", REVISION, "d" * 40)
    assert synced.faults() == []


def test_a_digest_that_becomes_known(synced: Checkout) -> None:
    synced.model("huge", f'"{ZERO}"', A)
    assert synced.faults() == []
    synced.plan().write()
    synced.model("huge", A, B)
    assert ["models[huge].files[0].sha256: " in fault for fault in synced.faults()] == [True]


def test_another_list_of_files_of_the_same_revision(synced: Checkout) -> None:
    synced.model("big", f"  - {{path: config.json, sha256: {A}}}\n", f"  - {{path: more.json, sha256: {OTHER}}}\n")
    assert synced.faults() == []


def test_what_was_recorded_wrongly_is_taken_out_by_hand(synced: Checkout) -> None:
    synced.model("big", "size_gib: 13.5", "size_gib: 14.5")
    text = synced.read(LOCK)
    start = text.index("big:\n")
    synced.write(LOCK, text[:start] + text[text.index("big-support:") :])
    assert synced.faults() == []


def test_a_revision_of_zeros_pins_nothing(synced: Checkout) -> None:
    synced.model("huge", REVISION, f'"{"0" * 40}"')
    synced.plan().write()
    synced.model("huge", "size_gib: 131.5", "size_gib: 132.5")
    assert synced.faults() == []


@pytest.mark.parametrize("text", ["[", "7", "big: 7", "- big"])
def test_a_lock_that_is_none(synced: Checkout, text: str) -> None:
    synced.write(LOCK, text)
    assert synced.faults() == [f"{LOCK}:1: no lock of models → take the last good one from Git"]


def test_the_lock_has_what_is_known(synced: Checkout) -> None:
    lock = synced.read(LOCK)
    assert A in lock
    assert ZERO not in lock
    assert "small:" not in lock, CATALOGUE
