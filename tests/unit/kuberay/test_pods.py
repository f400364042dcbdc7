"""The pods of the operator's own code, and what its settings change; tests/e2e/test_47_pods.py: live ones are equal."""

import pytest

from rayops import kuberay
from rayops.kuberay import Operator
from rayops.render import Obj
from tests.unit.kuberay.objects import Edit, cluster, drop, job, put, service


def pods(obj: Obj, operator: Operator | None = None) -> tuple[Obj, ...]:
    (answer,) = kuberay.ask([obj], operator=operator)
    assert answer.problems == ()
    return answer.pods


def env(container: Obj) -> Obj:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env") or []}


def first(pod: Obj) -> Obj:
    found: Obj = pod["spec"]["containers"][0]
    return found


def test_head_then_each_group() -> None:
    names = [pod["metadata"]["name"] for pod in pods(service())]
    assert names == ["demo-xxxxx-head", "demo-xxxxx-cpu-worker", "demo-xxxxx-gpu-worker"]


def test_a_cluster_of_its_own_has_its_own_name() -> None:
    names = [pod["metadata"]["name"] for pod in pods(cluster())]
    assert names == ["demo-head", "demo-cpu-worker", "demo-gpu-worker"]


def test_without_a_namespace_it_is_the_one_that_kubectl_takes() -> None:
    _, worker, _ = pods(cluster(drop("/metadata/namespace")))
    assert worker["metadata"]["namespace"] == "default"
    assert env(first(worker))["FQ_RAY_IP"] == "demo-head-svc.default.svc.cluster.local"


def test_all_hosts_of_one_replica() -> None:
    found = pods(cluster(put("workerGroupSpecs/0/numOfHosts", 4), put("workerGroupSpecs/0/maxReplicas", 9)))
    hosts = [pod["metadata"]["labels"].get("ray.io/replica-host-index") for pod in found]
    assert hosts == [None, "0", "1", "2", "3", None]
    assert len({pod["metadata"]["labels"].get("ray.io/worker-group-replica-name") for pod in found[1:5]}) == 1


@pytest.mark.parametrize(
    "edit",
    [
        put("workerGroupSpecs/0/replicas", 0),
        put("workerGroupSpecs/0/minReplicas", 0),
        put("suspend", True),
        put("workerGroupSpecs/0/suspend", True),
    ],
)
def test_groups_without_pods_show_what_they_would_be(edit: Edit) -> None:
    assert len(pods(cluster(edit))) == 3


def test_the_same_question_has_the_same_answer() -> None:
    multi_host = cluster(put("workerGroupSpecs/0/numOfHosts", 2), put("rayVersion", "2.60.1"))
    assert pods(multi_host, Operator({"A": "1"})) == pods(multi_host, Operator({"A": "2"}))


def test_the_schemas_defaults_are_in() -> None:
    port = put("headGroupSpec/template/spec/containers/0/ports", [{"containerPort": 6379, "name": "gcs-server"}])
    head, *_ = pods(cluster(port))
    assert first(head)["ports"][0]["protocol"] == "TCP"


def test_the_autoscaler_is_a_container_of_the_head() -> None:
    scaled = put("enableInTreeAutoscaling", True)
    head, *workers = pods(cluster(scaled))
    assert [each["name"] for each in head["spec"]["containers"]] == ["ray-head", "autoscaler"]
    assert all(len(worker["spec"]["containers"]) == 1 for worker in workers)
    assert head["spec"]["serviceAccountName"] == "demo"


def test_redis_is_in_the_heads_environment() -> None:
    options = {
        "redisAddress": "redis:6379",
        "redisPassword": {"valueFrom": {"secretKeyRef": {"name": "r", "key": "p"}}},
    }
    head, worker, _ = pods(cluster(put("gcsFaultToleranceOptions", options)))
    assert env(first(head))["RAY_REDIS_ADDRESS"] == "redis:6379"
    assert env(first(head))["REDIS_PASSWORD"] == {"secretKeyRef": {"name": "r", "key": "p"}}
    assert "RAY_REDIS_ADDRESS" not in env(first(worker))


def test_a_service_probes_the_proxy_of_workers_and_a_cluster_does_not() -> None:
    for made, path in ((service(), True), (cluster(), False)):
        probe = str(first(pods(made)[1])["readinessProbe"])
        assert ("/-/healthz" in probe) is path, probe


def test_the_submitter_of_a_job_in_sidecar_mode_is_in_the_head() -> None:
    head, *_ = pods(job(put("/spec/submissionMode", "SidecarMode")))
    assert [each["name"] for each in head["spec"]["containers"]] == ["ray-head", "ray-job-submitter"]


def test_the_operators_environment_counts() -> None:
    injected = pods(cluster(), Operator())[1]["spec"].get("initContainers")
    assert [each["name"] for each in injected or []] == ["wait-gcs-ready"]
    assert "initContainers" not in pods(cluster(), Operator({"ENABLE_INIT_CONTAINER_INJECTION": "false"}))[1]["spec"]


def test_names_that_kubeRay_shortens_do_not_spoil_the_answer() -> None:  # noqa: N802
    """It prints to stdout when it does, where the answers go."""
    long = put("workerGroupSpecs/0/groupName", "g" * 40), put("/metadata/name", "a" * 47)
    head, worker, _ = pods(service(*long, put("enableInTreeAutoscaling", True)))
    assert head["metadata"]["name"] == "a" * 47 + "-xx-head"
    assert len(worker["metadata"]["name"]) < 63


def test_an_external_controller_gets_no_pods() -> None:
    (answer,) = kuberay.ask([cluster(put("/spec/managedBy", "kueue.x-k8s.io/multikueue"))])
    assert (answer.problems, answer.pods) == ((), ())
