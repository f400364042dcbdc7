"""Promotions of a small checkout: what is changed, what is refused, and that nothing else happens."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayops import cli, paths
from rayops.promote import run as _all_of_it  # noqa: F401  modules read the place of the checkout when they are imported
from tests.unit.promote.conftest import GPU, IMAGE, ZERO, A, B, C, Obj, git, pod

PROD_RAG = "overlays/prod/rag/kustomization.yaml"
Run = Callable[..., tuple[int, str, str]]
Live = Callable[..., list[Obj]]


@pytest.fixture
def promote(
    root: Path, live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Call it with arguments and, maybe, what runs: exit code, output, error."""
    monkeypatch.setattr(paths, "ROOT", root)

    def run(*arguments: str, runs: list[Obj] | None = None) -> tuple[int, str, str]:
        source = arguments[arguments.index("--from") + 1] if "--from" in arguments else "staging"
        file = tmp_path / "status.json"
        file.write_text(json.dumps({"kind": "List", "items": live(source) if runs is None else runs}))
        way = () if "--from" in arguments else ("--from", "staging", "--to", "prod")
        code = cli.main(["promote", *way, *arguments, "--status", str(file)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def changed(root: Path) -> list[str]:
    return [line[3:] for line in git(root, "status", "--porcelain").splitlines()]


def diff(root: Path) -> list[str]:
    lines = git(root, "diff", "-U0").splitlines()
    return [line for line in lines if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def test_a_digest_moves_and_every_other_byte_stays(promote: Run, root: Path) -> None:
    code, out, _ = promote("--pipeline", "rag")
    assert code == 0
    assert changed(root) == [PROD_RAG]
    assert diff(root) == [
        f"-- {{name: {IMAGE}, digest: {ZERO}}} # the CPU one",
        f"+- {{name: {IMAGE}, digest: {A}}} # the CPU one",
    ]
    assert f"- {PROD_RAG}: {IMAGE} sha256:000000000000… → sha256:aaaaaaaaaaaa…" in out
    assert "| **new cluster** | RayService rag/rag<br>`overlays/prod/rag` |" in out
    assert "until every application of the new cluster is RUNNING" in out


def test_a_second_run_has_nothing_to_do_and_asks_nobody(promote: Run, root: Path) -> None:
    promote()
    assert changed(root) == ["overlays/prod/hello/kustomization.yaml", PROD_RAG]
    code, out, err = promote(runs=[])
    assert (code, err) == (0, "")
    assert out == "nothing to do: prod has what staging has\n"


def test_a_dry_run_says_it_all_and_changes_nothing(promote: Run, root: Path) -> None:
    code, out, _ = promote("--dry-run")
    assert code == 0
    assert out.count("**new cluster**") == 2
    assert changed(root) == []


def test_choices_move_with_their_comments_and_without_sizes(promote: Run, root: Path) -> None:
    file = root / "overlays/staging/rag/kustomization.yaml"
    text = file.read_text().replace("apps/rag]", "apps/rag/big] # more")
    file.write_text(text.replace("components: [../environment]\n", "components: # two\n- ../environment\n- ../extra\n"))
    (file.parent / "sizing.env").write_text("a=2\n")
    code, out, _ = promote("--pipeline", "rag")
    assert code == 0
    text = (root / PROD_RAG).read_text()
    assert (
        "resources: [../../../apps/rag/big] # more\ncomponents: # two\n- ../environment\n- ../extra\n\nimages" in text
    )
    assert text.startswith("# The head of the file stays.")
    assert text.endswith("\n# What follows stays too.\npatches: []\n")
    assert (root / "overlays/prod/rag/sizing.env").read_text() == "a=1\n"
    assert "metadata.labels.extra" in out


def test_choices_of_an_environment_that_runs_tags_stay_its_own(promote: Run, root: Path) -> None:
    file = root / "overlays/dev/rag/kustomization.yaml"
    file.write_text(file.read_text().replace("apps/rag]", "apps/rag/big]"))
    assert promote("--from", "dev", "--to", "staging", "--pipeline", "rag")[0] == 0
    assert "apps/rag]" in (root / "overlays/staging/rag/kustomization.yaml").read_text()


def test_from_dev_the_digest_is_the_one_that_its_pods_run(promote: Run, root: Path, live: Live) -> None:
    code, out, _ = promote("--from", "dev", "--to", "staging", "--pipeline", "rag")
    assert code == 0
    assert "sha256:bbbbbbbbbbbb…" in out
    assert B in (root / "overlays/staging/rag/kustomization.yaml").read_text()


def test_a_digest_may_be_given_and_the_source_is_still_looked_at(promote: Run, root: Path, live: Live) -> None:
    given = ("--from", "dev", "--to", "staging", "--pipeline", "rag", "--digest", f"{IMAGE}={C}")
    assert promote(*given)[0] == 0
    assert C in (root / "overlays/staging/rag/kustomization.yaml").read_text()
    git(root, "checkout", "-q", ".")
    code, _, err = promote(*given, runs=[])
    assert (code, "RayService rag/rag is not there" in err) == (1, True)


def without_pods(objects: list[Obj]) -> list[Obj]:
    return [obj for obj in objects if obj["kind"] != "Pod"]


def two_digests(objects: list[Obj]) -> list[Obj]:
    return [*objects, *(pod(obj, C) for obj in objects if obj["kind"] == "RayService")]


def loaded_by_hand(objects: list[Obj]) -> list[Obj]:
    for obj in objects:
        for state in obj["status"].get("containerStatuses", []):
            state["imageID"] = "docker.io/library/import-2026@" + B
    return objects


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without_pods, f"--digest {IMAGE}="),
        (two_digests, "is two images under one tag"),
        (loaded_by_hand, "has no digest of a registry"),
    ],
)
def test_pods_that_do_not_tell_one_digest_are_an_error(
    promote: Run, root: Path, live: Live, change: Callable[[list[Obj]], list[Obj]], says: str
) -> None:
    code, _, err = promote("--from", "dev", "--to", "staging", "--pipeline", "rag", runs=change(live("dev")))
    assert (code, len(err.splitlines()), changed(root)) == (1, 1, [])
    assert says in err


