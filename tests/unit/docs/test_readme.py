"""The front door says what is true of the commands and folders behind it."""

import argparse
import re
from pathlib import Path

from rayops.cli import down, status, up
from tests.unit.docs.markdown_pages import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def options(command: object) -> set[str]:
    """Return the long options of a command."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    return {name for action in parser._actions for name in action.option_strings}


def test_it_fits_a_few_screens() -> None:
    assert len(README.splitlines()) <= 220


def test_second_level_pages_are_short() -> None:
    """Generated tables and indexes (a line for each runbook and decision) do not count: nobody reads them through."""

    def read(page: Path) -> int:
        text = re.sub(r"<!-- (rayops \w+): begin -->.*?<!-- \1: end -->", "", page.read_text(), flags=re.DOTALL)
        return sum("(observability/runbooks/" not in line and "](decisions/" not in line for line in text.splitlines())

    assert {page.parent.name for page in ROOT.glob("*/README.md") if read(page) > 60} == set()


def test_the_table_of_times_has_the_steps_of_up() -> None:
    table = README[README.index("| step |") : README.index("Machine: ")]
    rows = re.findall(r"^\| ([\w ]+) \|", table, re.MULTILINE)
    assert rows[1:] == list(up.STEPS)


def test_every_option_named_exists() -> None:
    named = {name for span in re.findall(r"`\./scripts/up([^`]*)`", README) for name in re.findall(r"--[\w-]+", span)}
    assert named
    assert named <= options(up)
    assert {"down", "status"} <= set(re.findall(r"`rayops (\w+)`", README))
    assert all(hasattr(command, "run") for command in (down, status))


def test_every_folder_of_the_map_exists() -> None:
    table = README[README.index("## Map") : README.index("## Add a pipeline")]
    cells = re.findall(r"^\| (.+?) \|", table, re.MULTILINE)[2:]
    paths = [
        re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cell).strip("`").replace("<env>", "local").replace("<pipeline>", "rag")
        for cell in cells
    ]
    assert len(paths) >= 6
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_markers_for_measured_figures_are_unique() -> None:
    markers = re.findall(r"<!-- measured:([\w-]+) -->", README)
    assert len(markers) == len(set(markers))
