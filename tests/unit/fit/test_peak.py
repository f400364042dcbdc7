"""Quota and nodes at the peak of an upgrade, by hand."""

from typing import Any

import pytest

from rayops.fit import Prices, capacity
from rayops.fit.peak import asked, nodes, shortfalls
from tests.unit.fit.objects import Obj, group, pod, service


def quota(namespace: str = "n", **hard: Any) -> Obj:
    named = {name.replace("_", "."): value for name, value in hard.items()}
    return {"kind": "ResourceQuota", "metadata": {"name": "q", "namespace": namespace}, "spec": {"hard": named}}


def beside(kind: str, **spec: Any) -> Obj:
    made = {"template": pod(cpu="1", memory="1Gi"), **spec}
    return {"kind": kind, "metadata": {"name": "x", "namespace": "n"}, "spec": made}


def test_two_clusters_and_what_stands_beside_them() -> None:
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "n"}, "spec": {}}
    redis = beside("StatefulSet", replicas=2, volumeClaimTemplates=[{}])
    found = asked([service(group(most=3)), redis, claim, beside("Job")])
    assert found == {"cpu": 11, "memory": 19 * 2**30, "pods": 11, "persistentvolumeclaims": 3}


@pytest.mark.parametrize(
    ("spec", "pods"),
    [
        ({}, 2),
        ({"replicas": 4}, 5),
        ({"replicas": 4, "strategy": {"type": "Recreate"}}, 4),
        ({"replicas": 4, "strategy": {"rollingUpdate": {"maxSurge": 2}}}, 6),
        ({"replicas": 0}, 0),
    ],
)
def test_a_deployment_has_a_surge_of_its_own(spec: Obj, pods: int) -> None:
    assert asked([beside("Deployment", **spec)])["pods"] == pods


def test_a_quota_counts_by_any_of_its_names() -> None:
    made = service(group(most=3, template=pod(**{"nvidia.com_gpu": "1"})))
    listed: tuple[dict[str, Any], ...] = (
        {"cpu": 7},
        {"requests_cpu": "7"},
        {"count/pods": "7"},
        {"requests.nvidia.com/gpu": 5},
    )
    for hard in listed:
        (found,) = shortfalls([made, quota(**hard)])
        assert found.there < found.needed, hard
    more: dict[str, Any] = {"requests.nvidia.com/gpu": 6, "limits.cpu": "1", "services": "0"}
    enough = quota(cpu=8, pods="8", memory="16Gi", **more)
    assert not list(shortfalls([made, enough]))
    assert not list(shortfalls([made, quota("elsewhere", cpu=1)]))
    part = quota(pods="1")
    part["spec"]["scopes"] = ["BestEffort"]
    assert not list(shortfalls([made, part]))


POOLS: Obj = {
    "currency": "EUR",
    "date": "2026-01-01",
    "source": "a test",
    "pools": [
        {"name": "plain", "allocatable": {"cpu": 4, "memory": "16Gi", "pods": 3}, "price_per_hour": 1, "maximum": 4}
    ],
}


def test_nodes_of_the_peak() -> None:
    prices = Prices.model_validate(POOLS)
    found = nodes([capacity(service(group(most=5)))], prices)
    assert (found.ok, found.used, found.waiting, found.homeless) == (True, {"plain": 4}, {}, ())
    more = nodes([capacity(service(group(most=6)))], prices)
    assert (more.ok, sum(more.waiting.values())) == (False, 2)
    assert nodes([capacity(service(group(most=6)))], prices, "max").ok
    big = nodes([capacity(service(group(template=pod(cpu="5"))))], prices)
    assert (big.ok, big.homeless) == (False, ("RayService n/s/cpu",))
