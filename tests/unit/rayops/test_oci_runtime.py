"""The runtime that asks runc only for what the host holds."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from rayops.cluster import engine
from rayops.cluster.files import oci_runtime

HELD = {"CAP_CHOWN", "CAP_SYS_ADMIN"}
WANTED = {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_SYS_ADMIN"], "effective": ["CAP_SYS_RESOURCE"]}
LEFT = {"bounding": ["CAP_CHOWN", "CAP_SYS_ADMIN"], "effective": []}
PROCESS = {"args": ["create", "exec"], "cwd": "/", "noNewPrivileges": True}


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the runtime turned into."""
    seen: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, arguments: seen.append([program, *arguments[1:]]))
    monkeypatch.setattr(oci_runtime, "available", lambda: HELD)
    return seen


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["oci-runtime", *arguments])
    oci_runtime.main()


def bundle(folder: Path, process: dict[str, Any]) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps({"ociVersion": "1.0.2", "process": process, "root": {"path": "rootfs"}}))
    return file


@pytest.mark.parametrize("form", ["--bundle {}", "--bundle={}", "-b {}", "-b={}"])
@pytest.mark.parametrize("command", ["create", "run"])
def test_a_new_container_loses_only_what_the_host_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[list[str]], form: str, command: str
) -> None:
    file = bundle(tmp_path, {**PROCESS, "capabilities": WANTED})
    arguments = ["--root", "/run/x", command, *form.format(tmp_path).split(), "--pid-file", "/x", "id"]
    call(monkeypatch, *arguments)
    written = json.loads(file.read_text())
    assert written["process"] == {**PROCESS, "capabilities": LEFT}
    assert (written["ociVersion"], written["root"]) == ("1.0.2", {"path": "rootfs"})
    assert became[0][1:] == arguments
    assert Path(became[0][0]).name == "runc"


def test_without_a_bundle_option_it_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[list[str]]
) -> None:
    file = bundle(tmp_path, {"capabilities": WANTED})
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, "create", "id")
    assert json.loads(file.read_text())["process"]["capabilities"] == LEFT


@pytest.mark.parametrize("form", ["--process {}", "--process={}", "-p {}", "-p={}"])
def test_a_program_in_a_running_container_loses_only_what_the_host_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[list[str]], form: str
) -> None:
    file = tmp_path / "process.json"
    file.write_text(json.dumps({**PROCESS, "capabilities": WANTED}))
    call(monkeypatch, "exec", *form.format(file).split(), "--detach", "id")
    assert json.loads(file.read_text()) == {**PROCESS, "capabilities": LEFT}
    assert len(became) == 1


def test_a_container_without_capabilities_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[list[str]]
) -> None:
    file = bundle(tmp_path, PROCESS)
    call(monkeypatch, "create", "--bundle", str(tmp_path), "id")
    assert json.loads(file.read_text())["process"] == PROCESS


@pytest.mark.parametrize("command", [["exec", "id", "sh"], ["start", "id"], ["kill", "id", "15"], ["state", "id"]])
def test_other_commands_go_through_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, became: list[list[str]], command: list[str]
) -> None:
    file = bundle(tmp_path, {"capabilities": WANTED})
    monkeypatch.chdir(tmp_path)
    call(monkeypatch, *command)
    assert json.loads(file.read_text())["process"]["capabilities"] == WANTED
    assert became[0][1:] == command


def test_names_stand_at_their_kernel_numbers() -> None:
    numbers = {name: number for number, name in enumerate(oci_runtime.NAMES)}
    known = {"CHOWN": 0, "NET_ADMIN": 12, "SYS_ADMIN": 21, "SYS_RESOURCE": 24, "SETFCAP": 31, "CHECKPOINT_RESTORE": 40}
    assert {name: numbers[name] for name in known} == known
    assert len(numbers) == 41


def test_what_this_host_holds_is_what_the_engine_does_not_miss() -> None:
    missing = {f"CAP_{oci_runtime.NAMES[number]}" for number in engine.missing_capabilities()}
    asked = {f"CAP_{name}" for name in oci_runtime.NAMES[:25]}
    assert oci_runtime.available() & asked == asked - missing
