"""KubeRay's own validation, each family by what it takes and what it refuses."""

from dataclasses import dataclass

import pytest

from rayops import kuberay
from rayops.kuberay import Operator
from rayops.render import Obj
from tests.unit.kuberay.objects import Edit, cluster, drop, job, put, service

HEAD, WORKER = "headGroupSpec/template/spec", "workerGroupSpecs/0/template/spec"
HEAD_ENV = f"{HEAD}/containers/0/env"
REDIS = put("gcsFaultToleranceOptions", {"redisAddress": "redis:6379"})
SCALED = put("enableInTreeAutoscaling", True)
TIMEOUT = "/metadata/annotations"
MAKERS = {"service": service, "cluster": cluster, "job": job}


@dataclass(frozen=True)
class Case:
    """said: part of what KubeRay says, "" where it takes the object; by: service, cluster, job."""

    said: str
    edits: tuple[Edit, ...]
    by: str = "service"


def case(said: str, *edits: Edit, by: str = "service") -> Case:
    return Case(said, edits, by)


def timeout(value: str) -> Edit:
    return put(TIMEOUT, {"ray.io/initializing-timeout": value})


def env(name: str, value: str = "x") -> Edit:
    return put(HEAD_ENV, [{"name": name, "value": value}])


CASES = {
    "as-it-is": case(""),
    "cluster-as-it-is": case("", by="cluster"),
    "job-as-it-is": case("", by="job"),
    # Names
    "name-of-47": case("", put("/metadata/name", "a" * 47)),
    "name-of-48": case("no more than 47 characters", put("/metadata/name", "a" * 48)),
    "cluster-name-of-53": case("", put("/metadata/name", "a" * 53), by="cluster"),
    "cluster-name-of-54": case("no more than 53 characters", put("/metadata/name", "a" * 54), by="cluster"),
    "job-name-of-47": case("", put("/metadata/name", "a" * 47), by="job"),
    "job-name-of-48": case("no more than 47 characters", put("/metadata/name", "a" * 48), by="job"),
    "name-with-a-digit-first": case("DNS1035", put("/metadata/name", "1st")),
    "name-with-a-dot": case("DNS1035", put("/metadata/name", "a.b")),
    # The time-out of the first start
    "timeout-duration": case("", timeout("30m")),
    "timeout-seconds": case("", timeout("600")),
    "timeout-text": case("has invalid format: soon", timeout("soon")),
    "timeout-zero": case("must be a positive", timeout("0s")),
    "timeout-negative": case("must be a positive", timeout("-5")),
    # The head's Service
    "head-service": case("", put("headGroupSpec/headService", {"spec": {"type": "ClusterIP"}})),
    "head-service-labels": case("", put("headGroupSpec/headService", {"metadata": {"labels": {"a": "b"}}})),
    "head-service-name": case(
        "headService.metadata.name", put("headGroupSpec/headService", {"metadata": {"name": "h"}})
    ),
    "head-service-name-2": case(
        "should not be set", put("headGroupSpec/headService", {"metadata": {"name": "h", "labels": {"a": "b"}}})
    ),
    # How it is upgraded
    "upgrade-none": case("", put("/spec/upgradeStrategy", {"type": "None"})),
    "upgrade-new-cluster": case("", put("/spec/upgradeStrategy", {"type": "NewCluster"})),
    "upgrade-unknown": case("value Rolling is invalid", put("/spec/upgradeStrategy", {"type": "Rolling"})),
    "upgrade-of-a-cluster": case("value Recreate is invalid", put("/spec/upgradeStrategy", {"type": "Recreate"})),
    "cluster-recreate": case("", put("/spec/upgradeStrategy", {"type": "Recreate"}), by="cluster"),
    "cluster-new": case(
        'Unsupported value: "NewCluster"', put("/spec/upgradeStrategy", {"type": "NewCluster"}), by="cluster"
    ),
    "child-with-an-upgrade": case("created by RayService", put("upgradeStrategy", {"type": "Recreate"})),
    "child-of-a-job-with-an-upgrade": case("created by RayJob", put("upgradeStrategy", {"type": "None"}), by="job"),
    "deletion-delay": case("", put("/spec/rayClusterDeletionDelaySeconds", 0)),
    "deletion-delay-negative": case("greater than or equal to 0", put("/spec/rayClusterDeletionDelaySeconds", -1)),
    # Containers and replicas
    "head-without-containers": case("headGroupSpec should have at least one", put(f"{HEAD}/containers", [])),
    "group-without-containers": case("workerGroupSpec should have at least one", put(f"{WORKER}/containers", [])),
    "min-over-max": case("minReplicas 3 greater than maxReplicas 2", put("workerGroupSpecs/0/minReplicas", 3)),
    "negative-min": case("negative minReplicas -1", put("workerGroupSpecs/0/minReplicas", -1)),
    "negative-max": case("negative maxReplicas -1", put("workerGroupSpecs/0/maxReplicas", -1)),
    # Ray's resources and labels
    "resources-once": case("", put("workerGroupSpecs/0/resources", {"CPU": "2"})),
    "resources-twice": case(
        "both rayStartParams and Resources for cpu",
        put("workerGroupSpecs/0/resources", {"CPU": "2"}),
        put("workerGroupSpecs/0/rayStartParams", {"num-cpus": "2"}),
    ),
    "resources-twice-in-the-head": case(
        "both rayStartParams and Resources for Head",
        put("headGroupSpec/resources", {"CPU": "2"}),
        put("headGroupSpec/rayStartParams", {"memory": "2"}),
    ),
    "ray-labels": case("", put("workerGroupSpecs/0/labels", {"zone": "a"})),
    "ray-labels-as-params": case("['labels'] is not supported", put("headGroupSpec/rayStartParams", {"labels": "a=b"})),
    "ray-label-no-label": case("invalid label value", put("workerGroupSpecs/0/labels", {"zone": "a b"})),
    # The autoscaler
    "autoscaler-v2": case("", SCALED, put("autoscalerOptions", {"version": "v2"})),
    "autoscaler-v2-idle": case(
        "", SCALED, put("autoscalerOptions", {"version": "v2"}), put("workerGroupSpecs/0/idleTimeoutSeconds", 60)
    ),
    "autoscaler-v1-idle": case(
        "autoscaler v2 is not enabled",
        SCALED,
        put("autoscalerOptions", {"version": "v1"}),
        put("workerGroupSpecs/0/idleTimeoutSeconds", 60),
    ),
    "autoscaler-none-idle": case("autoscaler v2 is not enabled", put("workerGroupSpecs/0/idleTimeoutSeconds", 60)),
    "idle-negative": case(
        "must be non-negative", SCALED, put("autoscalerOptions", {"version": "v2", "idleTimeoutSeconds": -1})
    ),
    "autoscaler-v2-restart": case(
        "should be Never or unset",
        SCALED,
        put("autoscalerOptions", {"version": "v2"}),
        put(f"{WORKER}/restartPolicy", "Always"),
    ),
    "autoscaler-v2-restart-head": case(
        "restartPolicy for head Pod",
        SCALED,
        put("autoscalerOptions", {"version": "v2"}),
        put(f"{HEAD}/restartPolicy", "OnFailure"),
    ),
    "autoscaler-v2-twice": case(
        "please only use the former",
        SCALED,
        put("autoscalerOptions", {"version": "v2"}),
        env("RAY_enable_autoscaler_v2", "1"),
    ),
    "autoscaler-v2-without": case("enableInTreeAutoscaling is false", env("RAY_enable_autoscaler_v2", "1")),
    "autoscaler-suspended-group": case("cannot be suspended", SCALED, put("workerGroupSpecs/0/suspend", True)),
    # Redis
    "redis": case("", REDIS),
    "redis-password": case(
        "",
        put("gcsFaultToleranceOptions", {"redisAddress": "r:1", "redisPassword": {"value": "x"}}),
    ),
    "redis-password-in-env": case("cannot set `REDIS_PASSWORD`", REDIS, env("REDIS_PASSWORD")),
    "redis-password-in-params": case(
        "cannot set `redis-password`", REDIS, put("headGroupSpec/rayStartParams", {"redis-password": "x"})
    ),
    "redis-address-twice": case("cannot set `RAY_REDIS_ADDRESS`", REDIS, env("RAY_REDIS_ADDRESS")),
    "redis-address-alone": case("implicitly enables GCS fault tolerance", env("RAY_REDIS_ADDRESS")),
    "redis-user": case("cannot set redis username", env("REDIS_USERNAME")),
    "redis-annotation": case("are both set", REDIS, put(TIMEOUT, {"ray.io/ft-enabled": "true"})),
    "redis-namespace-twice": case(
        "external-storage-namespace", REDIS, put(TIMEOUT, {"ray.io/external-storage-namespace": "n"})
    ),
    # Tokens
    "token": case("", put("authOptions", {"mode": "token"})),
    "token-old-ray": case(
        "minimum Ray version is 2.52.0", put("authOptions", {"mode": "token"}), put("rayVersion", "2.51.0")
    ),
    "token-no-version": case("RayVersion was not specified", put("authOptions", {"mode": "token"}), drop("rayVersion")),
    "token-of-kubernetes": case(
        "not supported for RayService", put("authOptions", {"mode": "token", "enableK8sTokenAuth": True})
    ),
    # Jobs
    "job-ttl": case("cannot have TTLSecondsAfterFinished", put("/spec/ttlSecondsAfterFinished", 5), by="job"),
    "job-suspended": case("not allowed to be suspended", put("/spec/suspend", True), by="job"),
    "job-without-a-cluster": case("one of RayClusterSpec or ClusterSelector", drop("/spec/rayClusterSpec"), by="job"),
    "job-retries-interactive": case(
        "incompatible with InteractiveMode",
        put("/spec/submissionMode", "InteractiveMode"),
        put("/spec/backoffLimit", 1),
        by="job",
    ),
    "job-deadline": case("activeDeadlineSeconds must be a positive", put("/spec/activeDeadlineSeconds", 0), by="job"),
    "job-runtime-env": case("unmarshal RuntimeEnvYAML", put("/spec/runtimeEnvYAML", "a: b: c"), by="job"),
    "job-sidecar": case("", put("/spec/submissionMode", "SidecarMode"), by="job"),
    "job-sidecar-template": case(
        "doesn't support SubmitterPodTemplate",
        put("/spec/submissionMode", "SidecarMode"),
        put("/spec/submitterPodTemplate", {"spec": {"containers": [{"name": "s"}]}}),
        by="job",
    ),
}