def deploy_failed(service: Obj) -> None:
    service["status"]["activeServiceStatus"]["applicationStatuses"]["app"]["status"] = "DEPLOY_FAILED"


def unseen(service: Obj) -> None:
    service["metadata"]["generation"] = 4


def upgrading(service: Obj) -> None:
    service["status"]["conditions"].append({"type": "UpgradeInProgress", "status": "True"})
    service["status"]["pendingServiceStatus"] = {"rayClusterName": "c-2"}


def other_image(service: Obj) -> None:
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    head["containers"][0]["image"] = f"{IMAGE}@{C}"


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (deploy_failed, "Degraded"),
        (unseen, "generation 4"),
        (upgrading, "upgrade to cluster c-2"),
        (other_image, f"runs {IMAGE}@{C}, Git has {IMAGE}@{A}"),
    ],
)
def test_a_source_that_is_not_healthy_as_git_has_it_is_refused(
    promote: Run, root: Path, live: Live, break_it: Callable[[Obj], None], says: str
) -> None:
    objects = live("staging")
    break_it(next(obj for obj in objects if obj["metadata"]["name"] == "rag"))
    code, _, err = promote(runs=objects)
    assert (code, len(err.splitlines()), changed(root)) == (1, 1, [])
    assert "rag: RayService rag/rag" in err
    assert says in err
    assert err.rstrip().endswith("--pipeline hello"), "what may go is named"


def test_a_healthy_pipeline_goes_without_the_others(promote: Run, root: Path, live: Live) -> None:
    objects = live("staging")
    deploy_failed(next(obj for obj in objects if obj["metadata"]["name"] == "rag"))
    assert promote("--pipeline", "hello", runs=objects)[0] == 0
    assert changed(root) == ["overlays/prod/hello/kustomization.yaml"]


