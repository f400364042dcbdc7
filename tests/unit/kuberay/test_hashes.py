"""The hash by which KubeRay decides about a new cluster: what changes it, and what does not."""

import pytest

from rayops import kuberay
from rayops.render import Obj
from tests.unit.kuberay.objects import Edit, cluster, drop, group, job, put, service

HEAD, WORKER = "headGroupSpec/template/spec", "workerGroupSpecs/0/template/spec"
GATE, TOLERATION = [{"name": "example.com/gate"}], [{"key": "gpu", "operator": "Exists"}]


def hash_of(obj: Obj) -> str:
    (answer,) = kuberay.ask([obj])
    assert answer.hash
    return answer.hash


MUTED: dict[str, Edit] = {
    "replicas": put("workerGroupSpecs/0/replicas", 7),
    "no-replicas": drop("workerGroupSpecs/0/replicas"),
    "min-replicas": put("workerGroupSpecs/1/minReplicas", 0),
    "max-replicas": put("workerGroupSpecs/0/maxReplicas", 70),
    "workers-to-delete": put("workerGroupSpecs/0/scaleStrategy", {"workersToDelete": ["demo-cpu-worker-abcde"]}),
    "tolerations-of-the-head": put(f"{HEAD}/tolerations", TOLERATION),
    "tolerations-of-workers": put(f"{WORKER}/tolerations", TOLERATION),
    "gates-of-the-head": put(f"{HEAD}/schedulingGates", GATE),
    "gates-of-workers": put(f"{WORKER}/schedulingGates", GATE),
    "upgrade-strategy": put("/spec/upgradeStrategy", {"type": "None"}),
    "serve-config": put("/spec/serveConfigV2", "applications: []"),
    "labels-of-the-service": put("/metadata/labels", {"a": "b"}),
    "quantity-written-otherwise": put(f"{WORKER}/containers/0/resources/limits/cpu", "1000m"),
    "quantity-as-a-number": put(f"{WORKER}/containers/0/resources/limits/cpu", 1),
    "memory-written-otherwise": put(f"{WORKER}/containers/0/resources/limits/memory", "2048Mi"),
    "a-default-written-out": put("workerGroupSpecs/0/numOfHosts", 1),
    "a-null": put(f"{WORKER}/nodeSelector", None),
    "an-empty-map": put(f"{WORKER}/nodeSelector", {}),
}
COUNTED: dict[str, Edit] = {
    "image": put(f"{WORKER}/containers/0/image", "ray:2.61.0"),
    "env": put(f"{HEAD}/containers/0/env", [{"name": "A", "value": "1"}]),
    "order-of-env": put(f"{HEAD}/containers/0/env", [{"name": "B", "value": "1"}, {"name": "A", "value": "1"}]),
    "memory": put(f"{WORKER}/containers/0/resources/limits/memory", "2G"),
    "ray-start-params": put("headGroupSpec/rayStartParams", {"num-cpus": "0"}),
    "label-of-a-template": put("workerGroupSpecs/0/template/metadata", {"labels": {"a": "b"}}),
    "suspended-group": put("workerGroupSpecs/0/suspend", True),
    "idle-timeout": put("autoscalerOptions", {"idleTimeoutSeconds": 30}),
    "ray-version": put("rayVersion", "2.59.0"),
    "node-selector": put(f"{WORKER}/nodeSelector", {"zone": "a"}),
    "name-of-a-group": put("workerGroupSpecs/0/groupName", "cpus"),
}


@pytest.mark.parametrize("change", MUTED)
def test_a_change_that_kuberay_does_not_see(change: str) -> None:
    assert hash_of(service(MUTED[change])) == hash_of(service())


@pytest.mark.parametrize("change", COUNTED)
def test_a_change_that_makes_a_new_cluster(change: str) -> None:
    assert hash_of(service(COUNTED[change])) != hash_of(service())


def test_each_change_has_its_own_hash() -> None:
    assert len({hash_of(service(edit)) for edit in COUNTED.values()}) == len(COUNTED)


def test_the_order_of_groups_counts() -> None:
    turned = service(put("workerGroupSpecs", [group("gpu"), group("cpu")]))
    assert hash_of(turned) != hash_of(service())


def test_the_order_of_environment_variables_counts() -> None:
    pair = [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]
    straight, turned = (service(put(f"{HEAD}/containers/0/env", env)) for env in (pair, pair[::-1]))
    assert hash_of(straight) != hash_of(turned)


def test_service_cluster_and_job_hash_the_same_spec_alike() -> None:
    assert len({hash_of(obj) for obj in (service(), cluster(), job())}) == 1


def test_prefix_hashes_tell_an_appended_group() -> None:
    before, after = kuberay.ask([service(), service(lambda obj: _groups(obj).append(group("more")))])
    assert [len(answer.prefix_hashes) for answer in (before, after)] == [3, 4]
    assert before.prefix_hashes[-1] == before.hash != after.hash == after.prefix_hashes[-1]
    # KubeRay compares the new spec's first n groups with the n that the live cluster was made of.
    assert after.prefix_hashes[:3] == before.prefix_hashes


def test_prefix_hashes_tell_an_inserted_group_from_an_appended_one() -> None:
    before, after = kuberay.ask([service(), service(lambda obj: _groups(obj).insert(0, group("more")))])
    assert after.prefix_hashes[2] != before.hash


def test_a_job_that_selects_a_cluster_has_no_hash() -> None:
    (answer,) = kuberay.ask([job(drop("/spec/rayClusterSpec"), put("/spec/clusterSelector", {"ray.io/cluster": "a"}))])
    assert (answer.problems, answer.hash, answer.prefix_hashes, answer.pods) == ((), "", (), ())


def _groups(obj: Obj) -> list[Obj]:
    groups: list[Obj] = obj["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    return groups
