""".rayops.yaml: exceptions with a reason, and one clear line where it is wrong."""

from pathlib import Path

import pytest

from rayops.cli import main
from rayops.errors import RayopsError
from rayops.lint.config import Config, Entry, read
from rayops.lint.engine import lint
from rayops.render.sources import load
from tests.lint import casebook
from tests.lint.test_report import found

FIRST = next(case for case in casebook.read() if case.rule == "host-path" and not case.good)
WRONG = {
    "lint: [": ".rayops.yaml",
    "- a": "the file: ",
    "lint: {ignored: []}": "lint.ignored: no field 'ignored' here; is it ignore?",
    "lint: {ignore: [{rule: host-path}]}": "lint.ignore[0]: reason is missing",
    "lint: {ignore: [{rule: host-path, reason: why}]}": "lint.ignore[0].reason: ",
    "lint: {ignore: [{rule: host-path, reason: because of this, where: x}]}": "lint.ignore[0].where: 'x' is no array",
    "lint:\n  ignore:\n  - {rule: host-path, reason: because of this, until: tomorrow}": ".rayops.yaml:3: until: ",
    "lint: {fail-on: always}": "lint.fail-on: 'always' is none of error, warning, note, never",
    "lint: {severities: [{rule: host-path, reason: because of this, severity: bad}]}": "severity: 'bad' is none of",
}


@pytest.mark.parametrize(("text", "said"), WRONG.items(), ids=lambda value: value[:50])
def test_what_is_wrong_is_told_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / ".rayops.yaml").write_text(text)
    with pytest.raises(RayopsError) as caught:
        read(tmp_path / ".rayops.yaml")
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_rule_that_is_not_there_is_told_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / ".rayops.yaml").write_text("lint:\n  ignore:\n  - {rule: host-paths, reason: because of this}\n")
    with pytest.raises(RayopsError, match=r"\.rayops\.yaml:3: no rule is named host-paths") as caught:
        lint([], tmp_path, read(tmp_path / ".rayops.yaml"))
    assert caught.value.hint == "is it host-path?"


def test_without_a_file_errors_fail() -> None:
    assert read(Path("/nowhere/.rayops.yaml")) == Config()


@pytest.mark.parametrize(
    ("entry", "taken"),
    [
        ({}, True),
        ({"where": ("overlays/prod/**",)}, True),
        ({"where": ("overlays/*",)}, False),
        ({"where": ("base/x.yaml",)}, True),
        ({"where": ("**/x.yaml",)}, True),
        ({"where": ("overlays/dev/**",)}, False),
        ({"obj": "RayService rag/*"}, True),
        ({"obj": "RayJob */*"}, False),
        ({"path": "**[cpu]**"}, True),
        ({"path": "**[gpu]**"}, False),
        ({"rule": "image-latest"}, False),
    ],
)
def test_what_an_entry_is_about(entry: dict[str, str], taken: bool) -> None:
    values = {"rule": "host-path", "where": (), "obj": "", "path": "", "reason": "because of this", "line": 1}
    assert Entry(**{**values, **entry}).takes(found()) is taken  # type: ignore[arg-type]


def test_the_last_severity_counts_and_the_report_says_it(tmp_path: Path) -> None:
    FIRST.write(tmp_path)
    entries = [f"{{rule: host-path, reason: because of this, severity: {name}}}" for name in ("note", "warning")]
    (tmp_path / ".rayops.yaml").write_text(f"lint: {{severities: [{', '.join(entries)}]}}")
    report = lint(load(tmp_path, ["manifest.yaml"]), tmp_path, read(tmp_path / ".rayops.yaml"))
    assert [(each.rule.id, each.severity) for each in report.findings] == [("host-path", "warning")]
    assert not report.failed


def test_an_object_may_say_itself_why(tmp_path: Path) -> None:
    service, budget = FIRST.objects()
    service["metadata"]["annotations"] = {"rayops.io/lint-ignore": "image-latest: x; host-path: models are on the node"}
    import yaml

    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump_all([service, budget]))
    report = lint(load(tmp_path, ["manifest.yaml"]), tmp_path)
    assert report.findings == ()
    assert [each.reason for each in report.suppressed] == ["models are on the node"]


def test_the_command_ends_with_1_where_an_error_remains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FIRST.write(tmp_path)
    assert main(["lint", "--root", str(tmp_path)]) == 1
    assert "error host-path: RayService serving/answers" in capsys.readouterr().out
    (tmp_path / ".rayops.yaml").write_text("lint: {ignore: [{rule: host-path, reason: because of this}]}")
    assert main(["lint", "--root", str(tmp_path)]) == 0
    assert "1 suppressed" in capsys.readouterr().out


def test_an_exception_that_only_other_folders_need_is_not_called_unused(tmp_path: Path) -> None:
    FIRST.write(tmp_path)
    (tmp_path / ".rayops.yaml").write_text("lint: {ignore: [{rule: image-latest, reason: because of this}]}")
    assert main(["lint", "--root", str(tmp_path), "--format", "json"]) == 1
    assert main(["lint", "--root", str(tmp_path), "manifest.yaml"]) == 1
    config = read(tmp_path / ".rayops.yaml")
    sources = load(tmp_path, ["manifest.yaml"])
    ids = [{each.rule.id for each in lint(sources, tmp_path, config, whole=whole).findings} for whole in (True, False)]
    assert ids == [{"host-path", "suppression-unused"}, {"host-path"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["--root", "/nowhere"], "/nowhere: no such folder"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["/usr"], "/usr is not below "),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["lint", *arguments]) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def test_a_rendered_file_of_anywhere_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    FIRST.write(tmp_path)
    assert main(["lint", str(tmp_path / "manifest.yaml")]) == 1
    assert "host-path" in capsys.readouterr().out


def test_the_rules_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--rules"]) == 0
    assert "host-path " in capsys.readouterr().out