def test_without_a_look_at_the_source_nothing_is_promoted(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(paths, "ROOT", root)
    assert cli.main(["promote", "--from", "staging", "--to", "prod"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing says how healthy staging is → --kubeconfig FILE" in line
    assert changed(root) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "nope", "--to", "prod"], "--from nope: no such environment → there are: dev, prod, qa, staging"),
        (["--from", "prod", "--to", "prod"], "both prod"),
        (["--from", "dev", "--to", "prod"], "dev → prod skips the way dev → staging → prod → --from staging"),
        (["--from", "qa", "--to", "prod"], "qa → prod skips"),
        (["--from", "prod", "--to", "staging"], "prod → staging skips"),
        (["--from", "staging", "--to", "dev"], "nothing is promoted to dev"),
        (["--pipeline", "nope"], "overlays/staging/nope is missing → there are: hello, rag"),
        (["--platform", "--pipeline", "rag"], "--platform goes alone"),
        (["--digest", "sha256:12"], "--digest sha256:12: no digest"),
        (["--digest", f"{IMAGE}={ZERO}"], "no digest"),
        (["--digest", f"{IMAGE}={C}"], "staging has digests of its own"),
        (["--from", "dev", "--to", "staging", "--digest", C], "of which image?"),
        (["--from", "dev", "--to", "staging", "--digest", f"x/y={C}"], "no digest for x/y"),
        (["--from", "prod", "--to", "qa", "--pipeline", "rag"], f"prod/rag: {IMAGE} has no digest"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(promote: Run, root: Path, arguments: list[str], says: str) -> None:
    code, out, err = promote(*arguments)
    assert (code, out, changed(root)) == (1, "", [])
    (line,) = err.splitlines()
    assert says in line


def test_a_skip_is_possible_for_who_knows(promote: Run, root: Path) -> None:
    assert promote("--from", "dev", "--to", "prod", "--pipeline", "rag", "--i-know")[0] == 0
    assert changed(root) == [PROD_RAG]


def test_an_environment_beside_the_way_takes_from_any(promote: Run, root: Path) -> None:
    assert promote("--from", "staging", "--to", "qa")[0] == 0
    assert changed(root) == ["overlays/qa/hello/kustomization.yaml", "overlays/qa/rag/kustomization.yaml"]


def test_what_was_never_promoted_is_left_out_and_said(promote: Run, root: Path) -> None:
    file = root / "overlays/staging/hello/kustomization.yaml"
    file.write_text(file.read_text().replace(A, ZERO))
    code, out, _ = promote()
    assert code == 0
    assert "left out, jobs and what was never promoted to staging: hello" in out
    assert changed(root)[:1] == [PROD_RAG]
    code, _, err = promote("--pipeline", "hello")
    assert (code, "--from dev --to staging --pipeline hello" in err) == (1, True)


def test_an_image_that_the_target_has_room_for_needs_a_digest(promote: Run, root: Path) -> None:
    file = root / "apps/rag/rayservice.yaml"
    file.write_text(file.read_text().replace("maxReplicas: 0", "maxReplicas: 1"))
    code, _, err = promote("--pipeline", "rag")
    assert (code, f"staging/rag: {GPU} has no digest yet" in err) == (1, True)


def test_a_file_with_work_in_it_is_left_alone_unless_asked(promote: Run, root: Path) -> None:
    with (root / PROD_RAG).open("a") as file:
        file.write("# mine\n")
    code, _, err = promote("--pipeline", "rag")
    assert (code, f"{PROD_RAG}: changed and not committed" in err) == (1, True)
    assert promote("--pipeline", "rag", "--allow-dirty")[0] == 0
    text = (root / PROD_RAG).read_text()
    assert A in text
    assert text.endswith("# mine\n")


def test_a_target_that_would_not_render_is_refused(promote: Run, root: Path) -> None:
    file = root / "overlays/staging/rag/kustomization.yaml"
    (root / "overlays/prod/extra/kustomization.yaml").write_text("kind: Component\nnope: 1\n")
    git(root, "commit", "-aqm", "y")
    file.write_text(file.read_text().replace("[../environment]", "[../environment, ../extra]"))
    code, _, err = promote("--pipeline", "rag")
    assert (code, changed(root)) == (1, ["overlays/staging/rag/kustomization.yaml"])
    assert "overlays/prod/rag: " in err
    assert "after the promotion" in err


def test_the_platform_goes_alone_and_with_all_its_services_healthy(promote: Run, root: Path, live: Live) -> None:
    code, out, _ = promote("--platform")
    assert code == 0
    redis = "- {name: redis, newName: registry.example.com/ray/redis, digest: "
    crds = ["-chartVersion=1.6.1", "-kuberayRevision=v1.6.1", "+chartVersion=1.6.2", "+kuberayRevision=v1.6.2"]
    assert diff(root) == [*crds, f"-{redis}{C}}}", f"+{redis}{B}}}"]
    assert "chartVersion 1.6.1 → 1.6.2" in out
    git(root, "checkout", "-q", ".")
    objects = live("staging")
    deploy_failed(objects[0])
    code, _, err = promote("--platform", runs=objects)
    assert (code, "Degraded" in err, changed(root)) == (1, True, [])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"items": [1]}', '{"items": 3}', "nope"])
def test_a_status_file_that_kubectl_did_not_write_is_one_line(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    monkeypatch.setattr(paths, "ROOT", root)
    file = tmp_path / "x.json"
    file.write_text(text)
    assert cli.main(["promote", "--from", "staging", "--to", "prod", "--status", str(file)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "kubectl get rayservices" in line


def test_a_cluster_is_only_opened_when_it_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(paths, "ROOT", root)
    asked: list[Any] = []

    def connect(*arguments: Any, **options: Any) -> Any:
        asked.append(arguments)
        raise RuntimeError

    monkeypatch.setattr("rayops.kube.Kube.connect", connect)
    cli.main(["promote", "--from", "staging", "--to", "prod"])
    assert asked == []
    with pytest.raises(RuntimeError):
        cli.main(["promote", "--from", "staging", "--to", "prod", "--kubeconfig", "k", "--context", "c"])
    assert asked == [(Path("k"), "c")]
    assert cli.main(["promote", "--from", "staging", "--to", "prod", "--context", "c", "--status", "x"]) == 1


def test_outside_git_it_says_so(promote: Run, root: Path) -> None:
    subprocess.run(["mv", root / ".git", root / "git"], check=True)
    code, _, err = promote("--pipeline", "rag")
    assert (code, "--allow-dirty" in err) == (1, True)
