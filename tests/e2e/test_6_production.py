"""Staging and prod run on kind as they are: by digest from a registry, behind their policies, with their guards.

Sizes alone are scaled down, by tests/e2e/scaled-down. tests/harness/platform.py stands in for a company's platform.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rayops.kube import Kube, Timeout, dig, eventually
from rayops.kube.objects import (
    CLUSTER_LABEL,
    NODE_TYPE_LABEL,
    POD,
    POD_DISRUPTION_BUDGET,
    Kind,
    kind_of,
    labels_of,
    name_of,
)
from rayops.kube.wait import itself
from rayops.pipeline import first_answer
from rayops.render import name_of as title
from rayops.render import render
from tests.e2e import production
from tests.harness import Cluster, differences, faults, getters, namespaces, selectors
from tests.harness.evidence import Live
from tests.harness.helpers import NEXT_IMAGE, helper_pod, run_pods
from tests.harness.overlay import image
from tests.harness.platform import reachable
from tests.harness.registry import ClusterRegistry

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
QUOTA = Kind("v1", "ResourceQuota")
SECRET = Kind("v1", "Secret")
WARM_S = 15.0


@pytest.fixture(scope="module")
def registry(cluster: Cluster, kube: Kube) -> Iterator[ClusterRegistry]:
    """What the nodes ask in the place of registry.example.com."""
    if not cluster.ours:
        pytest.skip("the nodes of a cluster that is not ours get no registry")
    with ClusterRegistry(production.own(cluster).kind, production.REGISTRY) as found:
        yield found


@pytest.fixture(scope="module")
def tree(registry: ClusterRegistry, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The overlays with the digests that the images have in the registry."""
    return production.working_tree(tmp_path_factory.mktemp("tree"), production.push_images(registry))


@pytest.fixture(scope="module", params=["rag", "text-analysis"])
def service(
    request: pytest.FixtureRequest, cluster: Cluster, kube: Kube, live: Live, tree: Path
) -> Iterator[production.Fronted]:
    """Staging's overlay, healthy."""
    objects = production.scaled_down(tree, "staging", request.param)
    with production.running(
        cluster, kube, objects, render(tree / "overlays/staging/platform"), live.namespaces
    ) as found:
        yield found


def test_staging_answers_and_is_as_git_says(
    service: production.Fronted, kube: Kube, record: Callable[..., None]
) -> None:
    answer = first_answer(service.name, service.url)
    assert answer.body
    record(answer_ms=round(answer.milliseconds, 1))
    assert not drift(service, kube)


def test_every_pod_runs_a_digest_of_the_registry(service: production.Fronted, kube: Kube) -> None:
    """The node has it under the registry's name, which nothing but a pull from there gives it."""
    pods = kube.list(POD, service.namespace)
    containers = [
        each for pod in pods for field in ("initContainers", "containers") for each in pod["spec"].get(field, [])
    ]
    assert len(pods) >= 4, "head, two workers, Redis"
    kind = production.own(service.cluster).kind
    for name in {container["image"] for container in containers}:
        assert name.startswith(f"{production.REGISTRY}/ray/")
        assert "@sha256:" in name
        assert kind.has_image(name)
    assert {labels_of(pod).get("environment") for pod in pods} == {"staging"}


def test_two_workers_a_budget_and_a_quota_guard_it(
    service: production.Fronted, kube: Kube, record: Callable[..., None]
) -> None:
    assert selectors.ready_pods(service.group("cpu")()) >= 2
    (budget,) = (b for b in kube.list(POD_DISRUPTION_BUDGET, service.namespace) if name_of(b) == service.name)
    assert dig(budget, "status", "disruptionsAllowed", default=0) >= 1
    assert dig(budget, "status", "desiredHealthy") >= 1
    (quota,) = kube.list(QUOTA, service.namespace)
    assert set(quota["status"]["used"]) == set(quota["spec"]["hard"])
    record(quota_used=quota["status"]["used"])


def test_only_the_edges_that_ray_needs_are_open(service: production.Fronted, kube: Kube) -> None:
    pods = {labels_of(pod).get(NODE_TYPE_LABEL, name_of(pod)): pod for pod in kube.list(POD, service.namespace)}
    head, worker, redis = (dig(pods[key], "status", "podIP") for key in ("head", "worker", "gcs-redis-0"))
    doors = [f"{head}:{port}" for port in (6379, 8265, 10001, 52365, 8080)]
    doors += [f"{worker}:{port}" for port in (8000, 52365, 8080)] + [f"{redis}:6379"]
    stranger = namespaces.new_name("stranger")
    namespaces.create(kube, stranger)
    try:
        run_pods(kube, stranger, helper_pod("stranger", ["sleep", "600"]))
        assert reachable(kube, stranger, "stranger", doors) == set()
        assert reachable(kube, service.front, "way-in", doors) == {f"{worker}:8000"}
    finally:
        kube.delete(Kind("v1", "Namespace"), stranger)


