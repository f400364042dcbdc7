"""Records tests/health/corpus from a live cluster: every state of RayService, RayCluster and RayJob that can be had.

.venv/bin/pytest -m drill tests/e2e/record_health.py --kubeconfig FILE     # about 15 minutes; -k for some of it
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from rayops.kube import Kube, KubeError, Obj, Timeout, dig, equals, eventually, is_so, wait_healthy
from rayops.kube.objects import NODE, POD, RAY_CLUSTER, RAY_JOB, RAY_SERVICE, Kind, condition, is_true, name_of
from rayops.paths import ROOT
from rayops.render import one, render
from rayops.versions import pin
from tests.harness import faults, overlay, selectors
from tests.harness.getters import group_pods, head_pod
from tests.harness.overlay import Change
from tests.harness.record import Asked, Recorder, of_name

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1200)]
CORPUS = ROOT / "tests" / "health" / "corpus"
NOWHERE = overlay.import_path("apps.hello.nowhere:build_app")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota")


@pytest.fixture(scope="module")
def image(kube: Kube) -> str:
    """The pipeline image that is on the node."""
    names: list[str] = [
        name for node in kube.list(NODE) for image in node["status"]["images"] for name in image["names"]
    ]
    return next(name.removeprefix("docker.io/") for name in names if "local/pipeline:" in name)


@pytest.fixture(scope="module")
def service(image: str) -> Obj:
    """A small RayService: one application, a worker group that may grow by one, an old cluster that goes at once."""
    rendered = overlay.changed(
        render(ROOT / "overlays" / "local" / "hello"),
        overlay.image(image),
        overlay.deletion_delay(1),
        overlay.idle_timeout(10),
        overlay.deployment("Ingress", num_replicas=None),
        overlay.spec(lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"][0].update(maxReplicas=2)),
        overlay.spec(lambda spec: spec["rayClusterConfig"]["workerGroupSpecs"].pop(1)),
    )
    found = one(rendered, "RayService")
    del found["metadata"]["namespace"]
    return found


@pytest.fixture(scope="module")
def recorder(kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]) -> Iterator[Recorder]:
    software = f"KubeRay {pin('KUBERAY_VERSION')}, Ray {pin('RAY_VERSION')}, Kubernetes {kube.version()}"
    versions = f"{software}, {datetime.now(UTC):%Y-%m-%d}"
    with new_namespace("health") as namespace, Recorder(kube, namespace, CORPUS, versions) as recorder:
        yield recorder


@dataclass
class Subject:
    """The RayService that is driven from state to state."""

    recorder: Recorder
    base: Obj

    @property
    def name(self) -> str:
        return name_of(self.base)

    def apply(self, *changes: Change) -> int:
        """Apply the service as it was first, with changes; the mark from before."""
        mark = self.recorder.mark()
        self.recorder.kube.apply(overlay.changed([self.base], *changes), namespace=self.recorder.namespace)
        return mark

    def now(self) -> Obj:
        return self.recorder.kube.get(RAY_SERVICE, self.name, self.recorder.namespace)

    def healthy(self) -> None:
        """Back to the service as it was first, with nothing left of the change before."""
        self.apply()
        wait_healthy(self.recorder.kube, self.recorder.namespace, self.name, patience_s=120)
        eventually(self.now, selectors.pending_cluster, equals(""), Timeout.MEDIUM, "no upgrade runs")

    def keep(self, name: str, how: str, wanted: Callable[[Obj], bool], since: int) -> None:
        self.recorder.keep(name, how, RAY_SERVICE, of_name(self.name, wanted), since=since)

    def keep_if_seen(self, name: str, how: str, wanted: Callable[[Obj], bool], since: int) -> None:
        versions = self.recorder.of(RAY_SERVICE, since)
        if found := next((v for v in versions if name_of(v.obj) == self.name and wanted(v.obj)), None):
            self.recorder.write(name, how, found.obj)

    def answers(self) -> bool:
        """Whether a request through the serve Service is answered, within the client's time-out."""
        path = f"/api/v1/namespaces/{self.recorder.namespace}/services/{self.name}-serve-svc:8000/proxy/normalize"
        try:
            self.recorder.kube.request("POST", path, body={"text": "one"})
        except KubeError:
            return False
        return True


