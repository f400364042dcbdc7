"""What every rendered RayJob must be: it ends, may run twice, its pods are restricted, its actors fit its workers."""

import shlex
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from apps.embeddings.batch.__main__ import parser
from rayops.paths import ROOT
from rayops.render import Obj, containers, images, one, pod_specs
from rayops.versions import pin

Rendered = Callable[[Path], list[Obj]]
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
VOLUMES = {"configMap", "emptyDir", "projected", "secret", "csi", "persistentVolumeClaim", "ephemeral"}


@pytest.fixture
def rayjob(job: Path, rendered: Rendered) -> Obj:
    """The RayJob of a job's overlay."""
    return one(rendered(job), "RayJob")


def cluster(rayjob: Obj) -> dict[str, Any]:
    found: dict[str, Any] = rayjob["spec"]["rayClusterSpec"]
    return found


def test_there_is_a_job_and_nothing_that_serves(job: Path, rendered: Rendered) -> None:
    first, *rest = rendered(job)
    kinds = {obj["kind"] for obj in rest}
    assert first["kind"] == "Namespace"
    assert kinds >= {"RayJob", "PersistentVolumeClaim"}
    assert not kinds & {"RayService", "RayCluster", "PodTemplate", "ConfigMap", "Service", "PodDisruptionBudget"}
    assert {obj["metadata"].get("namespace") for obj in rest if obj["kind"] != "PersistentVolume"} == {
        first["metadata"]["name"]
    }
    assert one(rest, "RayJob")["metadata"]["name"] == job.name


def test_it_ends_and_leaves_nothing_running(rayjob: Obj) -> None:
    spec = rayjob["spec"]
    assert spec["suspend"] is False
    assert spec["shutdownAfterJobFinishes"] is True
    assert 0 < spec["ttlSecondsAfterFinished"] <= 600
    assert 0 < spec["preRunningDeadlineSeconds"] < spec["activeDeadlineSeconds"]
    assert spec["backoffLimit"] >= 1, "the work goes on where it was, so trying again is worth it"
    assert spec["submissionMode"] == "K8sJobMode"
    assert cluster(rayjob)["rayVersion"] == pin("RAY_VERSION")


def test_every_pod_is_restricted_the_submitter_too(job: Path, rayjob: Obj, rendered: Rendered) -> None:
    places = [place for place, _ in pod_specs(rayjob)]
    assert places == ["head", "cpu", "gpu", "submitter"]
    for place, spec in pod_specs(rayjob):
        assert spec["securityContext"]["runAsNonRoot"] is True, place
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, place
        assert {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"} <= VOLUMES, place
    for place, container in containers(rayjob):
        assert container["securityContext"] == RESTRICTED, place
    labels = one(rendered(job), "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_one_image_for_all_with_a_registry_and_a_tag(rayjob: Obj) -> None:
    found = {container["image"] for place, container in containers(rayjob) if not place.startswith("gpu/")}
    assert len(found) == 1, "another Ray in the submitter than in the cluster is trouble"
    assert all("/" in image and ":" in image for image in images([rayjob]))


def test_no_token_but_the_autoscaler_s(rayjob: Obj) -> None:
    scaled = bool(cluster(rayjob).get("enableInTreeAutoscaling"))
    tokens = {place: spec["automountServiceAccountToken"] for place, spec in pod_specs(rayjob)}
    assert tokens.pop("head") is scaled
    assert not any(tokens.values())


def test_workers_are_ready_without_serve(rayjob: Obj) -> None:
    """KubeRay submits when all pods are ready; Serve's proxy, which services ask, would never answer."""
    for group in cluster(rayjob)["workerGroupSpecs"]:
        probe = group["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]
        assert probe == {"path": "/api/healthz", "port": 52365}


def test_the_command_is_one_that_the_code_takes_and_fits_the_workers(rayjob: Obj) -> None:
    python, module, name, *given = shlex.split(rayjob["spec"]["entrypoint"])
    assert (python, module, name) == ("python", "-m", "apps.embeddings.batch")
    arguments = parser().parse_args(given)
    group = cluster(rayjob)["workerGroupSpecs"][0]
    assert arguments.concurrency <= int(group["rayStartParams"]["num-cpus"]) * group["maxReplicas"]
    mount = group["template"]["spec"]["containers"][0]["volumeMounts"][0]["mountPath"]
    assert arguments.output.is_relative_to(mount), "what is written elsewhere is gone with the pod"


def test_head_and_workers_share_the_volume_of_the_claim(job: Path, rayjob: Obj, rendered: Rendered) -> None:
    claim = one(rendered(job), "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    mounts = []
    for place, spec in pod_specs(rayjob):
        if place == "submitter":
            continue
        assert spec["securityContext"]["fsGroup"] == 1000
        assert {"name": "shared", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in spec["volumes"]
        mounts += [mount for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "shared"]
    assert len(mounts) == 3
    assert all(mount == mounts[0] for mount in mounts)


def test_the_local_volume_is_a_folder_that_user_1000_may_write(rendered: Rendered) -> None:
    objects = rendered(Path("overlays/local/embeddings-batch"))
    volume, claim = one(objects, "PersistentVolume"), one(objects, "PersistentVolumeClaim")
    assert volume["spec"]["hostPath"] == {"path": "/tmp", "type": "Directory"}  # noqa: S108
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == ""
    reference = {"namespace": claim["metadata"]["namespace"], "name": claim["metadata"]["name"]}
    assert volume["spec"]["claimRef"] == reference
    head = cluster(one(objects, "RayJob"))["headGroupSpec"]["template"]["spec"]["containers"][0]
    (mount,) = (each for each in head["volumeMounts"] if each["name"] == "shared")
    assert mount["subPath"] == "rayops/embeddings-batch", "the kubelet opens only a subPath that it makes"


def test_requests_lie_below_limits_of_one_small_node(rendered: Rendered) -> None:
    """On the local node of two CPUs there is room for head, worker and submitter at once."""
    rayjob = one(rendered(Path("overlays/local/embeddings-batch")), "RayJob")
    asked = [
        container["resources"]["requests"] for place, container in containers(rayjob) if not place.startswith("gpu/")
    ]
    assert sum(int(each["cpu"].removesuffix("m")) for each in asked) <= 500
    assert all(group["maxReplicas"] <= 1 for group in cluster(rayjob)["workerGroupSpecs"])


def test_the_pods_of_a_job_are_seen_where_a_submitter_is_missing(rayjob: Obj) -> None:
    without = deepcopy(rayjob)
    del without["spec"]["submitterPodTemplate"]
    assert [place for place, _ in pod_specs(without)] == ["head", "cpu", "gpu"]


def test_only_jobs_take_the_batch_component(pipeline: Path) -> None:
    text = (ROOT / pipeline / "kustomization.yaml").read_text()
    assert "components/batch" not in text, "its workers would be ready before a proxy answers"
