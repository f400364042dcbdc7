"""The study obeys the bounds that are known before any run, and says of each part of the claim what the runs say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rayops.errors import RayopsError
from rayops.simulate import claim, plot, report
from rayops.simulate.claim import HOLDS, NOT, ONLY_IF, Study, bench, fingerprint, misfit, study
from rayops.simulate.measure import Effort
from rayops.simulate.model import Pipeline, load
from rayops.simulate.spec import Spec
from rayops.simulate.stats import change as relative
from rayops.simulate.stats import estimate
from tests.unit.simulate.conftest import change

EFFORT = Effort(seconds=450, warmup=90, replications=2)
PRICE = 2.0


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Spec, Study]:
    from tests.unit.simulate import conftest

    root = conftest.checkout.__wrapped__(tmp_path_factory.mktemp("checkout"))  # type: ignore[attr-defined]
    pipeline, spec = load("demo", "dev", root)
    return pipeline, spec, study(pipeline, spec, EFFORT, PRICE, quiet)


def test_the_layouts_have_the_gpus_of_the_claim(given: tuple[Pipeline, Spec, Study]) -> None:
    pipeline, spec, whole = given
    assert spec.claim is not None
    ready = bench(pipeline, spec.claim, spec.claim.mixes["even"])
    assert (ready.dedicated.gpus_asked(), ready.fractional.gpus_asked()) == (12.0, 6.0)
    assert ready.dedicated.gpu_work() == ready.fractional.gpu_work()
    assert [row.gpus.mean for row in whole.rows] == [12, 12, 6, 6, 6, 7, 8]


def test_the_load_keeps_the_dedicated_gpus_30_percent_busy_and_half_of_them_60(
    given: tuple[Pipeline, Spec, Study],
) -> None:
    _, _, whole = given
    before, _, _, both, more, *_ = whole.rows
    assert before.busy.mean == pytest.approx(0.30, rel=0.1)
    assert [run.busy / base.busy for run, base in zip(both.runs, before.runs, strict=True)] == pytest.approx(
        [2.0] * EFFORT.replications, rel=0.02
    )
    assert more.rate == pytest.approx(1.25 * both.rate)
    assert more.busy.mean == pytest.approx(0.75, rel=0.1)


def test_half_the_gpus_cost_half_per_document(given: tuple[Pipeline, Spec, Study]) -> None:
    before, *_, both = given[2].rows[:4]
    assert both.cost.mean / before.cost.mean == pytest.approx(0.5, rel=0.01)
    assert before.cost.mean == pytest.approx(12 * PRICE / before.per_s.mean / 3600 * 1000, rel=0.05)


def test_side_by_side_never_saves_more_than_the_shorter_branch(given: tuple[Pipeline, Spec, Study]) -> None:
    for sweep in given[2].sweeps:
        assert -sweep.saving <= sweep.median["side by side"].mean < 0.05, sweep.name
        assert sweep.saving <= 0.5


def test_sharing_at_the_same_load_makes_nothing_faster(given: tuple[Pipeline, Spec, Study]) -> None:
    for sweep in given[2].sweeps:
        if not sweep.fits:
            assert sweep.median["sharing"].mean > -0.02, sweep.name
            assert sweep.tail["sharing"].mean > -0.05, sweep.name


def test_a_mix_that_does_not_fit_is_said_and_not_run(given: tuple[Pipeline, Spec, Study]) -> None:
    pipeline, spec, whole = given
    heavy = next(sweep for sweep in whole.sweeps if sweep.name == "heavy")
    assert heavy.fits.startswith("the 2 shared GPUs would have to be ")
    assert set(heavy.median) == {"side by side"}
    assert spec.claim is not None
    assert misfit(bench(pipeline, spec.claim, spec.claim.mixes["even"])) == ""


def test_verdicts_follow_from_the_numbers(given: tuple[Pipeline, Spec, Study]) -> None:
    verdicts = {each.claim: each for each in given[2].verdicts}
    assert verdicts["12 -> 6 GPUs"].verdict == ONLY_IF  # not for the heavy mix
    assert "heavy" in verdicts["12 -> 6 GPUs"].why
    assert verdicts["30% -> 75% busy"].verdict == NOT
    assert verdicts["-40% latency"].verdict == NOT
    assert verdicts["-50% cost"].verdict == ONLY_IF
    assert len(verdicts) == 6


def test_verdicts_are_not_written_in_stone(given: tuple[Pipeline, Spec, Study]) -> None:
    """With other numbers the same rules say something else."""
    pipeline, spec, whole = given
    assert spec.claim is not None
    ready = bench(pipeline, spec.claim, spec.claim.mixes["even"])
    good = [each for each in whole.sweeps if not each.fits]
    quick = replace(good[0], median={**good[0].median, "both": estimate([-0.45, -0.45])})
    rows = list(whole.rows)
    busy = replace(rows[3], runs=tuple(replace(run, busy=0.75) for run in rows[3].runs))
    verdicts = [each.verdict for each in claim._verdicts(ready, [*rows[:3], busy, *rows[4:]], [], [quick])]
    assert verdicts[:4] == [HOLDS, HOLDS, ONLY_IF, HOLDS]
    slow = replace(rows[3], runs=tuple(replace(run, latencies=run.latencies[::2]) for run in rows[3].runs))
    assert claim._verdicts(ready, [*rows[:3], slow, *rows[4:]], [], [quick])[0].verdict == NOT
    same = replace(rows[3], runs=rows[1].runs)
    assert claim._equal_latency([*rows[:3], same, *rows[4:]]).verdict == HOLDS


def test_autoscaling_stays_within_its_bounds(given: tuple[Pipeline, Spec, Study]) -> None:
    whole, six, scaled = given[2].day
    assert (whole.gpus.mean, six.gpus.mean) == (12, 6)
    assert 2 <= scaled.gpus.mean <= 6
    assert scaled.gpus.mean * scaled.busy.mean == pytest.approx(six.gpus.mean * six.busy.mean, rel=0.1)


def test_without_a_claim_in_the_file_it_says_so(checkout: Path) -> None:
    file = checkout / "apps/demo/simulation.yaml"
    file.write_text(file.read_text().split("claim:")[0])
    pipeline, spec = load("demo", "dev", checkout)
    with pytest.raises(RayopsError, match="has no field claim"):
        study(pipeline, spec, EFFORT, PRICE, quiet)


def test_the_fingerprint_follows_inputs_and_behaviour(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(*load("demo", "dev", checkout), EFFORT, PRICE)
    assert fingerprint(*load("demo", "dev", checkout), EFFORT, PRICE) == first
    assert fingerprint(*load("demo", "dev", checkout), replace(EFFORT, seed=2), PRICE) != first
    with monkeypatch.context() as changed:
        changed.setattr("rayops.simulate.gpus.Processor._rate", lambda _: 1.0)
        assert fingerprint(*load("demo", "dev", checkout), EFFORT, PRICE) != first
    for name, before, after in (
        ("serve.yaml", "max_ongoing_requests: 4", "max_ongoing_requests: 5"),
        ("sizing.env", "gpuMax=2", "gpuMax=3"),
        ("simulation.yaml", "mean: 0.6", "mean: 0.7"),
    ):
        change(checkout, name, before, after)
        second = fingerprint(*load("demo", "dev", checkout), EFFORT, PRICE)
        assert second != first, name
        first = second


def test_reports_have_every_row(given: tuple[Pipeline, Spec, Study]) -> None:
    whole = given[2]
    said = report.study_text(whole)
    for name in [*(row.name for row in [*whole.rows, *whole.day]), *(sweep.name for sweep in whole.sweeps)]:
        assert name in said
    assert "does not fit" in said
    assert "±" in said
    assert "warm-up" in said
    tables = report.study_markdown(whole).split("\n\n")
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    loaded = json.loads(json.dumps(claim.as_json(whole), allow_nan=False))
    assert [row["name"] for row in loaded["scenarios"]] == [row.name for row in whole.rows]


def test_the_table_goes_between_its_marks_and_nowhere_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- simulated:x 0 -->\nold\n<!-- /simulated:x -->\nafter\n")
    put = report.put(page, "x", "abc123", "new | \\1")
    assert put == "before\n<!-- simulated:x abc123 -->\nnew | \\1\n<!-- /simulated:x -->\nafter\n"
    page.write_text(put)
    assert report.marked(page, "x") == "abc123"
    assert report.marked(page, "y") == ""
    for missing in (tmp_path / "none.md", page):
        with pytest.raises(RayopsError, match="the marks of the table are missing"):
            report.put(missing, "y", "abc", "new")


@pytest.mark.parametrize("kind", [".svg", ".png"])
def test_the_same_numbers_give_the_same_picture(given: tuple[Pipeline, Spec, Study], tmp_path: Path, kind: str) -> None:
    one, two = tmp_path / f"one{kind}", tmp_path / f"two{kind}"
    for file in (one, two):
        plot.study_plot(given[2], file, "abc123")
    assert one.read_bytes() == two.read_bytes()
    if kind == ".svg":
        text = one.read_text()
        assert "abc123" in text
        assert all(sweep.name in text for sweep in given[2].sweeps)
        assert len(text) < 60_000


def test_intervals_are_student_s() -> None:
    two = estimate([1.0, 3.0])
    assert (two.mean, two.half) == pytest.approx((2.0, 12.706))
    assert two.text(1) == "2.0 ± 12.7"
    assert estimate([1.0]).text(1) == "1.0"
    many = estimate([0.0, 1.0] * 20)
    assert many.half == pytest.approx(2.0227 * 0.50637 / 40**0.5, rel=0.001)
    assert relative([2.0, 3.0], [1.0, 2.0]).mean == pytest.approx(0.75)
