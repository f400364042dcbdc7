"""Two sides of a repository: what is compared with what, what is said beside the verdict, what a mistake looks like."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops import cli
from rayops.errors import RayopsError
from rayops.review import inputs, policy
from rayops.review.compare import compare
from rayops.review.inputs import environment_of, merge_base, narrowed, side
from rayops.review.model import Finding, Review, Spending
from tests.unit.review.objects import Obj, edited, service

GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
CONFIGMAP = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME}, data: {x: '1'}}\n"
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q", "namespace": "rag"}}
FILES = {
    "overlays/dev/kustomization.yaml": "resources: [a, b]\n",
    "overlays/dev/a/kustomization.yaml": "resources: [configmap.yaml]\n",
    "overlays/dev/b/kustomization.yaml": "resources: [../../../base]\n",
    "overlays/prod/kustomization.yaml": "resources: [../../base]\nnamePrefix: prod-\n",
    "overlays/dev/part/kustomization.yaml": "kind: Component\n",
    "overlays/dev/a/configmap.yaml": CONFIGMAP.replace("NAME", "a"),
    "base/kustomization.yaml": "resources: [configmap.yaml, service.yaml]\n",
    "base/configmap.yaml": CONFIGMAP.replace("NAME", "b"),
}
Edit = Callable[[Obj], Obj]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    for name, text in {**FILES, "base/service.yaml": yaml.safe_dump(service())}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "main")
    commit(root)
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run([*GIT, "-C", root, *words], check=True, capture_output=True, text=True).stdout.strip()


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "x")


def write(root: Path, name: str, text: str) -> None:
    (root / name).write_text(text)


def reviewed(root: Path, before: str = "HEAD", after: str = "", **only: list[str]) -> Review:
    with side(before, root) as old, side(after, root) as new:
        return compare(*narrowed(old, new, environments=only.get("env", []), chosen=only.get("overlay", [])))


def told(root: Path, before: str = "HEAD", **only: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    review = reviewed(root, before, "", **only)
    for each in review.others:
        found.setdefault(each.source, []).append(each.obj)
    for item in review.changed:
        found.setdefault(item.source, []).append(item.title)
    return found


def files(folder: Path, old: list[Obj], new: list[Obj]) -> Review:
    for name, objects in (("old.yaml", old), ("new.yaml", new)):
        (folder / name).write_text(yaml.safe_dump_all(objects))
    with side(str(folder / "old.yaml"), folder) as before, side(str(folder / "new.yaml"), folder) as after:
        return compare(before, after)


def one(review: Review) -> Any:
    (item,) = review.items
    return item


def test_each_object_is_told_once_in_the_smallest_source_that_has_it(repository: Path) -> None:
    assert told(repository) == {}
    write(repository, "base/configmap.yaml", FILES["base/configmap.yaml"].replace("'1'", "'2'"))
    assert told(repository) == {"overlays/dev/b": ["ConfigMap b"], "overlays/prod": ["ConfigMap prod-b"]}


def test_only_what_was_asked_for(repository: Path) -> None:
    for name in ("base/configmap.yaml", "overlays/dev/a/configmap.yaml"):
        write(repository, name, FILES[name].replace("'1'", "'2'"))
    assert set(told(repository)) == {"overlays/dev/a", "overlays/dev/b", "overlays/prod"}
    assert set(told(repository, overlay=["overlays/dev/a"])) == {"overlays/dev/a"}
    assert set(told(repository, env=["dev"])) == {"overlays/dev/a", "overlays/dev/b"}
    with pytest.raises(RayopsError, match="--overlay overlays/nope: nothing is built there"):
        told(repository, overlay=["overlays/nope"])
    with pytest.raises(RayopsError, match="--env qa: no such environment") as caught:
        told(repository, env=["qa"])
    assert "dev, prod" in str(caught.value.hint)


def test_who_inherits_a_file(repository: Path) -> None:
    write(repository, "base/configmap.yaml", FILES["base/configmap.yaml"].replace("'1'", "'2'"))
    write(repository, "overlays/dev/a/configmap.yaml", FILES["overlays/dev/a/configmap.yaml"].replace("'1'", "'2'"))
    review = reviewed(repository)
    assert [(each.file, each.environments) for each in review.inherited] == [
        ("base/configmap.yaml", ("dev", "prod")),
        ("overlays/dev/a/configmap.yaml", ("dev",)),
    ]


def test_a_field_has_its_path_and_its_line(repository: Path) -> None:
    changed = edited(service(), "spec serveConfigV2 applications 0 deployments 0 num_replicas", 3)
    changed = edited(changed, "spec rayClusterConfig workerGroupSpecs 1 maxReplicas", 9)
    write(repository, "base/service.yaml", yaml.safe_dump(changed))
    item = next(item for item in reviewed(repository).items if item.environment == "prod")
    by_path = {each.path: each for each in item.reasons}
    most = by_path["$.spec.rayClusterConfig.workerGroupSpecs[1].maxReplicas"]
    file, _, line = most.place.partition(":")
    assert file == "base/service.yaml"
    assert "maxReplicas: 9" in (repository / file).read_text().splitlines()[int(line) - 1]
    assert "$.spec.serveConfigV2.applications[0].deployments[0].num_replicas" in by_path
    assert item.reasons[0] is most, "the gravest first"


def test_what_came_to_the_other_branch_since_is_not_ours(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "mine")
    write(repository, "overlays/dev/a/configmap.yaml", FILES["overlays/dev/a/configmap.yaml"].replace("'1'", "'2'"))
    commit(repository)
    git(repository, "checkout", "-q", "main")
    write(repository, "base/configmap.yaml", FILES["base/configmap.yaml"].replace("'1'", "'3'"))
    commit(repository)
    git(repository, "checkout", "-q", "mine")
    assert told(repository, merge_base("main", repository)) == {"overlays/dev/a": ["ConfigMap a"]}
    assert len(told(repository, "main")) == 3


def test_an_overlay_that_comes_or_goes_or_breaks(repository: Path) -> None:
    shutil.copytree(repository / "overlays/dev", repository / "overlays/qa")
    shutil.rmtree(repository / "overlays/dev/a")
    write(repository, "overlays/dev/b/kustomization.yaml", "resources: [nowhere]\n")
    review = reviewed(repository)
    others = {(each.source, each.change) for each in review.others}
    assert {("overlays/qa/a", "created"), ("overlays/dev/a", "deleted")} <= others
    assert [(item.source, item.verdict) for item in review.changed] == [("overlays/qa/b", "created")]
    (problem,) = (each for each in review.problems if each.startswith("overlays/dev/b"))
    assert "nowhere" in problem
    assert str(repository) not in problem
    assert any("render" in each for each in policy.judged(review, policy.DEFAULT).fails)


def test_two_revisions_and_two_folders_say_the_same(repository: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(repository, copy)
    write(
        repository, "base/service.yaml", yaml.safe_dump(edited(service(), "spec rayClusterConfig rayVersion", "9.9.9"))
    )
    commit(repository)
    by_revision, by_folder = reviewed(repository, "HEAD~1", "HEAD"), reviewed(repository, str(copy), str(repository))
    assert by_revision.items == by_folder.items
    assert {item.verdict for item in by_revision.items} == {"new-cluster"}


@pytest.mark.parametrize(
    ("path", "value", "failures", "revert"),
    [
        (
            "spec rayClusterConfig rayVersion",
            "2.59.0",
            "none expected: the old cluster serves",
            "a third one is started",
        ),
        (
            "spec serveConfigV2 applications 0 deployments 0 ray_actor_options num_cpus",
            1,
            "none expected: replicas",
            "Serve",
        ),
        (
            "spec serveConfigV2 applications 0 deployments 1 ray_actor_options num_cpus",
            1,
            "rag/Retriever: one replica",
            "Serve",
        ),
        ("spec rayClusterConfig workerGroupSpecs 0 maxReplicas", 9, "", "nothing: what runs has not got it"),
        ("spec serveConfigV2", "applications: {", "none now: what runs goes on", "nothing: it was not taken"),
        ("metadata labels a", "9", "", ""),
    ],
)
def test_failing_requests_and_the_way_back(path: str, value: Any, failures: str, revert: str, tmp_path: Path) -> None:
    item = one(files(tmp_path, [service()], [edited(service(), path, value)]))
    assert item.failures.startswith(failures)
    assert bool(item.failures) is bool(failures)
    assert revert in item.revert
    assert bool(item.revert) is bool(revert)


def test_a_successor_that_starts_first_leaves_no_gap(tmp_path: Path) -> None:
    where = "spec serveConfigV2 applications 0 deployments 1"
    old = edited(service(), f"{where} max_surge_percent", 100)
    item = one(files(tmp_path, [old], [edited(old, f"{where} ray_actor_options num_cpus", 1)]))
    assert item.restarts == ("rag/Retriever",)
    assert item.failures.startswith("none expected")


def operator(version: str) -> Obj:
    container = {"name": "kuberay-operator", "image": f"quay.io/kuberay/operator:v{version}"}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "kuberay-operator", "namespace": "k"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "value", "verdict", "said"),
    [
        (None, None, "cluster-in-place", "jumps back"),
        (
            "spec rayClusterConfig workerGroupSpecs 0 maxReplicas",
            9,
            "cluster-in-place",
            "lands with the operator's upgrade",
        ),
        ("spec rayClusterConfig rayVersion", "2.59.0", "ignored", "upgrade the operator, wait, then change this"),
        ("spec upgradeStrategy type", "None", "cluster-in-place", "jumps back"),
    ],
)
def test_an_operator_of_another_version_writes_what_runs(
    path: str | None, value: Any, verdict: str, said: str, tmp_path: Path
) -> None:
    new = edited(service(), path, value) if path else service()
    item = one(files(tmp_path, [service(), operator("1.6.1")], [new, operator("1.6.2")]))
    assert item.verdict == verdict
    assert any(said in each.why for each in item.reasons)
    (version,) = (each for each in item.reasons if each.path.endswith("['ray.io/kuberay-version']"))
    assert (version.old, version.new) == ("v1.6.1", "v1.6.2")
    assert "new.yaml:" in version.place
    assert "once more" in item.revert or item.verdict == "ignored"
    same = one(files(tmp_path, [service(), operator("1.6.2")], [service(), operator("1.6.2")]))
    assert same.verdict == "none"
    new_one = files(tmp_path, [operator("1.6.1")], [service(), operator("1.6.2")])
    assert one(new_one).verdict == "created"


def test_what_a_new_cluster_takes_while_both_run(tmp_path: Path) -> None:
    """Head 1 CPU and 2 GiB, one CPU worker of 2 and one GPU worker of 2 at the start."""
    item = one(files(tmp_path, [service()], [edited(service(), "spec rayClusterConfig rayVersion", "2.59.0")]))
    assert item.during.pods == 3
    assert (item.during.amount.cpus, item.during.amount.gpus) == (5, 1)
    assert "30 s more" in item.during.lasts
    assert not item.during.quota


@pytest.mark.parametrize(
    ("hard", "beyond"), [({"requests.cpu": "22"}, False), ({"requests.cpu": "21"}, True), ({"pods": 3}, True)]
)
def test_a_quota_holds_the_peak_or_not(hard: dict[str, Any], beyond: bool, tmp_path: Path) -> None:
    """At most: head 1, three workers of 2, two of 2, and that twice."""
    new = edited(service(), "spec rayClusterConfig rayVersion", "2.59.0")
    quota = {**QUOTA, "spec": {"hard": hard}}
    review = files(tmp_path, [service(), quota], [new, quota])
    assert bool(one(review).during.quota) is beyond
    fails = [each for each in policy.judged(review, ["quota"]).fails if "quota" in each]
    assert bool(fails) is beyond


def test_a_budget_fails_the_change_that_goes_beyond_it(repository: Path) -> None:
    prices = {
        "currency": "EUR", "date": "2026-11-22", "source": "a test",
        "pools": [{"name": "all", "allocatable": {"cpu": 8, "memory": "64Gi", "nvidia.com/gpu": 1, "pods": 9},
                   "price_per_hour": 1}],
        "budgets": {"prod": {"month": 10_000, "at": "max"}},
    }  # fmt: skip
    write(repository, "overlays/prices.yaml", yaml.safe_dump(prices))
    commit(repository)
    write(
        repository,
        "base/service.yaml",
        yaml.safe_dump(edited(service(), "spec rayClusterConfig workerGroupSpecs 1 maxReplicas", 90)),
    )
    review = policy.judged(reviewed(repository), ["budget"])
    (prod,) = (each for each in review.spending if each.environment == "prod")
    assert prod.before < 10_000 < prod.after
    assert [each.split(":")[0] for each in review.fails] == ["budget"]
    assert not policy.judged(reviewed(repository), ["render"]).fails


def test_who_spends_less_is_not_stopped_by_a_budget_that_was_broken_before() -> None:
    def fails(before: float, after: float) -> tuple[str, ...]:
        review = Review("a", "b", spending=(Spending("prod", "EUR", before, after, 500),))
        return policy.judged(review, ["budget"]).fails

    assert fails(400, 600)
    assert fails(600, 700)
    assert not fails(900, 600), "still above it, and the way down"
    assert not fails(400, 500)


def test_only_new_errors_of_lint_fail() -> None:
    def fails(severity: str) -> tuple[str, ...]:
        found = Finding("x", severity, "s", "o", "m", "f:1", security=False)
        return policy.judged(Review("a", "b", new_findings=(found,)), ["lint"]).fails

    assert fails("error") == ("lint: x: o: m f:1",)
    assert not fails("warning")
    gone = Review("a", "b", gone_findings=(Finding("x", "error", "s", "o", "m", "f:1", security=False),))
    assert not policy.judged(gone, ["lint"]).fails


def test_a_finding_that_comes_and_one_that_goes(tmp_path: Path) -> None:
    host = edited(service(), "spec rayClusterConfig headGroupSpec template spec hostNetwork", True)
    there, back = files(tmp_path, [service()], [host]), files(tmp_path, [host], [service()])
    assert there.new_findings
    assert any(each.security for each in there.new_findings)
    assert {each.id for each in there.new_findings} == {each.id for each in back.gone_findings}
    assert not {each.id for each in there.gone_findings} & {each.id for each in there.new_findings}


@pytest.mark.parametrize(
    ("source", "environment"),
    [("overlays/prod/rag", "prod"), ("overlays/prod", "prod"), ("clusters/eu/apps/rag", "eu"), ("apps/rag", "apps"),
     ("charts/x (overlays/dev/values.yaml)", "dev"), ("new.yaml", "")],
)  # fmt: skip
def test_an_environment_by_its_folder(source: str, environment: str) -> None:
    assert environment_of(source) == environment


def test_the_exit_code_goes_by_the_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = edited(service(), "spec rayClusterConfig rayVersion", "2.59.0")
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(service()))
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(new))
    words = ["review", "--from", str(tmp_path / "old.yaml"), "--to", str(tmp_path / "new.yaml"), "--format", "json"]
    assert cli.main([*words, "--fail-on", "rejected"]) == 0
    assert cli.main([*words, "--fail-on", "rejected,new-cluster"]) == 1
    out = capsys.readouterr().out
    first, _ = json.JSONDecoder().raw_decode(out)
    assert [(item["verdict"], item["kind"], item["namespace"], item["name"]) for item in first["items"]] == [
        ("new-cluster", "RayService", "rag", "rag")
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--base", "no-such-branch"], ["no-such-branch", "fetch-depth: 0"]),
        (["--from", "no-such-thing"], ["no-such-thing: no such revision, folder or file"]),
        (["--fail-on", "danger"], ["'danger' is none of them", "new-cluster"]),
        (["--env", "nowhere"], ["--env nowhere: no such environment"]),
        (["--output", "x.pdf"], ["no form has the suffix '.pdf'", ".md"]),
        (["--env", "local", "--output", "no-such-folder/x.md"], ["--output no-such-folder/x.md: No such file"]),
    ],
)
def test_a_mistake_is_one_line(words: list[str], said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["review", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert all(part in line for part in said), line


@pytest.mark.parametrize(("path", "said"), [(None, "is in no Git repository"), ("/nowhere", "git is not here")])
def test_without_git_two_folders_are_what_is_left(
    path: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if path:
        monkeypatch.setenv("PATH", path)
    assert cli.main(["review", "--root", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "--from DIR --to DIR" in line


@pytest.mark.parametrize(
    "text", ["review: [x]\n", "review: {fail-on: rejected}\n", "review: {fail-on: [x]}\n", "review: {on: []}\n"]
)
def test_a_bad_policy_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / ".rayops.yaml").write_text(text)
    with pytest.raises(RayopsError, match="fail-on"):
        policy.read(tmp_path)
    (tmp_path / ".rayops.yaml").write_text("review: {fail-on: [ignored]}\n")
    assert policy.read(tmp_path) == ("ignored",)
    assert policy.read(tmp_path, ["budget"]) == ("budget",)


def test_a_file_that_is_no_yaml_is_said_and_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(yaml.safe_dump(service()))
    (tmp_path / "new.yaml").write_bytes(b"\x00\xff{{{")
    with side(str(tmp_path / "old.yaml"), tmp_path) as old, side(str(tmp_path / "new.yaml"), tmp_path) as new:
        review = compare(old, new)
    assert review.problems
    assert "new.yaml" in review.problems[0]
    assert inputs.environment_of("new.yaml") == ""
