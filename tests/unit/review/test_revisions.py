"""Two trees of one repository: what is compared with what, and what a mistake looks like."""

import shutil
import subprocess
from pathlib import Path

import pytest

from rayops import cli
from rayops.errors import RayopsError
from rayops.review import Effect, revisions

FILES = {
    "overlays/dev/kustomization.yaml": "resources: [a, b]\n",
    "overlays/dev/a/kustomization.yaml": "resources: [configmap.yaml]\n",
    "overlays/dev/b/kustomization.yaml": "resources: [../../../base]\n",
    "overlays/dev/part/kustomization.yaml": "kind: Component\n",
    "overlays/dev/a/configmap.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: '1'}}\n",
    "base/kustomization.yaml": "resources: [configmap.yaml]\n",
    "base/configmap.yaml": "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}, data: {x: '1'}}\n",
}
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    assert shutil.which("kubectl") or shutil.which("kustomize")
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "-q", "-b", "main")
    commit(tmp_path)
    return tmp_path


def git(root: Path, *words: str) -> str:
    return subprocess.run([*GIT, "-C", root, *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")


def write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)


def told(root: Path, revision: str = "HEAD", *chosen: str) -> dict[str, list[str]]:
    with revisions.tree(revisions.merge_base(revision, root), root) as base:
        found = revisions.review(base, root, chosen)
    return {each.overlay: [verdict.obj for verdict in each.verdicts] for each in found if each.verdicts}


def test_uncommitted_work_is_compared_and_each_object_told_once(repository: Path) -> None:
    assert told(repository) == {}
    write(repository, "base/configmap.yaml", FILES["base/configmap.yaml"].replace("'1'", "'2'"))
    assert told(repository) == {"overlays/dev/b": ["ConfigMap b"]}, "and not in overlays/dev again"


def test_only_what_was_chosen(repository: Path) -> None:
    for name in ("base/configmap.yaml", "overlays/dev/a/configmap.yaml"):
        write(repository, name, FILES[name].replace("'1'", "'2'"))
    assert set(told(repository)) == {"overlays/dev/a", "overlays/dev/b"}
    assert set(told(repository, "HEAD", "overlays/dev/a")) == {"overlays/dev/a"}
    assert set(told(repository, "HEAD", "overlays/dev")) == {"overlays/dev/a", "overlays/dev/b"}
    with pytest.raises(RayopsError, match="--overlay overlays/nope: no overlay there"):
        told(repository, "HEAD", "overlays/nope")


def test_what_came_to_the_other_branch_since_is_not_ours(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "mine")
    write(repository, "overlays/dev/a/configmap.yaml", FILES["overlays/dev/a/configmap.yaml"].replace("'1'", "'2'"))
    commit(repository)
    git(repository, "checkout", "-q", "main")
    write(repository, "base/configmap.yaml", FILES["base/configmap.yaml"].replace("'1'", "'3'"))
    commit(repository)
    git(repository, "checkout", "-q", "mine")
    assert told(repository, "main") == {"overlays/dev/a": ["ConfigMap a"]}


def test_an_overlay_that_comes_or_goes_or_breaks(repository: Path) -> None:
    shutil.copytree(repository / "overlays/dev", repository / "overlays/qa")
    shutil.rmtree(repository / "overlays/dev/a")
    write(repository, "overlays/dev/b/kustomization.yaml", "resources: [nowhere]\n")
    with revisions.tree(revisions.merge_base("HEAD", repository), repository) as base:
        found = {each.overlay: each for each in revisions.review(base, repository)}
    assert [each.effect for each in found["overlays/qa/a"].verdicts] == [Effect.CREATED]
    assert [each.effect for each in found["overlays/dev/a"].verdicts] == [Effect.DELETED]
    assert "nowhere" in found["overlays/dev/b"].problem
    assert str(repository) not in found["overlays/dev/b"].problem


def test_an_unknown_revision_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", "--base", "no-such-branch"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "fetch-depth: 0" in line
    assert "no-such-branch" in line
