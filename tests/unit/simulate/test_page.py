"""Decision 0015 shows what `rayops simulate --claim` says now."""

from pathlib import Path

import pytest

from rayops.cli.simulate import NAME
from rayops.paths import ROOT
from rayops.simulate import claim, plot, report
from rayops.simulate.measure import Effort
from rayops.simulate.model import load

PAGE = ROOT / "base/decisions/0015-fractional-gpus.md"
PICTURE = PAGE.with_suffix(".svg")
PRICE = 3.0
AGAIN = f"rayops simulate --claim --into {PAGE.relative_to(ROOT)} --plot {PICTURE.relative_to(ROOT)}"


def test_table_and_picture_are_of_these_inputs_and_this_code() -> None:
    """By the fingerprint: inputs, and what a very short run makes of them."""
    now = claim.fingerprint(*load("document-intelligence", "dev"), Effort(), PRICE)
    assert report.marked(PAGE, NAME) == now, AGAIN
    assert now in PICTURE.read_text("utf-8"), AGAIN


def test_the_picture_is_small() -> None:
    assert PICTURE.stat().st_size < 60_000


@pytest.mark.drill
def test_table_and_picture_are_what_a_whole_run_gives(tmp_path: Path) -> None:
    pipeline, spec = load("document-intelligence", "dev")
    study = claim.study(pipeline, spec, Effort(), PRICE, lambda _: None)
    now = claim.fingerprint(pipeline, spec, Effort(), PRICE)
    assert report.put(PAGE, NAME, now, report.study_markdown(study)) == PAGE.read_text("utf-8"), AGAIN
    plot.study_plot(study, tmp_path / "now.svg", now)
    assert (tmp_path / "now.svg").read_text("utf-8") == PICTURE.read_text("utf-8"), AGAIN
