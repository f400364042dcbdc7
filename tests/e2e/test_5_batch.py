"""The batch job: every passage gets its vector, on a volume that restricted pods write; nothing is made twice."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import pytest

from rayops.kube import Kube, Obj, Timeout, dig, equals, eventually
from rayops.kube.objects import POD, RAY_CLUSTER, RAY_JOB, Kind, name_of
from rayops.paths import ROOT
from rayops.render import one, render, set_namespace
from tests.harness import helpers

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
OVERLAY = ROOT / "overlays" / "local" / "embeddings-batch"
PERSISTENT_VOLUME = Kind("v1", "PersistentVolume")
READER = "reader"
MOUNT = "/srv/shared"
# Runs in a pod of this file with the job's volume: what is in the output, by the standard library alone.
READ = """
import hashlib, json, pathlib
out = pathlib.Path("/srv/shared/embeddings")
files = sorted((out / "embeddings").iterdir())
print(json.dumps({
    "progress": json.loads((out / "progress.json").read_text()),
    "manifest": json.loads((out / "manifest.json").read_text()),
    "rejects": (out / "rejects.jsonl").read_text(),
    "files": {
        f.name: [f.stat().st_mtime_ns, hashlib.sha256(f.read_bytes()).hexdigest(), f.stat().st_uid] for f in files
    },
}))
"""
CLEAN = "import shutil; shutil.rmtree('/srv/shared/embeddings', ignore_errors=True)"


@dataclass
class Job:
    """The RayJob of the overlay in a namespace of the test's own."""

    kube: Kube
    namespace: str
    objects: list[Obj]

    @property
    def name(self) -> str:
        return name_of(one(self.objects, "RayJob"))

    def run(self) -> tuple[Any, str]:
        """Apply it, wait until it has ended well; what is in the output, and the log."""
        self.kube.apply(self.objects, namespace=self.namespace)
        eventually(
            lambda: self.kube.get(RAY_JOB, self.name, self.namespace),
            lambda job: dig(job, "status", "jobDeploymentStatus", default="New"),
            lambda state: state in {"Complete", "Failed"},
            Timeout.LONG,
            f"RayJob {self.name} ends",
        )
        status = self.kube.get(RAY_JOB, self.name, self.namespace)["status"]
        log = self.log()
        assert status["jobStatus"] == "SUCCEEDED", (status.get("message"), log[-2000:])
        return self.read(), log

    def log(self) -> str:
        """What the submitter printed, which outlives the cluster."""
        pods = self.kube.list(POD, self.namespace, labels={"job-name": self.name})
        return "".join(self.kube.logs(self.namespace, name_of(pod), "ray-job-submitter") for pod in pods)

    def read(self) -> Any:
        """What is in the output."""
        done = self.kube.exec(self.namespace, READER, ["python", "-c", READ])
        assert done.ok, done
        return json.loads(done.stdout)

    def remove(self) -> None:
        """Delete the RayJob with its cluster, and wait until both are gone."""
        self.kube.delete(RAY_JOB, self.name, self.namespace)
        self.kube.wait_gone(RAY_JOB, self.name, self.namespace, timeout=Timeout.MEDIUM)
        eventually(
            lambda: self.kube.list(RAY_CLUSTER, self.namespace), len, equals(0), Timeout.MEDIUM, "no cluster left"
        )


def moved(namespace: str) -> list[Obj]:
    """The overlay's objects in another namespace, with a volume and a folder of their own."""
    objects = set_namespace(render(OVERLAY), namespace)
    volume, claim = one(objects, "PersistentVolume"), one(objects, "PersistentVolumeClaim")
    volume["metadata"]["name"] = claim["spec"]["volumeName"] = namespace
    volume["spec"]["claimRef"]["namespace"] = namespace
    cluster = one(objects, "RayJob")["spec"]["rayClusterSpec"]
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        for mount in group["template"]["spec"]["containers"][0]["volumeMounts"]:
            if mount["name"] == "shared":
                mount["subPath"] = f"rayops/{namespace}"
    return objects


def reader(namespace: str) -> Obj:
    """A pod with the job's volume that stays."""
    pod = helpers.helper_pod(READER, ["sleep", "7200"])
    pod["spec"]["volumes"] = [{"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}]
    mount = {"name": "shared", "mountPath": MOUNT, "subPath": f"rayops/{namespace}"}
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    return pod


@pytest.fixture(scope="module")
def job(kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]) -> Iterator[Job]:
    with new_namespace("batch") as namespace:
        job = Job(kube, namespace, moved(namespace))
        try:
            before = [obj for obj in job.objects if obj["kind"] != "RayJob"]
            kube.apply(before, namespace=namespace)
            helpers.run_pods(kube, namespace, reader(namespace))
            yield job
            kube.exec(namespace, READER, ["python", "-c", CLEAN])
            job.remove()
        finally:
            kube.delete(PERSISTENT_VOLUME, namespace)


def test_every_passage_gets_its_vector_once_and_nothing_twice(job: Job, record: Callable[..., None]) -> None:
    first, log = job.run()
    progress = first["progress"]
    assert progress["state"] == "done"
    assert progress["rows_done"] == progress["rows_total"] > 100
    assert progress["shards_done"] == progress["shards_total"] == len(first["files"]) > 1
    assert (progress["shards_reused"], progress["rejected"], first["rejects"]) == (0, 0, "")
    digests = {f"{shard['name']}.parquet": shard["embeddings"] for shard in first["manifest"]["shards"]}
    assert {name: digest for name, (_, digest, _) in first["files"].items()} == digests
    assert {user for _, _, user in first["files"].values()} == {1000}, "the pods write as the image's user"
    assert log.count("rows_done=") == progress["shards_total"], "a line for each shard"
    record(rows=progress["rows_done"], rows_per_s=progress["rows_per_s"], elapsed_s=progress["elapsed_s"])

    job.remove()
    second, log = job.run()
    assert second["files"] == first["files"], "the very same files, not written again"
    assert second["progress"]["shards_reused"] == progress["shards_total"]
    assert "0 shards made" in log
    assert log.count("rows_done=") == 0


def test_its_cluster_goes_and_its_log_stays(job: Job) -> None:
    eventually(
        lambda: job.kube.list(RAY_CLUSTER, job.namespace), len, equals(0), Timeout.MEDIUM, "the cluster is shut down"
    )
    assert "reused" in job.log()
