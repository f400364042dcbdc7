"""The command line: exit codes, one clear line, and help that is fast."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from rayops import cli
from rayops.errors import RayopsError
from rayops.paths import ROOT

COMMANDS = {"up", "down", "simulate", "status"}


def rayops(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "rayops", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_an_unknown_pipeline_is_one_line_that_lists_what_there_is() -> None:
    ended = rayops("up", "--pipeline", "nope")
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert "overlays/local/nope" in line
    assert "local/rag" in line


def test_the_pipelines_there_are_are_listed_also_without_kubernetes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--serve-only", "--pipeline", "nope"]) == 1
    assert "rag" in capsys.readouterr().err


MODULES = """
import sys
from rayops.cli import main
try:
    main({arguments})
except SystemExit as ended:
    print(ended.code, *sorted(sys.modules))
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["up", "--help"], ["down", "--help"], ["status", "--help"], ["simulate", "--help"]]
)
def test_help_is_fast_because_it_imports_nothing_heavy(arguments: list[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-c", MODULES.format(arguments=arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    code, *modules = said.splitlines()[-1].split()
    assert code == "0"
    assert not {"kubernetes", "rich", "yaml", "pydantic", "simpy", "matplotlib", "urllib.request", "rayops.kube"} & set(
        modules
    )
    assert after.ru_utime - before.ru_utime < 1.0


def test_help_names_every_command() -> None:
    ended = rayops("--help")
    assert ended.returncode == 0
    assert set(ended.stdout.replace(",", " ").split()) >= COMMANDS
    assert max(len(line) for line in ended.stdout.splitlines()) < 200
    assert len(ended.stdout.splitlines()) < 40


@pytest.mark.parametrize(
    "arguments", [[], ["nope"], ["up", "--nope"], ["up", "--until", "nope"], ["up", "--nodes", "x"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def ends_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def run(options: object) -> int:
        raise error

    monkeypatch.setattr("rayops.cli.status.run", run)


def test_an_interrupted_command_ends_with_130_and_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(monkeypatch, KeyboardInterrupt())
    assert cli.main(["status"]) == 130
    (line,) = capsys.readouterr().err.splitlines()
    assert "resumes" in line


@pytest.mark.parametrize("message", ["it broke", "it broke\n  in two lines\n"])
def test_an_error_is_one_line_with_way_out_and_evidence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], message: str
) -> None:
    ends_with(monkeypatch, RayopsError(message, hint="mend it", evidence=Path("/logs/x")))
    assert cli.main(["status"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("rayops: it broke")
    assert "mend it" in line
    assert "/logs/x" in line


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """`rayops models list | head -1`: no traceback, neither from the print nor when Python flushes at its end."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "rayops", "models", "list"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    ended = subprocess.run(command, env=environment, stdout=writing, stderr=subprocess.PIPE, timeout=30, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_cache_that_nobody_may_write_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {**os.environ, "RAYOPS_CACHE": str(tmp_path / "file")}
    command = [sys.executable, "-m", "rayops", "pods", "overlays/local/hello"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "Not a directory" in line
    assert "not writable" in line
