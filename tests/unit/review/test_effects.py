"""What KubeRay does with each change: for every rule a change that it is about, and a like one that it is not."""

from typing import Any

import pytest

from rayops.review import Effect, Verdict, judge, rules
from rayops.review.changes import ORDER
from tests.unit.review.objects import cluster, edited, group, job, service

MADE = {"RayService": service, "RayCluster": cluster, "RayJob": job}
CLUSTER = "spec rayClusterConfig"
GROUP = f"{CLUSTER} workerGroupSpecs 0"
HEAD = f"{CLUSTER} headGroupSpec template spec"
APP = "spec serveConfigV2 applications 0"
DEPLOYMENT = f"{APP} deployments 1"
TOLERATION = [{"key": "gpu", "operator": "Exists"}]
# rule → the change of a field that it is about, the effect; then a field beside it, and that one's effect.
Case = tuple[str, Any, Effect, str, Any, Effect]
NEW, SERVE, NOT, ONCE = Effect.NEW_CLUSTER, Effect.SERVE_UPDATE, Effect.NOT_APPLIED, Effect.AT_ONCE
NEXT = Effect.NEXT
CASES: dict[str, Case] = {
    "rayservice-managed-by": ("spec managedBy", "x", Effect.NOTHING, "spec upgradeStrategy type", "None", NEXT),
    "rayservice-serve-text": ("spec serveConfigV2", "# c\n", SERVE, f"{APP} route_prefix", "/x", SERVE),
    "rayservice-num-replicas": (f"{APP} deployments 0 num_replicas", 3, SERVE, f"{GROUP} replicas", 3, NOT),
    "rayservice-autoscaling-policy": (
        f"{DEPLOYMENT} autoscaling_config policy", {"name": "x"}, SERVE,
        f"{DEPLOYMENT} autoscaling_config max_replicas", 9, SERVE,
    ),
    "rayservice-application-policy": (f"{APP} autoscaling_policy", {"n": 1}, SERVE, f"{APP} route_prefix", "/x", SERVE),
    "rayservice-router": (f"{DEPLOYMENT} request_router_config", {"a": 1}, SERVE, f"{DEPLOYMENT} name2", "x", SERVE),
    "rayservice-deployment-actors": (f"{DEPLOYMENT} deployment_actors", [], SERVE, f"{DEPLOYMENT} x", 1, SERVE),
    "rayservice-import-path": (f"{APP} import_path", "a:b", SERVE, f"{APP} route_prefix", "/x", SERVE),
    "rayservice-runtime-env": (f"{APP} runtime_env", {"pip": []}, SERVE, f"{HEAD} runtimeClassName", "x", NEW),
    "rayservice-args": (f"{APP} args store", "postgres", SERVE, f"{HEAD} containers 0 args", ["x"], NEW),
    "rayservice-user-config": (
        f"{DEPLOYMENT} user_config", {"a": 2}, SERVE, f"{DEPLOYMENT} max_ongoing_requests", 2, SERVE,
    ),
    "rayservice-actor-options": (
        f"{DEPLOYMENT} ray_actor_options num_cpus", 1, SERVE, f"{DEPLOYMENT} max_queued_requests", 2, SERVE,
    ),
    "rayservice-placement": (f"{DEPLOYMENT} placement_group_bundles", [], SERVE, f"{DEPLOYMENT} y", [], SERVE),
    "rayservice-placement-strategy": (
        f"{DEPLOYMENT} placement_group_strategy", "PACK", SERVE, f"{DEPLOYMENT} y", "PACK", SERVE,
    ),
    "rayservice-per-node": (
        f"{DEPLOYMENT} max_replicas_per_node", 1, SERVE, f"{APP} deployments 0 num_replicas", 3, SERVE,
    ),
    "rayservice-gang": (f"{DEPLOYMENT} gang_scheduling_config", {"gang_size": 1}, SERVE, f"{DEPLOYMENT} z", 1, SERVE),
    "rayservice-deployment-field": (
        f"{DEPLOYMENT} graceful_shutdown_timeout_s", 5, SERVE, f"{APP} import_path", "a:b", SERVE,
    ),
    "rayservice-serve-config": (f"{APP} route_prefix", "/x", SERVE, "spec serveService spec type", "NodePort",
                                Effect.SERVE_SERVICE),
    "rayservice-suspend": (f"{CLUSTER} suspend", True, Effect.CLUSTER_UPDATE, f"{GROUP} suspend", True, NEW),
    "rayservice-replicas": (f"{GROUP} replicas", 2, NOT, f"{GROUP} numOfHosts", 2, NEW),
    "rayservice-min": (f"{GROUP} minReplicas", 2, NOT, f"{GROUP} idleTimeoutSeconds", 2, NEW),
    "rayservice-max": (f"{GROUP} maxReplicas", 9, NOT, f"{GROUP} rayStartParams num-cpus", "9", NEW),
    "rayservice-workers-to-delete": (
        f"{GROUP} scaleStrategy workersToDelete", ["x"], NOT, f"{GROUP} labels a", "b", NEW,
    ),
    "rayservice-tolerations": (
        f"{GROUP} template spec tolerations", TOLERATION, NOT, f"{GROUP} template spec nodeSelector a", "b", NEW,
    ),
    "rayservice-gates": (
        f"{GROUP} template spec schedulingGates", [{"name": "a"}], NOT,
        f"{GROUP} template spec priorityClassName", "a", NEW,
    ),
    "rayservice-head-tolerations": (f"{HEAD} tolerations", TOLERATION, NOT, f"{HEAD} affinity a", {"b": 1}, NEW),
    "rayservice-head-gates": (f"{HEAD} schedulingGates", [{"name": "a"}], NOT, f"{HEAD} schedulerName", "a", NEW),
    "rayservice-cluster-strategy": (
        f"{CLUSTER} upgradeStrategy type", "Recreate", NOT, f"{CLUSTER} autoscalerOptions version", "v2", NEW,
    ),
    "rayservice-order": (
        f"{CLUSTER} workerGroupSpecs", [group("gpu", 2, **{"nvidia.com/gpu": "1"}), group("cpu", 3)], NEW,
        f"{GROUP} maxReplicas", 9, NOT,
    ),
    "rayservice-cluster": (f"{HEAD} containers 0 image", "r/pipeline:2", NEW, f"{APP} route_prefix", "/x", SERVE),
    "rayservice-serve-service": (
        "spec serveService spec ports 0 port", 80, Effect.SERVE_SERVICE, "spec rayClusterDeletionDelaySeconds", 1, NEXT,
    ),
    "rayservice-exclude-head": (
        "spec excludeHeadPodFromServeSvc", False, ONCE, f"{CLUSTER} headGroupSpec serviceType", "NodePort", NEW,
    ),
    "rayservice-strategy": ("spec upgradeStrategy type", "None", NEXT, "spec managedBy", "x", Effect.NOTHING),
    "rayservice-deletion-delay": (
        "spec rayClusterDeletionDelaySeconds", 5, NEXT, "spec serviceUnhealthySecondThreshold", 5, Effect.NOTHING,
    ),
    "rayservice-timeout": (
        "metadata annotations ray.io/initializing-timeout", "9m", NEXT, "metadata annotations x", "9m", Effect.NOTHING,
    ),
    "rayservice-unhealthy": (
        "spec serviceUnhealthySecondThreshold", 5, Effect.NOTHING, "spec rayClusterDeletionDelaySeconds", 5, NEXT,
    ),
    "rayservice-deployment-unhealthy": (
        "spec deploymentUnhealthySecondThreshold", 5, Effect.NOTHING, "spec excludeHeadPodFromServeSvc", False, ONCE,
    ),
    "rayservice-metadata": (
        "metadata labels a", "2", Effect.NOTHING, f"{CLUSTER} headGroupSpec template metadata labels a", "2", NEW,
    ),
    "raycluster-managed-by": ("spec managedBy", "x", Effect.NOTHING, "spec rayVersion", "x", NOT),
    "raycluster-replicas": ("spec workerGroupSpecs 0 replicas", 2, ONCE, "spec workerGroupSpecs 0 labels a", "b", NOT),
    "raycluster-hosts": ("spec workerGroupSpecs 0 numOfHosts", 2, NOT, "spec workerGroupSpecs 0 replicas", 3, ONCE),
    "raycluster-min": ("spec workerGroupSpecs 0 minReplicas", 2, ONCE, "spec workerGroupSpecs 0 labels a", "2", NOT),
    "raycluster-max": ("spec workerGroupSpecs 0 maxReplicas", 9, ONCE, "spec rayVersion", "9", NOT),
    "raycluster-workers-to-delete": (
        "spec workerGroupSpecs 0 scaleStrategy workersToDelete", ["x"], ONCE,
        "spec workerGroupSpecs 0 template spec tolerations", TOLERATION, NOT,
    ),
    "raycluster-suspend": ("spec suspend", True, Effect.PODS_DELETED, "spec workerGroupSpecs 0 suspend", True, NOT),
    "raycluster-strategy": ("spec upgradeStrategy type", "Recreate", NEXT, "spec enableInTreeAutoscaling", True, NOT),
    "raycluster-idle-timeout": (
        "spec autoscalerOptions idleTimeoutSeconds", 5, ONCE, "spec autoscalerOptions imagePullPolicy", "Always", NOT,
    ),
    "raycluster-upscaling": (
        "spec autoscalerOptions upscalingMode", "Default", ONCE, "spec autoscalerOptions version", "v2", NOT,
    ),
    "raycluster-group-idle-timeout": (
        "spec workerGroupSpecs 0 idleTimeoutSeconds", 5, ONCE, "spec workerGroupSpecs 0 priority", 5, NOT,
    ),
    "raycluster-order": (
        "spec workerGroupSpecs", [group("gpu", 2, **{"nvidia.com/gpu": "1"}), group("cpu", 3)], Effect.NOTHING,
        "spec rayVersion", "x", NOT,
    ),
    "raycluster-head-service": (
        "spec headGroupSpec serviceType", "NodePort", NOT, "spec workerGroupSpecs 0 replicas", 3, ONCE,
    ),
    "raycluster-head-annotations": (
        "spec headServiceAnnotations a", "b", NOT, "spec workerGroupSpecs 0 replicas", 3, ONCE,
    ),
    "raycluster-own-head-service": (
        "spec headGroupSpec headService metadata labels a", "b", NOT, "spec workerGroupSpecs 0 replicas", 3, ONCE,
    ),
    "raycluster-spec": (
        "spec headGroupSpec template spec containers 0 image", "x", NOT, "metadata labels a", "2", Effect.NOTHING,
    ),
    "raycluster-metadata": ("metadata labels a", "2", Effect.NOTHING, "spec rayVersion", "x", NOT),
    "rayjob-managed-by": ("spec managedBy", "x", Effect.NOTHING, "spec submissionMode", "x", NOT),
    "rayjob-suspend": ("spec suspend", True, ONCE, "spec rayClusterSpec suspend", True, NOT),
    "rayjob-backoff": ("spec backoffLimit", 2, ONCE, "spec submitterConfig backoffLimit", 2, NOT),
    "rayjob-deadline": ("spec activeDeadlineSeconds", 2, ONCE, "spec entrypoint", "x", NOT),
    "rayjob-pre-running": ("spec preRunningDeadlineSeconds", 2, ONCE, "spec runtimeEnvYAML", "x", NOT),
    "rayjob-ttl": ("spec ttlSecondsAfterFinished", 2, ONCE, "spec jobId", "x", NOT),
    "rayjob-shutdown": ("spec shutdownAfterJobFinishes", True, ONCE, "spec entrypointNumCpus", 1, NOT),
    "rayjob-deletion": ("spec deletionStrategy a", 1, ONCE, "spec metadata a", "1", NOT),
    "rayjob-spec": ("spec entrypoint", "python y.py", NOT, "spec suspend", True, ONCE),
    "rayjob-metadata": ("metadata labels a", "2", Effect.NOTHING, "spec entrypoint", "x", NOT),
}  # fmt: skip


