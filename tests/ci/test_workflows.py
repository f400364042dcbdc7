"""The workflows are what actionlint accepts, ask for no more than they need, and call what there is."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.cli import COMMANDS
from rayops.cluster import tools
from rayops.paths import ROOT

FILES = sorted((ROOT / ".github/workflows").glob("*.yaml"))
UNTRUSTED = re.compile(r"\$\{\{[^}]*(github\.(event|head_ref|ref_name|actor)|inputs\.)")


@pytest.fixture(scope="session")
def actionlint() -> Path:
    return tools.path("actionlint")


def lint(actionlint: Path, *files: Path) -> str:
    options = ["-no-color", "-oneline", "-shellcheck=", "-pyflakes="]
    command = [str(actionlint), *options, *map(str, files)]
    return str(subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout)


def load(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return loaded


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.timeout(600)
def test_actionlint_has_nothing_to_say(actionlint: Path) -> None:
    assert {file.stem for file in FILES} >= {"check", "kind", "review", "image", "promote"}
    assert lint(actionlint, *FILES) == ""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-3", "label"),
        ("timeout-minutes", "timeout-hours", "unexpected key"),
        ("./scripts/test --no-cluster", "echo ${{ github.event.pull_request.title }}", "potentially untrusted"),
        ("pull_request:", "pull_requests:", "unknown Webhook event"),
    ],
)
def test_actionlint_finds_a_mistake(actionlint: Path, tmp_path: Path, old: str, new: str, says: str) -> None:
    text = (ROOT / ".github/workflows/check.yaml").read_text("utf-8")
    assert old in text
    bad = tmp_path / "check.yaml"
    bad.write_text(text.replace(old, new))
    assert says in lint(actionlint, bad)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_rights_are_named_and_least(file: Path) -> None:
    workflow = load(file)
    assert workflow["permissions"] in ({}, {"contents": "read"}), "more than that is for one job"
    assert workflow["defaults"]["run"]["shell"] == "bash", "the default shell knows no pipefail"
    text = file.read_text("utf-8")
    assert "pull_request_target" not in text
    if "pull_request:" in text:
        assert not re.search(r"\{\{[^}]*\bsecrets\b", text), "a fork's code runs here"
        assert all("permissions" not in job for job in workflow["jobs"].values())
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_actions_are_github_s_own_and_pinned_by_commit(file: Path) -> None:
    for line in file.read_text("utf-8").splitlines():
        if "uses:" in line:
            assert re.search(r"uses: actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_nothing_from_outside_is_pasted_into_a_shell(file: Path) -> None:
    assert not [step["run"] for step in steps(load(file)) if UNTRUSTED.search(step.get("run", ""))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_steps_are_thin_calls_of_what_runs_here_too(file: Path) -> None:
    for step in steps(load(file)):
        script = step.get("run", "")
        assert len(script.splitlines()) <= 9, step
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
        for called in re.findall(r"\./scripts/(\w+)", script):
            assert (ROOT / "scripts" / called).stat().st_mode & 0o100
        for command in re.findall(r"\./scripts/run (\w+)", script):
            assert command in COMMANDS


def test_no_workflow_that_may_write_runs_the_code_of_a_pull_request() -> None:
    comment = load(ROOT / ".github/workflows/comment.yaml")
    called = [f"{step.get('uses', '')} {step.get('run', '')}" for step in steps(comment)]
    assert not [each for each in called if "checkout" in each or "./scripts" in each]
    review = load(ROOT / ".github/workflows/review.yaml")
    (checkout,) = (step for step in steps(review) if "checkout" in step.get("uses", ""))
    assert checkout["with"] == {"persist-credentials": False, "fetch-depth": 0}
