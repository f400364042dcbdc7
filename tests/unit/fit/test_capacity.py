"""Pods and their requests at each size, counted by hand."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity

from rayops.errors import RayopsError
from rayops.fit import GIB, Amount, capacity, pod_amount, surge_of
from rayops.fit.amounts import quantity
from tests.unit.fit.objects import Obj, cluster, group, pod, service


def test_each_size_of_a_service() -> None:
    found = capacity(service(group(start=2, most=5)))
    assert [found.pods(at) for at in ("min", "start", "max", "surge")] == [2, 3, 6, 12]
    assert found.minimum == Amount(2, 4 * GIB, 0)
    assert found.most == Amount(6, 12 * GIB, 0)
    assert found.surge == found.most.times(2)


def test_the_autoscaler_is_beside_the_head_with_kuberays_size_or_its_own() -> None:
    alone = capacity(service(enableInTreeAutoscaling=True)).group("head")
    assert alone.pod == Amount(1.5, 2.5 * GIB, 0)
    own = {"resources": {"requests": {"cpu": "100m", "memory": "1Gi"}}}
    assert capacity(service(enableInTreeAutoscaling=True, autoscalerOptions=own)).group("head").pod.cpus == 1.1


def test_the_hosts_of_a_replica_are_pods() -> None:
    gpus = group("tp", 1, 2, numOfHosts=4, template=pod(**{"nvidia.com_gpu": "8"}))
    found = capacity(service(gpus)).group("tp")
    assert (found.counts, found.amount("max").gpus) == ((4, 4, 8, 16), 64)


def test_kuberays_init_container_counts_where_it_asks_more_than_the_worker() -> None:
    small = capacity(service(group(template=pod(cpu="100m", memory="1Gi")))).group("cpu").pod
    assert small == Amount(0.2, GIB, 0)
    own = pod(cpu="100m", memory="1Gi")
    own["spec"]["initContainers"] = [{"name": "wait-gcs", "resources": {}}]
    assert capacity(service(group(template=own))).group("cpu").pod == Amount(0.1, GIB, 0)


def test_replicas_stay_within_their_bounds_as_kuberay_counts_them() -> None:
    assert capacity(service(group(start=9, most=4))).group("cpu").counts == (1, 4, 4, 8)
    assert capacity(service(group(start=0, fewest=2))).group("cpu").counts == (2, 2, 3, 6)
    assert capacity(service(group(suspend=True))).group("cpu").counts == (0, 0, 0, 0)
    endless = capacity(service(group(start=2, most=None))).group("cpu")
    assert (endless.bounded, endless.pods("max")) == (False, 2)


@pytest.mark.parametrize(("percent", "most"), [(50, 15), (10, 11), (None, 20), (0, 11)])
def test_an_incremental_upgrade_brings_a_part_of_the_second_clusters_workers(percent: int | None, most: int) -> None:
    """And its minReplicas at once: 1."""
    options = {} if percent is None else {"maxSurgePercent": percent}
    strategy = {"type": "NewClusterWithIncrementalUpgrade", "clusterUpgradeOptions": options}
    found = capacity(service(group(most=10), strategy=strategy))
    assert (found.group("cpu").pods("surge"), found.group("head").pods("surge")) == (most, 2)


def test_no_second_cluster() -> None:
    assert capacity(service(group(), strategy={"type": "None"})).surge == capacity(service(group())).most
    job = {"kind": "RayJob", "metadata": {"name": "j"}, "spec": {"rayClusterSpec": cluster(group(most=3))}}
    found = capacity(job)
    assert found.surge == found.most == Amount(4.5, 8 * GIB + 200 * 2**20, 0)
    assert "submitter" not in [each.name for each in capacity(_with(job, submissionMode="HTTPMode")).groups]
    assert capacity(_with(job, submissionMode="SidecarMode")).group("head").pod.cpus == 1.5


def _with(job: Obj, **more: object) -> Obj:
    return {**job, "spec": {**job["spec"], **more}}


def test_the_job_that_empties_redis_comes_with_the_upgrade() -> None:
    found = capacity(service(group(), gcsFaultToleranceOptions={"redisAddress": "redis:6379"}))
    assert found.group("redis-cleanup").counts == (0, 0, 0, 1)
    assert found.surge == found.most.times(2) + Amount(0.2, 256 * 2**20, 0)
    assert found.requests("surge")["pods"] == 9


def test_the_peak_from_one_version_to_the_next() -> None:
    old, new = service(group(most=10)), service(group(most=4))
    assert surge_of(old, new) == capacity(old).most + capacity(new).most
    assert surge_of(old, service(group(most=4), strategy={"type": "None"})) == capacity(old).most


def test_init_containers_and_sidecars_as_the_scheduler_counts_them() -> None:
    def container(cpu: str, **more: str) -> Obj:
        return {"resources": {"requests": {"cpu": cpu}}, **more}

    template: Obj = {"spec": {"containers": [container("1"), container("2")], "initContainers": [container("5")]}}
    assert pod_amount(template).cpus == 5
    template["spec"]["initContainers"] = [container("1", restartPolicy="Always"), container("3")]
    assert pod_amount(template).cpus == 4
    template["spec"]["overhead"] = {"cpu": "500m"}
    assert pod_amount(template).cpus == 4.5


def test_other_kinds_take_nothing_and_bad_numbers_are_named() -> None:
    assert capacity({"kind": "Service", "metadata": {"name": "x"}}).most == Amount()
    with pytest.raises(RayopsError, match=r"^RayService n/s: group cpu: resources: .*lots"):
        capacity(service(group(template=pod(cpu="lots"))))
    with pytest.raises(RayopsError, match=r"RayService n/s: worker group cpu: maxReplicas: '3' is no whole number"):
        capacity(service(group(most="3")))  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,3})?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?", fullmatch=True))
def test_quantities_are_those_of_kubernetes(text: str) -> None:
    assert quantity(text) == pytest.approx(float(parse_quantity(text)), rel=1e-12)


@pytest.mark.parametrize("value", ["", "Gi", "1Kib", "2 Gi", "one", "1k1", True, [], "0x10"])
def test_what_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(value)