@pytest.fixture(scope="module")
def subject(recorder: Recorder, service: Obj) -> Subject:
    return Subject(recorder, service)


# What is asked of a RayService --------------------------------------------------------------------------------------


def seen(obj: Obj) -> bool:
    """The operator has worked through this generation."""
    return bool(dig(obj, "status", "observedGeneration", default=0) == obj["metadata"]["generation"])


def unseen(obj: Obj) -> bool:
    return "status" in obj and not seen(obj)


def states(obj: Obj, side: str = "active") -> set[str]:
    """The states of the applications of the active or of the pending cluster."""
    found = dig(obj, "status", f"{side}ServiceStatus", "applicationStatuses", default={})
    return {dig(app, "status", default="") for app in found.values()}


def cluster_of(obj: Obj, side: str) -> str:
    return str(dig(obj, "status", f"{side}ServiceStatus", "rayClusterName", default=""))


def copied(obj: Obj, side: str) -> Obj:
    """The RayService's copy of its RayCluster's status."""
    found: Obj = dig(obj, "status", f"{side}ServiceStatus", "rayClusterStatus", default={})
    return found


def reason(obj: Obj, type_: str = "Ready") -> str:
    return str(dig(condition(obj, type_), "reason", default=""))


def running(obj: Obj) -> bool:
    return seen(obj) and states(obj) == {"RUNNING"} and is_true(obj, "Ready") and not cluster_of(obj, "pending")


# RayService ---------------------------------------------------------------------------------------------------------


def test_1_start(subject: Subject) -> None:
    since = subject.apply()
    subject.keep("new", "Applied; the operator has not looked yet.", lambda o: "status" not in o, since)
    subject.keep("initializing", "The operator has named a cluster.", lambda o: bool(cluster_of(o, "pending")), since)
    subject.keep(
        "deploying", "The first cluster has its applications.", lambda o: "DEPLOYING" in states(o, "pending"), since
    )
    subject.keep("healthy", "Everything runs.", running, since)
    subject.keep_if_seen(
        "initializing-without-cluster", "The operator has looked, no cluster has a name.",
        lambda o: "status" in o and not cluster_of(o, "pending") + cluster_of(o, "active"), since,
    )  # fmt: skip
    subject.keep_if_seen(
        "initializing-head-not-ready", "The first cluster exists, its head is not ready.",
        lambda o: bool(copied(o, "pending").get("conditions")) and not states(o, "pending"), since,
    )  # fmt: skip
    subject.keep_if_seen(
        "running-without-endpoints", "The applications run, no endpoint is ready yet.",
        lambda o: states(o, "active") | states(o, "pending") == {"RUNNING"} and not is_true(o, "Ready"), since,
    )  # fmt: skip


def test_2_changes_in_place(subject: Subject) -> None:
    subject.healthy()
    since = subject.apply(overlay.deployment("Normalizer", ray_actor_options={"num_cpus": 0.3}))
    subject.keep(
        "generation-not-observed", "A changed Serve config, in the instant before the operator's look.", unseen, since
    )
    subject.keep(
        "updating-in-place",
        "A changed Serve config: replicas restart.",
        lambda o: seen(o) and "DEPLOYING" in states(o),
        since,
    )
    subject.keep_if_seen(
        "updating-in-place-too-early",
        "The first look after a changed Serve config: the new generation with the states of before, for 2 s.",
        lambda o: seen(o) and states(o) == {"RUNNING"}, since,
    )  # fmt: skip


def test_3_an_import_error_in_place(subject: Subject) -> None:
    subject.healthy()
    since = subject.apply(NOWHERE)
    subject.keep(
        "deploy-failed-in-place", "The Serve config names a module that is not there; Ready stays True.",
        lambda o: "DEPLOY_FAILED" in states(o), since,
    )  # fmt: skip


