"""Redis beside a cluster: found by it, restricted, its password seen nowhere, its keys cleaned up."""

import functools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayops.render import Obj, of_kind, one, pod_specs
from tests.render.composing import block, cluster, composed_of

WAVE = "argocd.argoproj.io/sync-wave"
Compose = Callable[..., Path]
Composed = Callable[..., list[Obj]]


@pytest.fixture
def composed(compose: Compose, kustomize: Path) -> Composed:
    return functools.partial(composed_of, compose, kustomize)


def test_the_cluster_finds_redis_and_its_password(composed: Composed) -> None:
    objects = composed("gcs-fault-tolerance")
    options = cluster(objects)["gcsFaultToleranceOptions"]
    service, redis = one(objects, "Service", "gcs-redis"), one(objects, "StatefulSet", "gcs-redis")
    assert options["redisAddress"] == f"gcs-redis:{service['spec']['ports'][0]['port']}"
    secret = {"name": "gcs-redis", "key": "password"}
    assert options["redisPassword"] == {"valueFrom": {"secretKeyRef": secret}}
    assert "externalStorageNamespace" not in options, "the clusters of an upgrade would share their state"
    template = redis["spec"]["template"]
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert redis["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert template["metadata"]["labels"]["app.kubernetes.io/part-of"] == "rag"
    assert template["metadata"]["labels"]["environment"] == "local"
    (container,) = template["spec"]["containers"]
    assert container["env"] == [{"name": "REDISCLI_AUTH", "valueFrom": {"secretKeyRef": secret}}]
    assert service["spec"]["ports"][0]["targetPort"] in {port["name"] for port in container["ports"]}
    assert {obj["metadata"]["annotations"][WAVE] for obj in (service, redis)} == {"-5"}


STUB = """#!/bin/sh
for argument in "$@"; do echo "$argument"; done > "$OUT/arguments"
cat > "$OUT/configuration"
"""


def started(command: list[str], folder: Path, password: str) -> tuple[list[str], list[str]]:
    """Arguments and configuration that redis-server gets from a container's command, run with a stand-in for it."""
    (folder / "redis-server").write_text(STUB)
    (folder / "redis-server").chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "OUT": str(folder), "REDISCLI_AUTH": password}
    subprocess.run(command, env=env, check=True, stdin=subprocess.DEVNULL, timeout=20)
    return (folder / "arguments").read_text().split(), (folder / "configuration").read_text().splitlines()


@pytest.mark.parametrize("password", ["plain-1_A", "$HOME`id`$(id)", "two words"])
def test_the_password_is_in_no_argument_and_arrives_whole(composed: Composed, tmp_path: Path, password: str) -> None:
    command = redis_container(composed)["command"]
    arguments, configuration = started(command, tmp_path, password)
    assert arguments == ["-"], "redis-server reads standard input"
    assert f'requirepass "{password}"' in configuration
    assert "appendonly yes" in configuration
    assert "dir /data" in configuration


def test_a_password_among_the_arguments_is_seen(tmp_path: Path) -> None:
    arguments, _ = started(["sh", "-c", 'exec redis-server --requirepass "$REDISCLI_AUTH"'], tmp_path, "plain-1_A")
    assert "plain-1_A" in arguments


