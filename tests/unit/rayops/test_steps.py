"""Steps on the screen, and their times kept and drawn."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from rayops import proc
from rayops.steps import Step, Steps, read_timings, timings_table


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def steps(screen: io.StringIO) -> Steps:
    return Steps(Console(file=screen, width=200, highlight=False))


def test_a_step_that_is_done_shows_its_name_its_time_and_what_it_did(steps: Steps, screen: io.StringIO) -> None:
    with steps.step("tools") as step:
        step.say("kind built")
    assert re.fullmatch(r"✓ tools +0\.\d s  kind built\n", screen.getvalue())
    assert [(done.name, done.skipped) for done in steps.done] == [("tools", False)]


def test_a_step_that_found_its_goal_reached_says_so_by_another_mark(steps: Steps, screen: io.StringIO) -> None:
    with steps.step("tools") as step:
        step.skip("they are there")
    assert re.fullmatch(r"· tools +0\.\d s  they are there\n", screen.getvalue())
    assert steps.done[0].skipped


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_a_step_that_fails_is_marked_timed_and_its_error_goes_on(
    steps: Steps, screen: io.StringIO, error: BaseException
) -> None:
    with pytest.raises(type(error)), steps.step("cluster"):
        raise error
    assert screen.getvalue().startswith("✗ cluster")
    assert [done.name for done in steps.done] == ["cluster"]


def test_brackets_in_a_note_are_not_read_as_markup(steps: Steps, screen: io.StringIO) -> None:
    with steps.step("tools") as step:
        step.say("[red]kind[/red] [/]")
        proc.on_line("[/] still running")
    assert "kind" in screen.getvalue()


def test_output_of_programs_is_shown_by_the_step_and_only_during_it(steps: Steps) -> None:
    before = proc.on_line
    with steps.step("tools"):
        assert proc.on_line is not before
    assert proc.on_line is before
    with pytest.raises(ValueError, match="x"), steps.step("tools"):
        raise ValueError("x")
    assert proc.on_line is before


def test_times_are_written_and_read_again(steps: Steps, tmp_path: Path) -> None:
    with steps.step("a") as step:
        step.skip("was there")
    with steps.step("b"):
        pass
    file = tmp_path / "new" / "timings.json"
    steps.write(file)
    assert read_timings(file) == steps.done


def test_there_are_no_times_before_the_first_run(tmp_path: Path) -> None:
    assert read_timings(tmp_path / "timings.json") == []


def test_the_total_is_the_sum() -> None:
    steps = Steps(Console(file=io.StringIO()))
    steps.done = [Step("a", seconds=1.25), Step("b", seconds=2.5)]
    assert steps.total() == pytest.approx(3.75, abs=0.06)


def bar(line: str, kind: str) -> tuple[int, int]:
    """First column and length of the bar of a line."""
    return line.index(kind), line.count(kind)


def test_the_table_stacks_the_times(steps: Steps) -> None:
    done = [Step("a", seconds=10.0, note="did a"), Step("b", seconds=30.0), Step("c", skipped=True)]
    first, second, third, total = timings_table(done).splitlines()
    assert first.split()[:3] == ["a", "10.0", "s"]
    assert first.endswith("did a")
    (a, a_length), (b, b_length) = bar(first, "█"), bar(second, "█")
    assert a + a_length == b
    assert b_length == 3 * a_length
    assert "█" not in third
    assert "·" in third
    assert total.split() == ["total", "40.0", "s"]


def test_a_table_of_steps_that_took_no_time_says_so() -> None:
    assert timings_table([Step("a", skipped=True)]).splitlines()[-1].split() == ["total", "0.0", "s"]