def answer_of(each: Case, operator: Operator | None = None) -> kuberay.Answer:
    (answer,) = kuberay.ask([MAKERS[each.by](*each.edits)], operator=operator)
    return answer


@pytest.mark.parametrize("name", [name for name, each in CASES.items() if not each.said])
def test_taken(name: str) -> None:
    answer = answer_of(CASES[name])
    assert answer.problems == ()
    assert answer.pods


@pytest.mark.parametrize("name", [name for name, each in CASES.items() if each.said])
def test_refused(name: str) -> None:
    answer = answer_of(CASES[name])
    assert any(CASES[name].said in problem for problem in answer.problems), answer.problems
    assert not answer.pods


@pytest.mark.parametrize(
    ("name", "admitted"), [("cluster-new", False), ("deletion-delay-negative", False), ("name-of-48", True)]
)
def test_who_refuses_it(name: str, admitted: bool) -> None:
    assert answer_of(CASES[name]).admitted is admitted


def test_problems_of_name_and_spec_come_together() -> None:
    (answer,) = kuberay.ask([service(put("/metadata/name", "a" * 48), put("workerGroupSpecs/0/minReplicas", 3))])
    assert len(answer.problems) == 2


GATED = Operator(gates="RayServiceIncrementalUpgrade=true")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (None, "ClusterUpgradeOptions are required"),
        ({"stepSizePercent": 10, "intervalSeconds": 5, "gatewayClassName": "g"}, ""),
        ({"stepSizePercent": 101, "intervalSeconds": 5, "gatewayClassName": "g"}, "stepSizePercent must be between"),
        ({"stepSizePercent": 10, "intervalSeconds": 0, "gatewayClassName": "g"}, "intervalSeconds must be greater"),
    ],
)
def test_the_gate_of_incremental_upgrades_is_the_operators(options: Obj | None, said: str) -> None:
    strategy = {"type": "NewClusterWithIncrementalUpgrade"} | ({"clusterUpgradeOptions": options} if options else {})
    obj = service(SCALED, put("/spec/upgradeStrategy", strategy))
    closed, opened = kuberay.ask([obj], operator=Operator())[0], kuberay.ask([obj], operator=GATED)[0]
    assert closed.problems == ()  # nobody looks at it
    assert said in " ".join(opened.problems)
    assert bool(opened.problems) == bool(said)


def test_a_closed_gate_refuses_what_is_behind_it() -> None:
    suspended = service(put("workerGroupSpecs/0/suspend", True))
    (closed,) = kuberay.ask([suspended], operator=Operator(gates="RayJobDeletionPolicy=false"))
    assert "feature gate is enabled" in closed.problems[0]
    assert kuberay.ask([suspended])[0].problems == ()
