"""The shell around rayops, in a repository of its own: environment.sh, up, test and .ci/run, with fake programs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rayops.paths import ROOT
from tests.unit.rayops.programs import write_program

NEEDED = "bash dirname sha256sum cut touch mkdir cat chmod rm ls env".split()
# A Python that is new enough. `-m venv` makes one that notes how it is called and has pip.
PYTHON = """
case "$*" in
  *"-m venv"*)
    for last; do :; done
    mkdir -p "$last/bin"
    printf '#!/bin/sh\\necho "python $*" >> "{log}"; [ ! -e "{root}/no-pip" ]\\n' > "$last/bin/python"
    chmod +x "$last/bin/python"
    for tool in rayops ruff yamllint mypy pytest; do
      printf '#!/bin/sh\\necho "'$tool' $*" >> "{log}"; [ ! -e "{root}/no-'$tool'" ]\\n' > "$last/bin/$tool"
      chmod +x "$last/bin/$tool"
    done ;;
  *realpath*) echo "$0" ;;
esac
exit 0
"""


class Repository:
    """A copy of the scripts, a PATH of a few programs, and what was called."""

    def __init__(self, folder: Path) -> None:
        self.root, self.path, self.log = folder / "repository", folder / "path", folder / "log"
        for name in ("scripts/up", "scripts/test", "scripts/environment.sh", ".ci/run"):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, self.root / name)
        shutil.copytree(ROOT / "scripts/requirements", self.root / "scripts/requirements")
        for lock in (ROOT / "apps/images/pipeline").glob("*.txt"):
            (self.root / "apps/images/pipeline").mkdir(parents=True, exist_ok=True)
            shutil.copy2(lock, self.root / "apps/images/pipeline")
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.path.mkdir()
        for program in NEEDED:
            found = shutil.which(program)
            assert found, program
            (self.path / program).symlink_to(found)

    def python(self, name: str = "python3.11", body: str = PYTHON) -> None:
        write_program(self.path, name, body.format(log=self.log, root=self.root) if body is PYTHON else body)

    def run(self, script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        self.log.write_text("")
        return subprocess.run(
            [self.root / script, *arguments], env={"PATH": str(self.path), "HOME": str(self.root)}, cwd="/",
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip

    def calls(self, *words: str) -> list[str]:
        """The calls with these words."""
        return [line for line in self.log.read_text().splitlines() if all(word in line for word in words)]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def one_line(ended: "subprocess.CompletedProcess[str]") -> str:
    """The only line on stderr of a command that failed."""
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    return line


@pytest.mark.parametrize("script", ["scripts/up", "scripts/test", ".ci/run"])
def test_without_python_one_line_says_what_is_missing_and_the_command(repository: Repository, script: str) -> None:
    line = one_line(repository.run(script))
    assert "Python 3.11 or newer is missing" in line
    assert "apt-get install python3" in line


def test_a_python_that_is_too_old_is_as_good_as_none(repository: Repository) -> None:
    repository.python("python3", "exit 1")
    assert "Python 3.11 or newer is missing" in one_line(repository.run("scripts/up"))


def test_the_real_python_check_knows_old_from_new(repository: Repository) -> None:
    repository.python("python3", 'case "$2" in *"(3, 11)"*) exit 1;; esac')
    repository.python("python3.12")
    assert repository.run("scripts/up").returncode == 0


def test_a_bare_checkout_gets_its_environment_by_hash_and_rayops_runs(repository: Repository) -> None:
    repository.python()
    ended = repository.run("scripts/up", "--env", "local dev")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert repository.calls("pip install", "--require-hashes", "requirements/rayops.txt")
    assert repository.calls("pip install", "--editable")
    assert repository.calls("rayops up")[-1] == "rayops up --env local dev"


def test_a_second_run_installs_nothing(repository: Repository) -> None:
    repository.python()
    repository.run("scripts/up")
    ended = repository.run("scripts/up", "--timings")
    assert ended.returncode == 0
    assert ended.stdout == ""
    assert repository.log.read_text().splitlines() == ["rayops up --timings"]


@pytest.mark.parametrize("file", ["scripts/requirements/rayops.txt", "pyproject.toml"])
def test_another_lock_is_installed(repository: Repository, file: str) -> None:
    repository.python()
    repository.run("scripts/up")
    with (repository.root / file).open("a") as opened:
        opened.write("# changed\n")
    repository.run("scripts/up")
    assert repository.calls("pip install", "--require-hashes")


def test_packages_that_cannot_be_installed_are_one_line_and_the_next_run_tries_again(repository: Repository) -> None:
    repository.python()
    (repository.root / "no-pip").touch()
    assert "requirements/rayops.txt could not be installed" in one_line(repository.run("scripts/up"))
    assert not repository.calls("rayops up")
    (repository.root / "no-pip").unlink()
    assert repository.run("scripts/up").returncode == 0
    assert repository.calls("pip install", "--require-hashes")


def test_a_python_without_venv_is_one_line_with_the_command(repository: Repository) -> None:
    repository.python(body='case "$*" in *realpath*) echo "$0" ;; *venv*) exit 1 ;; esac')
    assert one_line(repository.run("scripts/up")).endswith("apt-get install python3-venv")


def test_an_environment_that_was_left_half_made_is_made_again(repository: Repository) -> None:
    """Debian's venv without ensurepip leaves an interpreter without pip behind."""
    repository.python()
    write_program(repository.root / ".venv" / "bin", "python", "exit 1")
    ended = repository.run("scripts/up")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert repository.calls("rayops up")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_packages_of_a_bare_debian_that_cannot_be_installed_are_one_line(repository: Repository) -> None:
    repository.python(body='case "$*" in *realpath*) echo "$0" ;; *ensurepip*|*venv*) exit 1 ;; esac')
    write_program(
        repository.path, "apt-get", 'case "$*" in *install*) echo "E: Unable to locate" >&2; exit 100 ;; esac'
    )
    assert one_line(repository.run("scripts/up")).endswith("apt-get install python3-venv")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_a_bare_debian_reads_its_package_lists_before_it_installs(repository: Repository) -> None:
    repository.python(body=f'case "$*" in *ensurepip*) exit 1 ;; esac\n{PYTHON}'
                      .format(log=repository.log, root=repository.root))  # fmt: skip
    write_program(repository.path, "apt-get", f'echo "apt-get $*" >> {repository.log}')
    repository.run("scripts/up")
    words = [word for call in repository.calls("apt-get") for word in call.split()]
    assert [word for word in words if word in ("update", "install")] == ["update", "install"]