def verdict(before: dict[str, Any], after: dict[str, Any]) -> Verdict:
    (found,) = judge([before], [after])
    return found


def test_every_rule_has_its_cases() -> None:
    assert set(CASES) == {rule.id for rule in rules.RULES} - {"other"}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_speaks_of_its_field_and_of_no_other(rule: str) -> None:
    (about,) = (each for each in rules.RULES if each.id == rule)
    made = MADE[about.kind]()
    path, value, effect, beside, other, other_effect = CASES[rule]
    text = made["spec"].get("serveConfigV2", "")
    found = verdict(made, edited(made, path, value + text if path == "spec serveConfigV2" else value))
    assert (found.effect, found.why) == (effect, about.why)
    near = verdict(made, edited(made, beside, other))
    assert near.effect is other_effect
    assert near.why != about.why or near.effect is not effect or beside == path


@pytest.mark.parametrize("kind", ["RayService", "RayCluster"])
def test_only_a_group_at_the_end_is_an_update_in_place(kind: str) -> None:
    made = MADE[kind]()
    path = f"{CLUSTER} workerGroupSpecs" if kind == "RayService" else "spec workerGroupSpecs"
    groups = [group("cpu", 3), group("gpu", 2, **{"nvidia.com/gpu": "1"})]
    assert verdict(made, edited(made, path, [*groups, group("spot", 4)])).effect is Effect.CLUSTER_UPDATE
    if kind == "RayService":
        assert verdict(made, edited(made, path, [groups[0], group("spot", 4), groups[1]])).effect is NEW
        assert verdict(made, edited(made, path, groups[:1])).effect is NEW