def test_4_a_serve_config_that_is_not_yaml(subject: Subject) -> None:
    subject.healthy()
    since = subject.apply(overlay.spec(lambda spec: spec.update(serveConfigV2="applications: [")))
    subject.recorder.find(RAY_SERVICE, of_name(subject.name, unseen), since=since)
    time.sleep(10)  # five looks of the operator, and nothing changes
    subject.recorder.write(
        "serve-config-not-yaml", "The Serve config is not YAML, 10 s later; Ready stays True.", subject.now()
    )


def test_5_a_refused_change(subject: Subject) -> None:
    subject.healthy()
    since = subject.apply(overlay.spec(lambda spec: spec.update(upgradeStrategy={"type": "Sideways"})))
    subject.keep(
        "validation-failed",
        "A changed spec that the operator refuses; the old one serves.",
        lambda o: reason(o) == "ValidationFailed",
        since,
    )
    subject.healthy()


def new_cluster(obj: Obj) -> None:
    """A change of a pod template: it makes a new cluster."""
    container = obj["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "RECORDED", "value": "1"})


def test_6_an_upgrade(subject: Subject) -> None:
    subject.healthy()
    since = subject.apply(overlay.spec(new_cluster), NOWHERE)
    subject.keep(
        "upgrade-starting",
        "A new cluster is being made; the old one serves.",
        lambda o: bool(cluster_of(o, "pending")),
        since,
    )
    subject.keep(
        "upgrade-failed",
        "The application fails on the new cluster; the old one serves.",
        lambda o: "DEPLOY_FAILED" in states(o, "pending"),
        since,
    )
    since = subject.apply(overlay.spec(new_cluster))
    subject.keep(
        "upgrade-deploying",
        "The new cluster has its applications; the old one serves.",
        lambda o: "DEPLOYING" in states(o, "pending"),
        since,
    )
    subject.keep("upgraded", "The new cluster has taken over.", running, since)
    subject.keep_if_seen(
        "upgrade-ready", "The new cluster runs, the traffic has not moved.",
        lambda o: states(o, "pending") == {"RUNNING"} and bool(cluster_of(o, "active")), since,
    )  # fmt: skip


def lose(subject: Subject, what: str, pod: Obj) -> None:
    """Kill a pod and keep every other status until it is healthy again, each with what requests said just then."""
    recorder, since = subject.recorder, subject.recorder.mark()
    with Asked(subject.answers) as asked:
        time.sleep(1)
        killed = time.monotonic()
        faults.kill_pod(recorder.kube, pod)
        recorder.find(RAY_SERVICE, of_name(subject.name, lambda o: not running(o)), since=since)
        eventually(subject.now, running, is_so, Timeout.MEDIUM, "RUNNING and Ready again")
        eventually(
            lambda: asked.looks[-4:], lambda looks: all(look[2] for look in looks), is_so, Timeout.MEDIUM, "answers"
        )
        time.sleep(5)
    for number, version in enumerate(recorder.of(RAY_SERVICE, since), start=1):
        how = f"The {what} was killed {version.at - killed:.1f} s ago; a request now: {asked.at(version.at)}."
        recorder.write(f"{what}-lost-{number}", how, version.obj)
    failed = [began - killed for began, _, answered in asked.looks if not answered]
    print(f"{what} lost: requests failed from {min(failed, default=0):.1f} to {max(failed, default=0):.1f} s")


def test_7_worker_lost(subject: Subject) -> None:
    subject.healthy()
    (worker,) = group_pods(subject.recorder.kube, subject.recorder.namespace, "cpu")()
    lose(subject, "worker", worker)


def test_8_head_lost(subject: Subject) -> None:
    subject.healthy()
    lose(
        subject,
        "head",
        head_pod(subject.recorder.kube, subject.recorder.namespace, cluster_of(subject.now(), "active")),
    )


def test_8b_head_in_the_serve_service_lost(subject: Subject) -> None:
    """As KubeRay does it by default: the head is an endpoint, and makes Ready true before anything answers."""
    subject.healthy()
    subject.apply(overlay.spec(lambda spec: spec.update(excludeHeadPodFromServeSvc=False)))
    eventually(subject.now, lambda o: dig(o, "status", "numServeEndpoints"), equals(2), Timeout.MEDIUM, "2 endpoints")
    name = cluster_of(subject.now(), "active")
    lose(subject, "serving-head", head_pod(subject.recorder.kube, subject.recorder.namespace, name))


def test_9_autoscaled(subject: Subject) -> None:
    subject.healthy()
    since = subject.apply(overlay.deployment("Normalizer", num_replicas=3, ray_actor_options={"num_cpus": 0.8}))
    cluster = of_name(cluster_of(subject.now(), "active"), lambda o: o["status"].get("desiredWorkerReplicas", 0) > 1)
    subject.recorder.keep(
        "autoscaling", "The autoscaler has asked for a second worker.", RAY_CLUSTER, cluster, since=since
    )
    subject.keep(
        "autoscaling", "Replicas wait for a second worker.", lambda o: seen(o) and "DEPLOYING" in states(o), since
    )
    subject.keep(
        "autoscaled", "The autoscaler has added a worker: the cluster has more than the spec says.",
        lambda o: running(o) and copied(o, "active").get("readyWorkerReplicas") == 2, since,
    )  # fmt: skip
    subject.keep_if_seen(
        "upscaling", "A deployment grows.", lambda o: "UPSCALING" in str(o["status"]) and seen(o), since
    )


def test_10_suspended(subject: Subject) -> None:
    subject.healthy()
    since = subject.apply(overlay.spec(lambda spec: spec["rayClusterConfig"].update(suspend=True)))
    subject.keep(
        "suspending",
        "A queue suspends it; the pods are there still.",
        lambda o: bool(o["spec"]["rayClusterConfig"].get("suspend")),
        since,
    )
    subject.keep(
        "suspended",
        "Suspended: no pods.",
        lambda o: bool(o["spec"]["rayClusterConfig"].get("suspend")) and reason(o) == "ZeroServeEndpoints",
        since,
    )
    since = subject.apply(overlay.spec(lambda spec: spec["rayClusterConfig"].update(suspend=False)))
    subject.keep(
        "resuming",
        "No longer suspended: the pods come back.",
        lambda o: seen(o) and not o["spec"]["rayClusterConfig"].get("suspend"),
        since,
    )


def test_11_deleted(subject: Subject) -> None:
    since = subject.apply()
    subject.recorder.kube.delete(RAY_SERVICE, subject.name, subject.recorder.namespace)
    subject.keep(
        "deleted",
        "Being deleted: the operator removes the clusters first.",
        lambda o: "deletionTimestamp" in o["metadata"],
        since,
    )
    subject.recorder.kube.wait_gone(RAY_SERVICE, subject.name, subject.recorder.namespace, timeout=Timeout.MEDIUM)


def without_pods(subject: Subject, name: str) -> Subject:
    """Another RayService, whose image is nowhere: its pods cost nothing."""
    base = deepcopy(subject.base)
    base["metadata"]["name"] = name
    return Subject(subject.recorder, overlay.changed([base], overlay.image("local/pipeline:nowhere"))[0])


def test_12_a_first_spec_is_refused(subject: Subject) -> None:
    other = without_pods(subject, "refused")
    since = other.apply(overlay.spec(lambda spec: spec.update(upgradeStrategy={"type": "Sideways"})))
    other.keep(
        "validation-failed-first",
        "A first spec that the operator refuses.",
        lambda o: reason(o) == "ValidationFailed",
        since,
    )
    since = other.apply()
    other.keep(
        "validation-mended",
        "The refused first spec was mended; nothing takes the reason back.",
        lambda o: seen(o) and reason(o) == "ValidationFailed",
        since,
    )
    other.recorder.kube.delete(RAY_SERVICE, other.name, other.recorder.namespace)


def without_image(cluster: Obj) -> bool:
    known = {"", "HeadPodNotFound", "Unknown"}
    return name_of(cluster).startswith("late-") and reason(cluster, "HeadPodReady") not in known


def test_13_initializing_timeout(subject: Subject) -> None:
    other = without_pods(subject, "late")
    other.base["metadata"]["annotations"] = {"ray.io/initializing-timeout": "10s"}
    since = other.apply()
    other.keep(
        "initializing-timeout",
        "Not ready within 10 s: the image is nowhere.",
        lambda o: reason(o) == "InitializingTimeout",
        since,
    )
    other.recorder.keep(
        "head-without-image", "The image of the head is nowhere.", RAY_CLUSTER, without_image, since=since
    )
    other.recorder.kube.delete(RAY_SERVICE, other.name, other.recorder.namespace)


# RayCluster ---------------------------------------------------------------------------------------------------------


@dataclass
class ClusterSubject:
    """A RayCluster of a head and two groups; nobody ever fits the pods of `huge`."""

    recorder: Recorder
    base: Obj

    @property
    def name(self) -> str:
        return name_of(self.base)

    def apply(self, **spec: object) -> int:
        mark = self.recorder.mark()
        obj = deepcopy(self.base)
        huge = spec.pop("huge", 0)
        obj["spec"].update(spec)
        obj["spec"]["workerGroupSpecs"][1].update(replicas=huge)
        self.recorder.kube.apply([obj], namespace=self.recorder.namespace)
        return mark

    def keep(self, name: str, how: str, wanted: Callable[[Obj], bool], since: int) -> None:
        self.recorder.keep(name, how, RAY_CLUSTER, of_name(self.name, wanted), since=since)

    def now(self) -> Obj:
        return self.recorder.kube.get(RAY_CLUSTER, self.name, self.recorder.namespace)

    def ready(self) -> int:
        since = self.apply()
        eventually(self.now, all_ready, is_so, Timeout.MEDIUM, "RayCluster ready")
        return since


def all_ready(obj: Obj) -> bool:
    status = dig(obj, "status", default={})
    ready = is_true(obj, "RayClusterProvisioned") and is_true(obj, "HeadPodReady")
    return ready and status.get("readyWorkerReplicas", 0) == status.get("desiredWorkerReplicas", 0) == 1


@pytest.fixture(scope="module")
def ray(recorder: Recorder, service: Obj) -> ClusterSubject:
    spec = deepcopy(service["spec"]["rayClusterConfig"])
    spec.pop("autoscalerOptions")
    spec["enableInTreeAutoscaling"] = False
    # This probe asks Serve's proxy, which a plain cluster does not have.
    del spec["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["readinessProbe"]
    huge = deepcopy(spec["workerGroupSpecs"][0]) | {"groupName": "huge", "minReplicas": 0, "replicas": 0}
    huge["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "64"}, "limits": {"cpu": "64"}}
    spec["workerGroupSpecs"].append(huge)
    base = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "plain"}, "spec": spec}
    return ClusterSubject(recorder, base)


def test_20_cluster_starts(ray: ClusterSubject) -> None:
    since = ray.ready()
    ray.keep("new", "Applied; the operator has not looked yet.", lambda o: "status" not in o, since)
    ray.keep(
        "provisioning",
        "The pods are being made.",
        lambda o: reason(o, "RayClusterProvisioned") == "RayClusterPodsProvisioning",
        since,
    )
    ray.keep("ready", "Head and worker are ready.", all_ready, since)


def test_21_a_worker_is_pending(ray: ClusterSubject) -> None:
    ray.ready()
    since = ray.apply(huge=1)
    ray.keep(
        "worker-pending",
        "A second worker was asked for and fits no node.",
        lambda o: dig(o, "status", "desiredWorkerReplicas", default=0) == 2,
        since,
    )


def test_22_cluster_head_lost(ray: ClusterSubject) -> None:
    since = ray.ready()
    faults.kill_pod(ray.recorder.kube, head_pod(ray.recorder.kube, ray.recorder.namespace, ray.name))
    ray.keep(
        "head-lost",
        "The head was killed.",
        lambda o: is_true(o, "RayClusterProvisioned") and not is_true(o, "HeadPodReady"),
        since,
    )
    eventually(ray.now, all_ready, is_so, Timeout.MEDIUM, "RayCluster ready again")


def test_23_an_edit_without_effect(ray: ClusterSubject) -> None:
    ray.ready()
    head = deepcopy(ray.base["spec"]["headGroupSpec"])
    head["template"]["spec"]["containers"][0]["env"].append({"name": "RECORDED", "value": "1"})
    ray.apply(headGroupSpec=head)
    time.sleep(15)  # whatever the operator makes of it, it has made by now
    ray.recorder.write(
        "edited-without-effect", "A pod template was changed 15 s ago: KubeRay changes no pod and no status.", ray.now()
    )


def test_24_cluster_suspended(ray: ClusterSubject) -> None:
    ray.ready()
    since = ray.apply(suspend=True)
    ray.keep("suspending", "Suspended by its spec; the pods are there still.", is_suspending, since)
    ray.keep("suspended", "Suspended: no pods.", lambda o: is_true(o, "RayClusterSuspended"), since)
    ray.apply()
    time.sleep(10)  # whatever the operator makes of it, it has made by now
    ray.recorder.write(
        "suspend-removed", "The field suspend was removed 10 s ago: only an explicit false resumes.", ray.now()
    )
    since = ray.apply(suspend=False)
    ray.keep("resuming", "suspend: false; the pods come back.", is_resuming, since)
    eventually(ray.now, all_ready, is_so, Timeout.MEDIUM, "RayCluster ready again")


def is_suspending(obj: Obj) -> bool:
    return is_true(obj, "RayClusterSuspending")


def is_resuming(obj: Obj) -> bool:
    return reason(obj, "RayClusterProvisioned") == "RayClusterPodsProvisioning" and not is_true(
        obj, "RayClusterSuspended"
    )


def test_25_replica_failure(ray: ClusterSubject) -> None:
    ray.ready()
    kube, namespace = ray.recorder.kube, ray.recorder.namespace
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "1"}}}
    kube.apply([quota], namespace=namespace)
    since = ray.recorder.mark()
    (worker,) = group_pods(kube, namespace, "cpu", ray.name)()
    faults.kill_pod(kube, worker)
    try:
        ray.keep(
            "replica-failure",
            "A quota forbids the pod that is to follow a lost one.",
            lambda o: is_true(o, "ReplicaFailure"),
            since,
        )
    finally:
        kube.delete(RESOURCE_QUOTA, "none", namespace)
    eventually(ray.now, all_ready, is_so, Timeout.MEDIUM, "RayCluster ready again")


