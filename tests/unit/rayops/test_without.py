"""Packages left out of a Go build: what takes their place, and what is refused."""

import json
from pathlib import Path

import pytest

from rayops.cluster import gobuild, without
from rayops.errors import RayopsError
from tests.unit.rayops.programs import Recorder, write_program

GO_MOD = """module x

require example.org/big v1.2.3

require (
\texample.org/a v0.1.0 // indirect
\texample.org/a/nested v0.2.0
)
"""


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """scripts/tools with one module `m`, which puts one file in the place of example.org/big/sdk."""
    monkeypatch.setattr(without, "TOOLS", tmp_path / "tools")
    monkeypatch.setattr(gobuild, "TOOLS", tmp_path / "tools")
    folder = tmp_path / "tools" / "m"
    instead = folder / "without/example.org/big/sdk"
    instead.mkdir(parents=True)
    (instead / "sdk.go").write_text("package sdk\n")
    (folder / "go.mod").write_text(GO_MOD)
    (folder / "go.sum").write_text("example.org/big v1.2.3 h1:x\n")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The module cache's folder of example.org/big."""
    folder = tmp_path / "cache/big@v1.2.3"
    (folder / "sdk").mkdir(parents=True)
    for name in ("sdk.go", "more.go", "notes.md"):
        (folder / "sdk" / name).write_text("")
    return folder


def test_the_whole_package_is_replaced_and_nothing_else(module: Path, source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for _ in range(2):  # again over the same folder
        flags = without.flags("m", {"example.org/big": source}, work)
    assert flags == ["-overlay", str(work / "overlay.json"), "-modfile", str(work / "go.mod")]
    link = work / "example.org_big"
    assert link.resolve() == source
    own = module / "without/example.org/big/sdk/sdk.go"
    assert json.loads((work / "overlay.json").read_text()) == {
        "Replace": {str(link / "sdk/sdk.go"): str(own), str(link / "sdk/more.go"): ""}
    }
    assert (work / "go.mod").read_text() == f"{GO_MOD}\nreplace example.org/big => {link}\n"
    assert (work / "go.sum").read_text() == (module / "go.sum").read_text()


@pytest.mark.parametrize(
    ("package", "path"),
    [
        ("example.org/big", "example.org/big"),
        ("example.org/big/sdk", "example.org/big"),
        ("example.org/a/b", "example.org/a"),
        ("example.org/a/nested/b", "example.org/a/nested"),
    ],
)
def test_a_package_is_of_the_module_with_the_longest_path(package: str, path: str) -> None:
    assert without.owner(package, GO_MOD) == path


@pytest.mark.parametrize("package", ["example.org/bigger", "example.org/none/x", "example.org"])
def test_a_package_of_no_module_is_refused(package: str) -> None:
    with pytest.raises(RayopsError, match=rf"without/{package}: no module of go\.mod holds it"):
        without.owner(package, GO_MOD)


def test_a_package_that_is_gone_is_refused(module: Path, source: Path, tmp_path: Path) -> None:
    """As after an update of the module: nothing would be left out, and nobody would see why it takes so long."""
    for file in (source / "sdk").glob("*.go"):
        file.unlink()
    with pytest.raises(RayopsError, match=r"without/example\.org/big/sdk: example\.org/big has no such package"):
        without.flags("m", {"example.org/big": source}, tmp_path)


def test_a_build_takes_the_flags_and_one_that_leaves_nothing_out_has_none(
    recorder: Recorder, bin_folder: Path, module: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gobuild, "archive_directory", lambda _module, _path: source)
    monkeypatch.setattr(gobuild, "CACHE", tmp_path / "own")
    write_program(bin_folder, "go", "")
    recorder.reply("version", say="go1.26.6")
    gobuild.build("m", ["example.org/big/cmd"], tmp_path / "out")
    call = recorder.one("build")
    assert call.after("-overlay") == str(tmp_path / "own/without/m/overlay.json")
    assert call.after("-modfile") == str(tmp_path / "own/without/m/go.mod")
    (module / "without/example.org/big/sdk/sdk.go").unlink()
    gobuild.build("m", ["example.org/big/cmd"], tmp_path / "out")
    assert not recorder.calls[-1].has("-overlay")