def test_a_new_cluster_takes_everything_along() -> None:
    after = edited(edited(edited(service(), f"{GROUP} maxReplicas", 9), f"{APP} args store", "x"), f"{HEAD} x", 1)
    after = edited(after, "spec serveService spec type", "NodePort")
    found = verdict(service(), after)
    assert {each.effect for each in found.changes} == {NEW}
    after["spec"]["upgradeStrategy"]["type"] = "NewClusterWithIncrementalUpgrade"
    kept = {each.change.path[1]: each.effect for each in verdict(service(), after).changes}
    assert kept["serveService"] is Effect.NOTHING


def test_an_appended_group_takes_along_what_would_wait() -> None:
    after = edited(service(), f"{GROUP} maxReplicas", 9)
    after["spec"]["rayClusterConfig"]["workerGroupSpecs"].append(group("spot", 4))
    found = verdict(service(), after)
    assert {each.effect for each in found.changes} == {Effect.CLUSTER_UPDATE}
    assert any("jumps back" in each.why for each in found.changes)


def test_strategy_none_makes_no_cluster_and_still_takes_a_serve_config() -> None:
    before = edited(service(), "spec upgradeStrategy type", "None")
    after = edited(edited(before, f"{HEAD} containers 0 image", "x"), f"{APP} route_prefix", "/x")
    found = verdict(before, after)
    assert {each.effect for each in found.changes} == {NOT, SERVE}
    assert found.effect is NOT


