"""Both controllers sync this repository: what is committed is applied, what is wrong is named, what left is removed."""

import secrets
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import yaml

from rayops.kube import Kube, Obj, Timeout, equals, eventually, is_so, itself
from rayops.kube.objects import POD_DISRUPTION_BUDGET, RAY_SERVICE, Kind, gist
from rayops.paths import ROOT
from tests.delivery import company
from tests.delivery.conftest import Delivered
from tests.harness.delivery import sops
from tests.harness.delivery.controller import Controller, Verdict, wait_healthy
from tests.harness.delivery.flux import KUSTOMIZATION, Flux
from tests.harness.delivery.pipeline import Pipeline
from tests.harness.delivery.repository import Commit, Repository
from tests.harness.selectors import running_pods

# The first test also builds what is not there yet; every wait has a time-out of its own.
pytestmark = [pytest.mark.delivery, pytest.mark.timeout(3600)]

SECRET = Kind("v1", "Secret")
SERVE = "apps/hello/serve.yaml"
# Issue 6: a commit is applied within this time, polling included.
APPLIED_WITHIN_S = 60.0
# How long a commit that must not get healthy is watched: several looks of each controller and of the operator.
WATCHED_S = 25.0


def test_the_first_sync_brings_the_pipeline_up(
    delivered: Delivered, pipeline: Pipeline, record: Callable[..., None]
) -> None:
    pipeline.answers()
    record(created_to_applied_s=delivered.first.applied_s, created_to_healthy_s=delivered.first.healthy_s)


def test_a_commit_is_applied_and_healthy(
    controller: Controller, pipeline: Pipeline, repository: Repository, good: Commit, record: Callable[..., None]
) -> None:
    """Nobody tells the controller: it polls, and the commit comes when it has just looked."""
    controller.look_now()
    repository.replace(SERVE, 'revision: "1"', 'revision: "2"')
    commit = repository.commit("hello: revision 2")
    eventually(
        lambda: str(pipeline.applied_config()),
        lambda config: "'revision': '2'" in config,
        is_so,
        Timeout.MEDIUM,
        f"{controller.name} applied {commit.sha[:8]}",
        every=0.5,
    )
    applied = commit.seconds()
    wait_healthy(controller, commit)
    healthy = commit.seconds()
    pipeline.shows_revision("2")
    record(commit_to_applied_s=applied, commit_to_healthy_s=healthy, commit_to_answer_s=commit.seconds())
    assert applied <= APPLIED_WITHIN_S


def test_a_wrong_import_path_is_reported_with_its_cause_and_stays_so(
    controller: Controller, pipeline: Pipeline, repository: Repository, good: Commit, record: Callable[..., None]
) -> None:
    repository.replace(SERVE, "import_path: apps.hello.app:build_app", "import_path: apps.nowhere.app:build_app")
    bad = repository.commit("hello: an import path that leads nowhere")
    controller.look_now()
    seen = watch(controller, bad)
    record(commit_to_failed_s=seen.failed_s, message=gist(seen.message), believed_s=seen.believed_s)
    # What is wrong is reported, and stays so. Before that only the status of before may have been believed.
    assert seen.believed_s <= controller.looks_again_s
    assert not seen.healthy_again, seen.healthy_again
    assert f"RayService/{company.PIPELINE}" in seen.message
    # Flux has no words of an object in its own status: it names the object, and that one names the module.
    assert "No module named 'apps.nowhere'" in seen.message + pipeline.application_message()

    reverted = repository.revert()
    controller.look_now()
    wait_healthy(controller, reverted)
    record(revert_to_healthy_s=reverted.seconds())
    pipeline.answers()


def test_a_commit_that_does_not_build_changes_nothing_and_is_named(
    controller: Controller, pipeline: Pipeline, repository: Repository, good: Commit, record: Callable[..., None]
) -> None:
    before = pipeline.service()["metadata"]["generation"]
    repository.edit(f"{company.OVERLAY}/kustomization.yaml", lambda k: k["resources"].append("nowhere.yaml"))
    bad = repository.commit("hello: a resource that is not there")
    controller.look_now()
    named = eventually(
        controller.verdict,
        itself,
        lambda v: v.failed and "nowhere.yaml" in v.message,
        Timeout.MEDIUM,
        "the build fails",
    )
    record(commit_to_named_s=bad.seconds(), message=gist(named.message))
    assert "no such file or directory" in named.message
    assert pipeline.service()["metadata"]["generation"] == before
    pipeline.answers()

    reverted = repository.revert()
    controller.look_now()
    wait_healthy(controller, reverted)
    record(revert_to_healthy_s=reverted.seconds())


def test_what_left_git_is_removed_and_comes_back(
    controller: Controller, pipeline: Pipeline, repository: Repository, good: Commit, record: Callable[..., None]
) -> None:
    budgets = pipeline.names(POD_DISRUPTION_BUDGET)
    assert budgets
    repository.edit(f"{company.OVERLAY}/kustomization.yaml", without("policy/v1", "PodDisruptionBudget"))
    commit = repository.commit("hello: no disruption budgets")
    controller.look_now()
    wait_for_budgets(pipeline, [])
    record(commit_to_pruned_s=commit.seconds())
    wait_healthy(controller, commit)

    reverted = repository.revert()
    controller.look_now()
    wait_for_budgets(pipeline, budgets)
    wait_healthy(controller, reverted)


