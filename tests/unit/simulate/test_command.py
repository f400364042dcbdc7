"""`rayops simulate` on the command line."""

import json
from pathlib import Path

import pytest

from rayops import cli
from rayops.cli import simulate
from rayops.errors import RayopsError
from rayops.simulate import model
from rayops.simulate.measure import Effort

DEMO = ("simulate", "--pipeline", "demo", "--duration", "200", "--replications", "2")


@pytest.fixture(autouse=True)
def here(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The command looks into the small checkout."""
    load = model.load
    monkeypatch.setattr(model, "load", lambda pipeline, environment: load(pipeline, environment, checkout))
    return checkout


def say(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main([*DEMO, *arguments]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main([*DEMO, *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert "→" in line, "no way out"
    return line


def test_a_table_of_rates_and_of_deployments(capsys: pytest.CaptureFixture[str]) -> None:
    said = say(capsys, "--rate", "0.2", "0.4")
    assert said.index("0.2 documents/s") < said.index("0.4 documents/s") < said.index("deployment")
    assert {"Read", "Tag", "Sort", "Write"} <= set(said.split())
    assert "Assumed, not measured: service times of Tag, Sort, Write" in said


def test_json_holds_the_same_and_is_the_same_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    one = say(capsys, "--format", "json", "--gpus", "4")
    assert say(capsys, "--format", "json", "--gpus", "4") == one
    assert say(capsys, "--format", "json", "--gpus", "4", "--seed", "7") != one
    (scenario,) = json.loads(one)["scenarios"]
    assert scenario["gpus"] == [4.0, 0.0]
    assert scenario["offered_per_s"] == 0.3
    assert scenario["p50_s"][0] <= scenario["p95_s"][0] <= scenario["p99_s"][0]


def test_a_plot_of_the_rates(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    say(capsys, "--rate", "0.2", "0.3", "--plot", str(tmp_path / "rates.svg"))
    assert "documents/s" in (tmp_path / "rates.svg").read_text()


def test_the_claim_goes_into_a_page_with_its_plot(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page, picture = tmp_path / "page.md", tmp_path / "page.svg"
    page.write_text(f"<!-- simulated:{simulate.NAME} 0 -->\n<!-- /simulated:{simulate.NAME} -->\n")
    said = say(capsys, "--claim", "--into", str(page), "--plot", str(picture))
    assert "does not hold" in said
    assert "| 12 dedicated, sequential |" in page.read_text()
    loaded = json.loads(say(capsys, "--claim", "--format", "json"))
    assert loaded["fingerprint"] in page.read_text()
    assert loaded["fingerprint"] in picture.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--what-if", "dedicated", "--what-if", "fractional"), "dedicated and fractional exclude each other"),
        (("--what-if", "sequential", "--what-if", "parallel"), "sequential and parallel exclude each other"),
        (("--claim", "--rate", "2"), "--claim has loads, GPUs and changes of its own"),
        (("--into", "page.md"), "--into needs --claim"),
        (("--plot", "picture.gif"), "--plot picture.gif: no picture of this kind"),
        (("--plot", "nowhere/picture.svg"), "no folder nowhere"),
        (("--gpus", "1"), "Write: 1 replicas of 2 GPU need more than 1 workers of 1"),
        (("--what-if", "dedicated"), "GPU need more than 2 workers of 2"),
        (("--pipeline", "nope"), "overlays/dev/nope is missing"),
    ],
)
def test_what_cannot_be_is_one_line_with_the_way_out(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert said in fail(capsys, *arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rate", "-1"),
        ("--rate", "nan"),
        ("--gpus", "0"),
        ("--duration", "inf"),
        ("--what-if", "magic"),
        ("--seed", "x"),
    ],
)
def test_wrong_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*DEMO, *arguments])
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_changes_that_find_nothing_to_change_are_refused(checkout: Path) -> None:
    pipeline, _ = model.load("demo", "dev")
    whole = model.dedicated(model.fixed(pipeline))
    for change in ("fractional", "autoscaled"):
        with pytest.raises(RayopsError, match=f"--what-if {change}: no deployment"):
            simulate.what_if(whole, [change], None)
    same = simulate.what_if(pipeline, ["fractional", "parallel", "autoscaled"], None)
    assert same == pipeline
    changed = simulate.what_if(pipeline, ["dedicated", "sequential", "fixed"], 9)
    assert changed.gpus_asked() == 6.0
    assert changed.workers.gpus == 9
    assert len(changed.flow) == 4


def test_the_effort_of_the_command_is_that_of_the_study() -> None:
    import argparse

    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    given = parser.parse_args([])
    effort = Effort(given.duration, given.duration / 5, given.replications, given.seed)
    assert (effort.seconds, effort.replications) == (Effort().seconds, Effort().replications)
