"""Programs are run, and what goes wrong is one line with the cause. Real processes."""

import time
from pathlib import Path

import pytest

from rayops import proc
from rayops.errors import RayopsError

LOGGED = pytest.mark.parametrize("logged", [False, True], ids=["captured", "logged"])


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


def log_of(folder: Path, logged: bool) -> Path | None:
    return folder / "logs" / "x.log" if logged else None


@LOGGED
def test_output_comes_back(tmp_path: Path, logged: bool) -> None:
    assert proc.run(sh("echo one; echo two"), log=log_of(tmp_path, logged)) == "one\ntwo\n"


@LOGGED
def test_environment_folder_and_input_reach_the_program(tmp_path: Path, logged: bool) -> None:
    log = log_of(tmp_path, logged)
    said = proc.run(sh('pwd; echo "$GREETING $HOME"; cat'), cwd=tmp_path, env={"GREETING": "hi"}, stdin="in", log=log)
    assert said.splitlines()[0] == str(tmp_path)
    assert said.splitlines()[1].startswith("hi /")
    assert said.splitlines()[2] == "in"


def test_warnings_are_not_part_of_what_a_program_answers() -> None:
    assert proc.run(sh("echo warning >&2; echo answer")) == "answer\n"


@LOGGED
def test_the_error_names_the_program_and_the_line_with_the_cause(tmp_path: Path, logged: bool) -> None:
    script = "echo start; echo 'ERROR: no space left' >&2; echo cleaning up >&2; exit 3"
    with pytest.raises(RayopsError) as caught:
        proc.run(sh(script), log=log_of(tmp_path, logged), hint="make room")
    assert caught.value.message.startswith("sh ")
    assert caught.value.message.endswith("failed: ERROR: no space left")
    assert "\n" not in caught.value.message
    assert caught.value.hint == "make room"


@LOGGED
@pytest.mark.parametrize(("script", "cause"), [("echo first >&2; echo 'last one ' >&2; echo; exit 1", "last one"),
                                               ("echo told on stdout; exit 1", "told on stdout"),
                                               ("exit 1", "it printed nothing")])  # fmt: skip
def test_without_the_word_error_the_last_line_is_the_cause(
    tmp_path: Path, logged: bool, script: str, cause: str
) -> None:
    with pytest.raises(RayopsError, match=f"failed: {cause}$"):
        proc.run(sh(script), log=log_of(tmp_path, logged))


def test_a_cause_is_not_longer_than_a_line() -> None:
    with pytest.raises(RayopsError) as caught:
        proc.run(sh("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1"))
    assert len(caught.value.message) < 600


def test_the_log_is_the_evidence_and_has_the_commands_and_all_output(tmp_path: Path) -> None:
    log = tmp_path / "new" / "x.log"
    proc.run(["echo", "one"], log=log)
    with pytest.raises(RayopsError) as caught:
        proc.run(sh("echo out; echo err >&2; exit 1"), log=log)
    assert caught.value.evidence == log
    kept = log.read_text().splitlines()
    assert kept[:2] == ["$ echo one", "one"]
    assert kept[2].startswith("$ /bin/sh -c ")
    assert sorted(kept[3:]) == ["err", "out"]


@LOGGED
def test_a_program_that_hangs_is_ended_and_the_error_says_so(tmp_path: Path, logged: bool) -> None:
    log, started = log_of(tmp_path, logged), time.monotonic()
    with pytest.raises(RayopsError, match=r"^sleep 20 did not end within 0 s$") as caught:
        proc.run(["sleep", "20"], timeout=0.2, log=log)
    assert time.monotonic() - started < 5
    assert caught.value.evidence == log


@LOGGED
def test_a_program_whose_child_hangs_is_ended_too(tmp_path: Path, logged: bool) -> None:
    started = time.monotonic()
    with pytest.raises(RayopsError, match="did not end within"):
        proc.run(sh("sleep 8; true"), timeout=0.1, log=log_of(tmp_path, logged))
    assert time.monotonic() - started < 5


@LOGGED
def test_a_program_that_is_missing_is_named_with_the_way_out(tmp_path: Path, logged: bool) -> None:
    with pytest.raises(RayopsError, match=r"^no-such-program is not installed$") as caught:
        proc.run(["no-such-program", "--version"], log=log_of(tmp_path, logged), hint="install it")
    assert caught.value.hint == "install it"


@LOGGED
def test_a_folder_that_is_missing_is_not_taken_for_the_program(tmp_path: Path, logged: bool) -> None:
    with pytest.raises(RayopsError) as caught:
        proc.run(sh("true"), cwd=tmp_path / "gone", log=log_of(tmp_path, logged))
    assert "gone" in caught.value.message
    assert "not installed" not in caught.value.message


@LOGGED
def test_a_file_that_cannot_be_executed_is_a_clear_error(tmp_path: Path, logged: bool) -> None:
    program = tmp_path / "tool"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(RayopsError, match="tool"):
        proc.run([program], log=log_of(tmp_path, logged))


@LOGGED
def test_a_program_of_another_machine_is_a_clear_error(tmp_path: Path, logged: bool) -> None:
    program = tmp_path / "tool"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    with pytest.raises(RayopsError, match="tool"):
        proc.run([program], log=log_of(tmp_path, logged))


@LOGGED
def test_output_that_is_not_text_does_not_break_the_run(tmp_path: Path, logged: bool) -> None:
    assert proc.run(sh("printf 'a\\377b\\n'"), log=log_of(tmp_path, logged)) == "a\ufffdb\n"


@LOGGED
def test_a_program_that_ends_without_reading_its_input_fails_for_its_own_reason(tmp_path: Path, logged: bool) -> None:
    with pytest.raises(RayopsError, match="error: no such cluster"):
        proc.run(sh("echo error: no such cluster >&2; exit 1"), stdin="x" * 1_000_000, log=log_of(tmp_path, logged))


def test_lines_are_shown_while_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, seen = tmp_path / "go", list[str]()

    def show(line: str) -> None:
        seen.append(line)
        go_on.touch()

    monkeypatch.setattr(proc, "on_line", show)
    proc.run(sh(f"echo one; until [ -e {go_on} ]; do sleep 0.01; done; echo two"), log=tmp_path / "l", timeout=10)
    assert seen == ["one", "two"]


@pytest.mark.parametrize(
    ("command", "so"), [(["true"], True), (["false"], False), (["no-such-program"], False), (["sleep", "9"], False)]
)
def test_success_is_exit_code_zero_in_time(command: list[str], so: bool) -> None:
    assert proc.succeeds(command, timeout=0.3 if command[0] == "sleep" else 20) is so


def test_programs_are_found_on_path_only(bin_folder: Path) -> None:
    assert proc.find("tool") is None
    (bin_folder / "tool").touch(mode=0o755)
    assert proc.find("tool") == bin_folder / "tool"