TIERS = ["ruff", "ruff", "yamllint", "mypy", "rayops", "pytest"]


def tools_called(repository: Repository) -> list[str]:
    return [line.split()[0] for line in repository.log.read_text().splitlines() if not line.startswith("python")]


@pytest.mark.parametrize(
    ("options", "called"), [([], [*TIERS, "pytest"]), (["--no-cluster"], TIERS), (["--cluster"], ["pytest"])]
)
def test_the_test_command_runs_its_tiers_in_order(
    repository: Repository, options: list[str], called: list[str]
) -> None:
    repository.python()
    ended = repository.run("scripts/test", *options)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert tools_called(repository) == called


def test_tests_without_a_cluster_leave_those_with_one_out_and_the_other_way_round(repository: Repository) -> None:
    repository.python()
    repository.run("scripts/test")
    without, with_cluster = repository.calls("pytest -m")
    assert "not (cluster or" in without
    assert "not (" not in with_cluster
    assert "cluster" in with_cluster


def test_vllm_has_an_environment_of_its_own_that_is_made_once_for_each_lock(repository: Repository) -> None:
    repository.python()
    ended = repository.run("scripts/test", "--vllm", "--", "-k", "chat")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert repository.calls("pip install", "--require-hashes", "requirements/vllm.txt", "--no-cache-dir")
    assert repository.calls("-m pytest -m vllm", "tests/vllm -k chat")
    assert tools_called(repository) == []
    assert not (repository.root / ".venv").exists()
    repository.run("scripts/test", "--vllm")
    assert not repository.calls("pip install")
    with (repository.root / "scripts/requirements/vllm.txt").open("a") as lock:
        lock.write("# changed\n")
    (before,) = (repository.root / ".cache").glob("vllm-*")
    assert repository.run("scripts/test", "--vllm").returncode == 0
    assert not before.exists()
    assert repository.calls("pip install", "--require-hashes")


def test_an_environment_of_vllm_that_broke_off_is_made_again(repository: Repository) -> None:
    repository.python()
    (repository.root / "no-pip").touch()
    assert "requirements/vllm.txt could not be installed" in one_line(repository.run("scripts/test", "--vllm"))
    assert not repository.calls("-m pytest")
    (repository.root / "no-pip").unlink()
    assert repository.run("scripts/test", "--vllm").returncode == 0
    assert repository.calls("-m pytest -m vllm")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_libraries_of_vllm_that_cannot_be_installed_are_one_line(repository: Repository) -> None:
    body = f'case "$*" in *libnuma*) exit 1 ;; esac\n{PYTHON}'.format(log=repository.log, root=repository.root)
    repository.python(body=body)
    write_program(repository.path, "apt-get", f'echo "apt-get $*" >> {repository.log}; exit 100')
    assert one_line(repository.run("scripts/test", "--vllm")).endswith("apt-get install libnuma1 libgomp1")
    assert repository.calls("apt-get update")


def test_what_follows_two_dashes_goes_to_pytest(repository: Repository) -> None:
    repository.python()
    repository.run("scripts/test", "--no-cluster", "--", "-k", "--cluster")
    (call,) = repository.calls("pytest -m")
    assert call.endswith("worksteal -k --cluster")


@pytest.mark.parametrize("tool", ["ruff", "yamllint", "mypy", "rayops", "pytest"])
def test_the_first_tier_that_fails_is_the_last_one(repository: Repository, tool: str) -> None:
    repository.python()
    (repository.root / f"no-{tool}").touch()
    assert repository.run("scripts/test").returncode != 0
    assert tools_called(repository)[-1] == tool
    assert tools_called(repository).count("pytest") <= 1


def test_an_unknown_option_is_one_line_with_those_there_are(repository: Repository) -> None:
    repository.python()
    line = one_line(repository.run("scripts/test", "--nope"))
    assert "--nope" in line
    assert "--no-cluster" in line
    assert repository.log.read_text() == ""


def test_ci_calls_exactly_the_test_command(repository: Repository) -> None:
    write_program(repository.root / "scripts", "test", f'pwd; printf "%s|" "$@" >> {repository.log}; exit 7')
    ended = repository.run(".ci/run", "--no-cluster", "--", "-k", "a b")
    assert ended.returncode == 7
    assert ended.stdout == f"{repository.root}\n"
    assert repository.log.read_text() == "--no-cluster|--|-k|a b|"