# RayJob -------------------------------------------------------------------------------------------------------------


@dataclass
class Jobs:
    """RayJobs on the plain cluster, or on a small cluster of their own."""

    recorder: Recorder
    cluster: ClusterSubject

    def run(self, name: str, code: str, **spec: object) -> int:
        own = {"clusterSelector": {"ray.io/cluster": self.cluster.name}, "submissionMode": "HTTPMode"}
        spec = own | {"entrypoint": f'python -c "{code}"'} | spec
        mark = self.recorder.mark()
        obj = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": name}, "spec": spec}
        self.recorder.kube.create({**obj, "metadata": {"name": name, "namespace": self.recorder.namespace}})
        return mark

    def own_cluster(self) -> Obj:
        """Spec of a job that makes its own cluster, of a head alone."""
        spec = deepcopy(self.cluster.base["spec"]) | {"workerGroupSpecs": []}
        spec["headGroupSpec"]["rayStartParams"]["num-cpus"] = "1"
        return {"clusterSelector": None, "rayClusterSpec": spec, "shutdownAfterJobFinishes": True}

    def keep(self, name: str, how: str, job: str, state: str, since: int, *, status: str | None = None) -> None:
        wanted = of_name(
            job, lambda o: dig(o, "status", "jobDeploymentStatus", default="") == state
            and (status is None or dig(o, "status", "jobStatus", default="") == status),
        )  # fmt: skip
        self.recorder.keep(name, how, RAY_JOB, wanted, since=since)