def test_recreate_deletes_every_pod_of_a_plain_cluster_but_for_what_the_hash_leaves_out() -> None:
    before = edited(cluster(), "spec upgradeStrategy type", "Recreate")
    image = "spec headGroupSpec template spec containers 0 image"
    assert verdict(before, edited(before, image, "x")).effect is Effect.PODS_DELETED
    assert (
        verdict(before, edited(before, "spec workerGroupSpecs 0 template spec tolerations", TOLERATION)).effect is NOT
    )
    assert verdict(before, edited(before, "spec workerGroupSpecs 0 maxReplicas", 7)).effect is ONCE


def test_other_kinds_just_change() -> None:
    before = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}}
    assert verdict(before, edited(before, "data a", "2")).effect is Effect.APPLIED
    assert judge([before], [before]) == []
    assert [each.effect for each in judge([before], [])] == [Effect.DELETED]


@pytest.mark.parametrize("kind", MADE)
def test_who_manages_an_object_is_not_changed_once_it_is_written(kind: str) -> None:
    before = edited(MADE[kind](), "spec managedBy", "ray.io/kuberay-operator")
    after = edited(before, "spec managedBy", "kueue.x-k8s.io/multikueue")
    assert verdict(before, after).effect is Effect.REFUSED
    assert verdict(MADE[kind](), before).effect is Effect.NOTHING


def test_a_group_that_a_cluster_loses_keeps_its_pods() -> None:
    after = edited(cluster(), "spec workerGroupSpecs", [group("cpu", 3)])
    found = verdict(cluster(), after)
    assert found.effect is Effect.CLUSTER_UPDATE
    assert "leaves its pods running" in found.why


def test_a_serve_config_that_ray_refuses_is_rejected() -> None:
    found = verdict(service(), edited(service(), f"{DEPLOYMENT} num_replicas", 3))
    assert found.effect is Effect.REFUSED
    assert "num_replicas" in found.why
    both = edited(edited(service(), f"{DEPLOYMENT} num_replicas", 3), f"{HEAD} containers 0 image", "x")
    assert verdict(service(), both).effect is Effect.REFUSED
    assert "never becomes ready" in verdict(service(), both).why


def test_the_rules_are_those_of_the_ordered_hash() -> None:
    assert ORDER in {rule.path[-1] for rule in rules.RULES if rule.path}