def test_flux_decrypts_what_sops_encrypted(
    controller: Controller, pipeline: Pipeline, kube: Kube, repository: Repository, good: Commit
) -> None:
    """As base/components/secrets-sops and base/delivery/flux/decryption say, with a key of the test's own."""
    if not isinstance(controller, Flux):
        pytest.skip("Argo CD decrypts nothing by itself (base/components/secrets-sops)")
    key, value = sops.new_key(), secrets.token_hex(16)
    kube.apply([secret("sops-age", controller.namespace, {"identity.agekey": key.private})])
    patch = ROOT / "base/delivery/flux/decryption/patches/kustomization.decryption.yaml"
    kube.patch(KUSTOMIZATION, pipeline.name, controller.namespace, {"spec": yaml.safe_load(patch.read_text())["spec"]})

    rule = {"path_regex": r"^local/.*\.secret\.yaml$", "encrypted_regex": "^(data|stringData)$", "age": key.public}
    repository.edit("overlays/.sops.yaml", lambda k: k["creation_rules"].append({**rule, "mac_only_encrypted": True}))
    file = repository.folder / company.OVERLAY / "demo.secret.yaml"
    file.write_text(yaml.safe_dump(secret("demo", pipeline.name, {"word": value})))
    sops.encrypt(file, repository.folder / "overlays/.sops.yaml")
    assert value not in file.read_text()

    def take(kustomization: Any) -> None:
        kustomization["resources"].append("demo.secret.yaml")
        kustomization["components"].append("../../../base/components/secrets-sops")

    repository.edit(f"{company.OVERLAY}/kustomization.yaml", take)
    commit = repository.commit("hello: a Secret that only Flux can read")
    controller.look_now()
    wait_healthy(controller, commit)
    assert b64decode(kube.get(SECRET, "demo", pipeline.name)["data"]["word"]).decode() == value

    reverted = repository.revert()
    controller.look_now()
    wait_healthy(controller, reverted)
    assert kube.find(SECRET, "demo", pipeline.name) is None


def test_self_heal_puts_a_hand_edit_back_and_leaves_the_autoscaler_alone(
    controller: Controller, pipeline: Pipeline, kube: Kube, repository: Repository, record: Callable[..., None]
) -> None:
    """The autoscaler writes the child RayCluster, which is not in Git; a person writes the RayService, which is."""
    before = pipeline.service()["spec"]["serveConfigV2"]
    pipeline.demand(2)
    eventually(lambda: pipeline.replicas("cpu"), itself, equals(2), Timeout.MEDIUM, "the autoscaler asks for 2 workers")
    # Runs, and is not Ready: a worker without a replica answers no request.
    eventually(pipeline.workers("cpu"), running_pods, equals(2), Timeout.MEDIUM, "both workers run")

    by_hand = before.replace("revision: ", "revision: by-hand-")
    assert by_hand != before
    kube.patch(RAY_SERVICE, pipeline.name, pipeline.name, {"spec": {"serveConfigV2": by_hand}})
    edited = time.monotonic()
    controller.look_now()
    eventually(
        lambda: pipeline.service()["spec"]["serveConfigV2"],
        itself,
        equals(before),
        Timeout.SHORT,
        "put back",
        every=0.2,
    )
    record(hand_edit_to_back_s=round(time.monotonic() - edited, 1))
    wait_healthy(controller, repository.head())

    generation = pipeline.service()["metadata"]["generation"]
    end = time.monotonic() + WATCHED_S
    while time.monotonic() < end:
        assert pipeline.replicas("cpu") == 2
        assert controller.verdict().healthy, controller.verdict()
        time.sleep(1)
    controller.look_now()
    assert pipeline.replicas("cpu") == 2
    assert pipeline.service()["metadata"]["generation"] == generation
    pipeline.answers()
    pipeline.demand(0)


def secret(name: str, namespace: str, values: dict[str, str]) -> Obj:
    """A plain Secret."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": values,
    }


def without(api_version: str, kind: str) -> Callable[[Any], None]:
    """The edit of a kustomization that leaves out every object of a kind."""
    patch = {"$patch": "delete", "apiVersion": api_version, "kind": kind, "metadata": {"name": "any"}}
    entry = {"target": {"kind": kind}, "patch": yaml.safe_dump(patch)}
    return lambda kustomization: kustomization.setdefault("patches", []).append(entry)


def wait_for_budgets(pipeline: Pipeline, names: list[str]) -> None:
    """Wait until exactly these disruption budgets are there."""
    look = partial(pipeline.names, POD_DISRUPTION_BUDGET)
    eventually(look, itself, equals(names), Timeout.MEDIUM, f"disruption budgets {names}", every=0.5)


@dataclass(frozen=True)
class Seen:
    """What a controller said of a commit that must not get healthy.

    failed_s: seconds from the push to its word failed. believed_s: how long it had called the commit healthy before,
    because KubeRay still showed the status of before. healthy_again: what it said later, if that was healthy.
    """

    failed_s: float
    message: str
    believed_s: float
    healthy_again: list[Verdict]


def watch(controller: Controller, commit: Commit) -> Seen:
    """Wait until the controller calls the commit failed, then look on: what must never be healthy stays failed."""
    believed: list[float] = []

    def look() -> Verdict:
        found = controller.verdict()
        if found.commit == commit.sha and found.healthy:
            believed.append(commit.seconds())
        return found

    failed = eventually(
        look,
        itself,
        lambda found: found.commit == commit.sha and found.failed,
        Timeout.MEDIUM,
        f"{controller.name} calls {commit.sha[:8]} failed",
        every=0.5,
    )
    at, again, end = commit.seconds(), [], time.monotonic() + WATCHED_S
    while time.monotonic() < end:
        if (later := controller.verdict()).healthy:
            again.append(later)
        time.sleep(1)
    return Seen(at, failed.message, round(at - believed[0], 1) if believed else 0.0, again)
