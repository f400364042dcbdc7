"""A copy of this checkout in which `rayops new` has made an environment and a pipeline, once for all tests."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayops.paths import CACHE, ROOT

ENVIRONMENT, PIPELINE = "qa", "anagram-finder"


@dataclass(frozen=True)
class Checkout:
    """A checkout to run commands in. made: files that `rayops new` made; changed: those that it changed."""

    root: Path
    made: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def run(self, *words: str | Path, timeout: float = 280) -> "subprocess.CompletedProcess[str]":
        """Run a program in it, with its own rayops and apps."""
        environment = {
            **os.environ,
            "PYTHONPATH": f"{self.root / 'scripts'}:{self.root}",
            "RAYOPS_CACHE": str(CACHE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [str(word) for word in words]
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def rayops(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a rayops command of it."""
        return self.run(sys.executable, "-m", "rayops", *words)

    def files(self, *arguments: str) -> tuple[str, ...]:
        """Names that `git ls-files` gives."""
        return tuple(self.run("git", "ls-files", *arguments).stdout.splitlines())


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of all files that Git knows or would add, committed."""
    made = Checkout(tmp_path_factory.mktemp("new") / "checkout")
    made.root.mkdir()
    for name in Checkout(ROOT).files("--cached", "--others", "--exclude-standard"):
        if (ROOT / name).is_file():
            (made.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, made.root / name)
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "x"]):
        done = made.run("git", *words)
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="session")
def checkout(fresh: Checkout) -> Checkout:
    """The copy with the new environment and, in all environments, the new pipeline."""
    for words in (("env", ENVIRONMENT), ("pipeline", PIPELINE)):
        done = fresh.rayops("new", *words)
        assert done.returncode == 0, done.stderr
        assert "+ overlays/" in done.stdout
    made, changed = fresh.files("--others", "--exclude-standard"), fresh.files("--modified")
    assert fresh.run("git", "add", "-A").returncode == 0  # what lists files asks Git
    return Checkout(fresh.root, made, changed)