def test_the_dashboard_asks_for_the_token(service: production.Fronted, kube: Kube) -> None:
    head = name_of(getters.head_pod(kube, service.namespace, service.active()))
    ask = (
        "import os, sys, urllib.error, urllib.request as u\n"
        "for headers in ({}, {'Authorization': 'Bearer ' + os.environ['RAY_AUTH_TOKEN']}):\n"
        "    try: print(u.urlopen(u.Request('http://127.0.0.1:8265/api/version', headers=headers)).status)\n"
        "    except urllib.error.HTTPError as error: print(error.code)\n"
    )
    done = kube.exec(service.namespace, head, ["python", "-c", ask])
    assert done.stdout.split() == ["401", "200"], done


def test_a_lost_head_costs_no_worker(
    service: production.Fronted, kube: Kube, folder: Path, record: Callable[..., None]
) -> None:
    """With the cluster's state in Redis the workers go on serving, and the new head takes them over."""
    workers = selectors.uids(service.group("cpu")())
    heads = getters.pods(kube, service.namespace, {NODE_TYPE_LABEL: "head", CLUSTER_LABEL: service.active()})
    (head,) = heads()
    with service.sample_load(folder / "load.jsonl") as load:
        # Before its first call of another a replica asks GCS, which the head takes along. As in life, they have called.
        eventually(load.now, itself, lambda seconds: seconds > WARM_S, Timeout.SHORT, f"{WARM_S:.0f} s of load")
        faults.kill_pod(kube, head)
        eventually(
            heads,
            lambda pods: (selectors.uids(pods).isdisjoint(selectors.uids([head])), selectors.ready_pods(pods)),
            lambda seen: seen == (True, 1),
            Timeout.MEDIUM,
            "another head is ready",
        )
        service.wait_healthy(Timeout.MEDIUM)
    record(**load.summary().as_dict())
    assert selectors.uids(service.group("cpu")()) == workers
    assert load.summary().failures <= 0.1 * load.summary().sent, load.summary()


def test_an_upgrade_fits_the_quota_and_fails_no_request(
    service: production.Fronted, registry: ClusterRegistry, folder: Path, record: Callable[..., None]
) -> None:
    """Another cluster beside the first, then the traffic, then the first one goes.

    Four workers on two CPUs answer late while two of them start: that is this node's doing. None may be lost.
    """
    if service.name != "rag":
        pytest.skip("four workers and their four successors are more than two CPUs start while they answer")
    before = service.cluster_uids()
    digest = registry.push(NEXT_IMAGE, "ray/pipeline")
    with service.sample_load(folder / "load.jsonl", timeout_s=20) as load:
        service.change(image(f"{registry.host}/ray/pipeline@{digest}"))
        service.wait_healthy()
        service.wait_single_cluster()
    record(**load.summary().as_dict())
    assert service.cluster_uids().isdisjoint(before)
    assert load.summary().failures == 0, load.summary()


def test_deletion_leaves_nothing_in_redis(service: production.Fronted, kube: Kube, record: Callable[..., None]) -> None:
    keys = ["redis-cli", "dbsize"]  # REDISCLI_AUTH stands in the container
    before = kube.exec(service.namespace, "gcs-redis-0", keys).stdout.strip()
    production.delete_service(kube, service.namespace, service.name)
    after = kube.exec(service.namespace, "gcs-redis-0", keys).stdout.strip()
    record(keys_before=before, keys_after=after)
    assert int(before) > 0
    assert int(after) == 0


def test_prod_is_the_same_with_bigger_numbers(
    service: production.Fronted, kube: Kube, tree: Path, record: Callable[..., None]
) -> None:
    """Prod's overlay in the place of staging's, whose RayService is gone: two whole clusters are much for two CPUs."""
    began = time.monotonic()
    kube.apply(render(tree / "overlays/prod/platform"))
    service.apply(production.scaled_down(tree, "prod", service.name))
    service.wait_healthy()
    record(seconds=round(time.monotonic() - began, 1))
    assert not drift(service, kube)
    pods = kube.list(POD, service.namespace, labels={CLUSTER_LABEL: service.active()})
    assert len(pods) >= 4, "head and three workers"
    assert {labels_of(pod).get("environment") for pod in pods} == {"prod"}
    assert first_answer(service.name, service.url).body


def drift(service: production.Fronted, kube: Kube) -> dict[str, Any]:
    """What the live objects have otherwise than the overlay says."""
    wrong = {}
    for wanted in service.objects:
        live = kube.get(kind_of(wanted), wanted["metadata"]["name"], wanted["metadata"].get("namespace"))
        if lines := differences(wanted, live):
            wrong[title(wanted)] = lines
    return wrong
