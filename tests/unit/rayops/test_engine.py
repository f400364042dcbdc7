"""The container engine, with a docker and a dockerd that are shell scripts; nothing real is started."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rayops.cluster import engine
from rayops.errors import RayopsError
from rayops.paths import ROOT
from tests.unit.rayops.programs import Recorder, write_program

# A process that waits to be stopped, but not for ever.
LIVES = "for _ in $(seq 200); do sleep 0.05; done"
FULL = "CapBnd:\t000001ffffffffff"


@pytest.fixture
def no_engine(recorder: Recorder) -> Recorder:
    recorder.fail("docker", "info")
    return recorder


@pytest.fixture
def host(bin_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root's machine with apt-get, whose engine answers once it is started; its programs."""
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(engine, "RUNTIME", cache / "run" / "oci-runtime")
    write_program(bin_folder, "apt-get", f"echo $* >> {cache}/apt")
    write_program(bin_folder, "docker", f"[ -e {cache}/answers ]")
    return bin_folder


def runs_as(cache: Path) -> str:
    """The body of an engine that starts, notes its arguments and lives on under its own name."""
    return f"echo $* > {cache}/arguments; touch {cache}/answers; {LIVES}"


def test_an_engine_that_answers_is_used(recorder: Recorder) -> None:
    assert engine.answers()
    assert engine.ensure() == ""
    assert not recorder.of("apt-get")


@pytest.mark.parametrize(("user", "apt"), [(1000, True), (0, False), (1000, False)])
def test_without_root_or_apt_one_line_says_what_is_missing_and_the_way_out(
    no_engine: Recorder, bin_folder: Path, monkeypatch: pytest.MonkeyPatch, user: int, apt: bool
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    if apt:
        write_program(bin_folder, "apt-get", "exit 1")
    with pytest.raises(RayopsError, match="no container engine answers") as caught:
        engine.ensure()
    assert "--serve-only" in str(caught.value.hint)
    assert "\n" not in f"{caught.value.message}{caught.value.hint}"


def test_a_failing_package_manager_is_told_by_its_own_error(
    no_engine: Recorder, bin_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    write_program(bin_folder, "apt-get", "exit 1")
    no_engine.fail("apt-get", "install", message="apt-get install failed: E: no candidate")
    with pytest.raises(RayopsError, match="no candidate"):
        engine.ensure()
    assert [call.words[1] for call in no_engine.of("apt-get")] == ["update", "install"]


def test_packages_are_installed_without_questions(recorder: Recorder) -> None:
    engine.install("one", "two")
    assert recorder.one("apt-get", "install").has("-y", "one", "two")
    assert {call.options["env"]["DEBIAN_FRONTEND"] for call in recorder.calls} == {"noninteractive"}


@pytest.mark.parametrize(("there", "done"), [(True, "started"), (False, "installed and started")])
def test_the_engine_is_installed_where_it_is_missing_then_started_and_stopped_again(
    host: Path, cache: Path, there: bool, done: str
) -> None:
    dockerd = f"#!/bin/sh\n{runs_as(cache)}"
    if there:
        write_program(host, "dockerd", runs_as(cache))
    else:
        write_program(host, "apt-get", f"cat > {host}/dockerd <<'END'\n{dockerd}\nEND\nchmod +x {host}/dockerd")
    assert engine.ensure() == f"docker engine {done}"
    assert engine.ensure() == ""
    assert engine.stop()
    assert not engine.stop()


@pytest.mark.parametrize("missing", [[], [24]])
def test_a_host_without_all_capabilities_gets_a_runtime_that_can_do_without(
    host: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, missing: list[int]
) -> None:
    monkeypatch.setattr(engine, "missing_capabilities", lambda: missing)
    write_program(host, "dockerd", runs_as(cache))
    engine.ensure()
    engine.stop()
    arguments = (cache / "arguments").read_text().split()
    assert bool(arguments) is bool(missing)
    if missing:
        name, _, program = arguments[arguments.index("--add-runtime") + 1].partition("=")
        assert arguments[arguments.index("--default-runtime") + 1] == name
        assert os.access(program, os.X_OK)
        assert Path(program).read_text().startswith("#!/")


def test_the_engine_does_without_the_checkout_that_started_it() -> None:
    assert not engine.RUNTIME.is_relative_to(ROOT)


def test_an_engine_that_ends_at_once_is_told_by_its_last_line(host: Path, cache: Path) -> None:
    write_program(host, "dockerd", "echo starting; echo 'failed to mount overlay' >&2; exit 1")
    with pytest.raises(RayopsError, match=r"failed to mount overlay$") as caught:
        engine.ensure()
    assert caught.value.evidence is not None
    assert "starting" in caught.value.evidence.read_text()


def test_an_engine_that_does_not_answer_in_time_is_an_error(
    host: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "START_TIMEOUT", 0.2)
    write_program(host, "dockerd", LIVES)
    started = time.monotonic()
    with pytest.raises(RayopsError, match="dockerd did not answer within"):
        engine.ensure()
    assert time.monotonic() - started < 5
    engine.stop()


def test_a_process_that_is_no_engine_is_never_stopped(cache: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "20"]) as other:
        engine.PID.write_text(f"{other.pid}\n")
        assert not engine.stop()
        assert other.poll() is None
        other.send_signal(signal.SIGKILL)
    engine.PID.write_text(f"{other.pid}\n")
    assert not engine.stop()


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        (FULL, []),
        ("CapBnd:\t0000000001ffffff", []),
        ("CapBnd:\t000001fffeffffff", [24]),
        ("CapBnd:\t00000000a80425fb", [2, 9, 11, 12, 14, 15, 16, 17, 19, 20, 21, 22, 23, 24]),
        ("CapBnd:\t0000000000000000", list(range(25))),
    ],
)
def test_capabilities_that_privileged_containers_need_and_the_host_lacks(line: str, missing: list[int]) -> None:
    status = f"Name:\tx\nCapPrm:\t0000000000000000\n{line}\nCapAmb:\t0000000000000000\n"
    assert engine.missing_capabilities(status) == missing


@pytest.mark.parametrize(
    ("content", "removed"),
    [("4194304999", True), pytest.param(str(os.getpid()), True, id="alive"), ("no number", False), (None, False)],
)
def test_the_pid_file_of_a_killed_engine_is_forgotten(tmp_path: Path, content: str | None, removed: bool) -> None:
    """Its number may be nobody's by now, or another program's."""
    pid_file = tmp_path / "docker.pid"
    if content is not None:
        pid_file.write_text(content)
    assert engine.forget_dead(pid_file) is removed
    assert pid_file.exists() is (content is not None and not removed)


def test_the_pid_file_of_a_living_engine_stays(tmp_path: Path, bin_folder: Path) -> None:
    program = write_program(bin_folder, "dockerd", "for _ in $(seq 200); do sleep 0.05; done")
    with subprocess.Popen([program]) as living:
        pid_file = tmp_path / "docker.pid"
        while b"dockerd" not in Path(f"/proc/{living.pid}/cmdline").read_bytes():
            pass
        pid_file.write_text(str(living.pid))
        assert not engine.forget_dead(pid_file)
        living.kill()
    assert pid_file.exists()
