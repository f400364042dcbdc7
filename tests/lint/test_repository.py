"""This repository by its own rules."""

import subprocess
import sys

from rayops.lint.config import read
from rayops.lint.engine import lint
from rayops.paths import ROOT
from rayops.render.sources import load

WITHOUT_RAY = """
import sys
from rayops.cli import main
code = main(["lint", "overlays/prod/hello", "--root", sys.argv[1]])
heavy = {"ray", "matplotlib"} & set(sys.modules)
print("imported:", ", ".join(sorted(heavy)) or "nothing heavy")
sys.exit(code)
"""


def test_nothing_here_is_an_error_and_no_exception_is_left_over() -> None:
    report = lint(load(ROOT), ROOT, read(ROOT / ".rayops.yaml"))
    left = [each for each in report.findings if each.severity == "error" or each.rule.family == "config"]
    assert [f"{each.place or each.source}: {each.rule.id}: {each.message}" for each in left] == []
    assert report.sources > 40
    assert report.suppressed


def test_lint_needs_no_ray() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RAY, str(ROOT)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "imported: nothing heavy"