def redis_container(composed: Composed) -> dict[str, Any]:
    (container,) = one(composed("gcs-fault-tolerance"), "StatefulSet")["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def test_redis_needs_only_what_both_images_have_and_no_password_in_probes(composed: Composed) -> None:
    container = redis_container(composed)
    probes = [container[kind]["exec"]["command"] for kind in ("readinessProbe", "livenessProbe")]
    assert {probe[0] for probe in probes} == {"redis-cli"}
    assert not [word for probe in probes for word in probe if word in {"-a", "--pass", "-u"}]
    assert container["command"][:2] == ["sh", "-c"]
    assert container["image"] == "redis", "environment/images maps the name"
    assert {"requests", "limits"} == container["resources"].keys()


def test_redis_is_restricted_and_keeps_its_data(composed: Composed) -> None:
    redis = one(composed("gcs-fault-tolerance"), "StatefulSet")["spec"]
    ((_, spec),) = pod_specs({"kind": "StatefulSet", "spec": redis})
    assert not breaches(spec)
    assert spec["securityContext"]["fsGroup"], "the volume belongs to root otherwise"
    assert spec["automountServiceAccountToken"] is False
    (claim,) = redis["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"] == {"storage": "1Gi"}
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (claim["metadata"]["name"], "/data")


def breaches(spec: dict[str, Any]) -> list[str]:
    """What the restricted Pod Security Standard has against a pod spec."""
    pod = spec.get("securityContext", {})
    found = [] if pod.get("seccompProfile", {}).get("type") == "RuntimeDefault" else ["seccompProfile"]
    found += [] if pod.get("runAsNonRoot") is True and pod.get("runAsUser") != 0 else ["runAsNonRoot"]
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        context = container.get("securityContext", {})
        found += [] if context.get("allowPrivilegeEscalation") is False else ["allowPrivilegeEscalation"]
        found += [] if context.get("capabilities") == {"drop": ["ALL"]} else ["capabilities"]
    return found


def test_the_cleanup_job_passes_pod_security(composed: Composed) -> None:
    """KubeRay makes its pod of the head's: the Ray container alone, its security contexts as they are."""
    head = cluster(composed("pod-security", "gcs-fault-tolerance"))["headGroupSpec"]["template"]["spec"]
    assert not breaches({**head, "containers": head["containers"][:1]})
    bare = cluster(composed("gcs-fault-tolerance"))["headGroupSpec"]["template"]["spec"]
    assert breaches(bare) == ["seccompProfile", "capabilities"]


def test_a_cluster_goes_though_its_keys_cannot(composed: Composed) -> None:
    annotations = one(composed("gcs-fault-tolerance"), "RayService")["metadata"]["annotations"]
    head = cluster(composed("gcs-fault-tolerance"))["headGroupSpec"]["template"]["spec"]
    to_connect_s = 60  # what KubeRay gives the Job to reach Redis
    seconds = int(annotations["ray.io/gcs-ft-deletion-timeout"])  # KubeRay takes its own 300 if it is no number
    assert head["terminationGracePeriodSeconds"] + to_connect_s + 20 <= seconds < 300
    assert "config.kubernetes.io/local-config" not in annotations


def test_only_the_head_gives_up_soon(composed: Composed) -> None:
    service = one(composed("gcs-fault-tolerance"), "RayService")
    waits = {
        place: [entry["value"] for entry in spec["containers"][0]["env"] if "reconnect_timeout" in entry["name"]]
        for place, spec in pod_specs(service)
    }
    assert waits == {"head": ["20"], "cpu": [], "gpu": []}, "KubeRay gives workers 600 s, unless they have their own"


def test_no_budget_holds_up_the_node_of_redis(composed: Composed) -> None:
    objects = composed("gcs-fault-tolerance", "disruption")
    labels = one(objects, "StatefulSet")["spec"]["template"]["metadata"]["labels"]
    for budget in of_kind(objects, "PodDisruptionBudget"):
        assert not budget["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_no_worker_takes_the_place_of_redis(composed: Composed) -> None:
    objects = composed("gcs-fault-tolerance", "priority")
    classes = {spec["priorityClassName"] for obj in objects for _, spec in pod_specs(obj)}
    assert classes == {"ray-serving"}
    assert "priorityClassName" not in one(composed("gcs-fault-tolerance"), "StatefulSet")["spec"]["template"]["spec"]


def test_the_readme_takes_the_option_out_first(composed: Composed) -> None:
    objects = composed("gcs-fault-tolerance", extra=block("gcs-fault-tolerance", "patches:"))
    assert "gcsFaultToleranceOptions" not in cluster(objects)
    assert one(objects, "StatefulSet", "gcs-redis")
