"""The architecture picture is the one its source makes, and its words fit their boxes."""

import tomllib
from typing import Any
from xml.etree import ElementTree

import pytest

import picture

SOURCE: dict[str, Any] = tomllib.loads(picture.SOURCE.read_text("utf-8"))
# Width of a letter as a share of its size, in a wide font (DejaVu Sans); mono fonts have 0.6.
LETTER = {"small": 12 * 0.58, "mono": 12 * 0.61, "title": 15 * 0.68}


def test_the_committed_picture_is_fresh() -> None:
    assert picture.PICTURE.read_text("utf-8") == picture.render(SOURCE), "run python3 scripts/picture.py"
    assert picture.main(["--check"]) == 0


def test_a_changed_source_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    changed = tmp_path / "changed.toml"
    changed.write_text(picture.SOURCE.read_text("utf-8").replace("RayService", "RayServant"), "utf-8")
    monkeypatch.setattr(picture, "SOURCE", changed)
    assert picture.main(["--check"]) == 1


def test_it_is_well_formed_and_says_what_it_shows() -> None:
    root = ElementTree.fromstring(picture.render(SOURCE))  # noqa: S314
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert root.findtext("{http://www.w3.org/2000/svg}desc")
    assert "prefers-color-scheme: dark" in picture.render(SOURCE)


@pytest.mark.parametrize("chip", SOURCE["chip"], ids=[chip["text"] for chip in SOURCE["chip"]])
def test_words_fit_their_chip(chip: dict[str, Any]) -> None:
    assert len(chip["text"]) * LETTER[chip.get("style", "small")] <= chip["box"][2]


@pytest.mark.parametrize("card", SOURCE["card"], ids=[card["title"] for card in SOURCE["card"]])
def test_lines_fit_their_card(card: dict[str, Any]) -> None:
    room = card["box"][2] - 16
    assert len(card["title"]) * LETTER["title"] <= room
    assert all(len(line) * LETTER["mono"] <= room for line in card.get("lines", []))


def test_every_folder_in_the_picture_exists() -> None:
    titles = [card["title"] for card in SOURCE["card"]]
    folders = [title for title in titles if "/" in title and " " not in title]
    assert folders
    assert [folder for folder in folders if not (picture.ROOT / folder).is_dir()] == []