@pytest.fixture(scope="module")
def jobs(recorder: Recorder, ray: ClusterSubject) -> Jobs:
    return Jobs(recorder, ray)


def test_30_jobs_on_a_running_cluster(jobs: Jobs) -> None:
    jobs.cluster.ready()
    since = jobs.run("good", "import time; time.sleep(5)")
    failing = jobs.run("bad", "raise SystemExit(3)")
    stopped = jobs.run("stopped", "import time; time.sleep(600)")
    late = jobs.run("late", "import time; time.sleep(600)", activeDeadlineSeconds=3)
    waiting = jobs.run("waiting", "0", submissionMode="InteractiveMode", entrypoint="")
    refused = jobs.run("refused", "0", suspend=True)
    jobs.keep("waiting", "InteractiveMode: it waits until somebody submits.", "waiting", "Waiting", waiting)
    jobs.keep("validation-failed", "Refused: suspended with a clusterSelector.", "refused", "ValidationFailed", refused)
    jobs.keep("running-new", "The cluster is ready, the job is not submitted yet.", "good", "Running", since, status="")
    jobs.keep("running", "The job runs.", "good", "Running", since, status="RUNNING")
    jobs.keep("complete", "The job succeeded.", "good", "Complete", since)
    jobs.keep("failed", "The job ended with exit code 3.", "bad", "Failed", failing)
    jobs.keep("deadline-exceeded", "Not done within activeDeadlineSeconds.", "late", "Failed", late)
    running = jobs.recorder.find(RAY_JOB, of_name("stopped", lambda o: dig(o, "status", "jobStatus") == "RUNNING"))
    head = name_of(head_pod(jobs.recorder.kube, jobs.recorder.namespace, jobs.cluster.name))
    dashboard = f"/api/v1/namespaces/{jobs.recorder.namespace}/pods/{head}:8265/proxy"
    jobs.recorder.kube.request("POST", f"{dashboard}/api/jobs/{running.obj['status']['jobId']}/stop")
    jobs.keep("stopped", "Somebody stopped the job.", "stopped", "Complete", stopped, status="STOPPED")


