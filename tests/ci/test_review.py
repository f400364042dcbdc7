"""The review on a pull request: one comment that is written over, by workflow, action and pre-commit alike."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops import cli
from rayops.paths import ROOT
from rayops.review.report import markdown

ACTION = ROOT / ".github" / "actions" / "review" / "action.yaml"
WORKFLOW = ROOT / ".github" / "workflows" / "comment.yaml"
# Answers as GitHub's command line would, and notes what it was asked.
GH = """#!/usr/bin/env bash
echo "$*" >> "$NOTED"
case $* in *--jq*) printf '%s' "$KNOWN" ;; esac
"""


def scripts() -> list[tuple[str, str]]:
    action = yaml.safe_load(ACTION.read_text())
    (_, of_action) = action["runs"]["steps"]
    workflow: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())
    steps = workflow["jobs"]["comment"]["steps"]
    return [("action", of_action["run"]), ("workflow", steps[-1]["run"])]


@pytest.mark.parametrize("known", ["", "4711\n4712\n"])
@pytest.mark.parametrize(("name", "script"), scripts(), ids=["action", "workflow"])
def test_the_first_comment_is_made_and_then_written_over(name: str, script: str, known: str, tmp_path: Path) -> None:
    noted, program = tmp_path / "noted", tmp_path / "bin" / "gh"
    program.parent.mkdir()
    program.write_text(GH)
    program.chmod(0o755)
    review = tmp_path / "review"
    review.mkdir()
    (review / "number").write_text("7\n")
    (review / "review.md").write_text(f"{markdown.MARK}\nx\n")
    environment = {
        "PATH": f"{program.parent}:{os.environ['PATH']}", "NOTED": str(noted), "KNOWN": known, "GH_REPO": "o/r",
        "NUMBER": "7", "PAGE": str(review / "review.md"), "HEAD": known.strip(),
    }  # fmt: skip
    if name == "workflow":
        # The head of the pull request is asked for with --jq as well: the stand-in says the same there.
        environment["HEAD"] = known.rstrip("\n")
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", script], env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 0
    asked = noted.read_text().splitlines()
    assert any("issues/7/comments" in line for line in asked)
    if known:
        assert "--method PATCH repos/o/r/issues/comments/4711" in asked[-1]
        assert not any("pr comment" in line for line in asked)
    else:
        assert asked[-1].startswith("pr comment 7 ")


def test_the_mark_is_the_one_that_the_page_begins_with() -> None:
    assert all(markdown.MARK in script for _, script in scripts())


def test_the_hooks_call_commands_that_are_there() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    for hook in hooks:
        assert (ROOT / hook["entry"]).stat().st_mode & 0o100
        assert hook["args"][0] in cli.COMMANDS
        assert "--root" in hook["args"]
        assert hook["pass_filenames"] is False


def test_the_action_takes_its_inputs_by_environment() -> None:
    action = yaml.safe_load(ACTION.read_text())
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"]
        assert subprocess.run(["bash", "-n"], input=step["run"], text=True, check=False).returncode == 0