def test_31_a_job_with_a_cluster_of_its_own(jobs: Jobs) -> None:
    since = jobs.run("again", "raise SystemExit(3)", **jobs.own_cluster(), backoffLimit=1)
    jobs.recorder.keep(
        "new",
        "Applied; the operator has not looked yet.",
        RAY_JOB,
        of_name("again", lambda o: "status" not in o),
        since=since,
    )
    jobs.keep("initializing", "Its cluster is being made.", "again", "Initializing", since)
    jobs.keep("retrying", "It failed and will be tried again on another cluster.", "again", "Retrying", since)
    jobs.recorder.keep(
        "retrying-new", "The second try begins.", RAY_JOB,
        of_name("again", lambda o: dig(o, "status", "failed") == 1 and not o["status"].get("jobDeploymentStatus")),
        since=since,
    )  # fmt: skip
    jobs.keep("failed-twice", "The second try failed too.", "again", "Failed", since)


def test_32_a_suspended_job(jobs: Jobs) -> None:
    since = jobs.run("queued", "0", **jobs.own_cluster(), suspend=True)
    jobs.keep("suspending", "Suspended by a queue: what it has is taken away.", "queued", "Suspending", since)
    jobs.keep("suspended", "Suspended by a queue: it has nothing.", "queued", "Suspended", since)
    jobs.recorder.kube.delete(RAY_JOB, "queued", jobs.recorder.namespace)
    jobs.recorder.keep(
        "deleted",
        "Being deleted.",
        RAY_JOB,
        of_name("queued", lambda o: "deletionTimestamp" in o["metadata"]),
        since=since,
    )


def test_33_a_deleted_cluster(ray: ClusterSubject) -> None:
    kube, since = ray.recorder.kube, ray.apply()
    ray.recorder.find(RAY_CLUSTER, of_name(ray.name, lambda o: "status" in o), since=0)
    path = f"/apis/ray.io/v1/namespaces/{ray.recorder.namespace}/rayclusters/{ray.name}"
    kube.request("DELETE", path, body={"propagationPolicy": "Foreground"})
    ray.keep(
        "deleted",
        "Being deleted with what it owns first, as Argo CD does it.",
        lambda o: "deletionTimestamp" in o["metadata"],
        since,
    )
    eventually(lambda: kube.list(POD, ray.recorder.namespace), len, equals(0), Timeout.MEDIUM, "no pod is left")
