"""What KubeRay and Ray Serve did with a change, in the words of `rayops review`: looked at on the live objects.

before = observer.look(); marked = observer.mark(); <apply>; observer.settle(marked); observer.verdict(before)
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rayops.kube import Kube, Obj, Timeout, eventually, itself
from rayops.kube.objects import POD, RAY_CLUSTER, RAY_SERVICE, SERVICE, dig, labels_of, name_of
from tests.harness import getters, selectors
from tests.harness.faults import OPERATOR_NAMESPACE, operator_pods

# Two looks at Serve this far apart must be equal: its controller takes a new target at its next turn, every 0.1 s.
STABLE_S = 1.5
CONTAINER = "kuberay-operator"


@dataclass(frozen=True)
class Seen:
    """What a change did. restarted: Serve deployments whose replicas were replaced; reconfigured: only changed ones."""

    verdict: str
    restarted: frozenset[str] = frozenset()
    reconfigured: frozenset[str] = frozenset()
    because: str = ""


@dataclass(frozen=True)
class Mark:
    """The moment before a change: what the operator logs from then on is about it."""

    since: str
    generation: int


class Operator:
    """What KubeRay's operator logs about one object. Its events are rationed (25, then one in five minutes)."""

    def __init__(self, kube: Kube, kind: str, namespace: str, name: str) -> None:
        self._kube, self._kind, self._object = kube, kind, {"name": name, "namespace": namespace}

    def lines(self, since: str) -> Iterator[Obj]:
        """Lines about the object, oldest first."""
        pod = name_of(operator_pods(self._kube)()[0])
        container = "kuberay-operator"
        for line in self._kube.logs(
            OPERATOR_NAMESPACE, pod, container, since=since, limit_bytes=20_000_000
        ).splitlines():
            try:
                parsed = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut off at the limit
            if parsed.get(self._kind) == self._object and parsed["ts"] >= since:
                yield parsed

    def refusal(self, since: str) -> str:
        """Why it refuses the object, "" where it does not: its own validation, or the dashboard's about a Serve config.

        Other errors pass: a conflict of two writers, a head pod that is not there yet, a dashboard that is slow.
        """
        errors = [line for line in self.lines(since) if line["level"] == "error"]
        found = [str(line.get("error") or line["msg"]) for line in errors if _is_refusal(line)]
        return found[-1] if found else ""

    def reconciles(self, since: str) -> int:
        """How many times it has looked at the object."""
        return len({line["reconcileID"] for line in self.lines(since) if "reconcileID" in line})

    def submitted(self, since: str) -> bool:
        """Whether it has sent a Serve config to the dashboard, and that was accepted."""
        return any(line.get("message", "").startswith("Cached Serve config") for line in self.lines(since))


def _is_refusal(line: Obj) -> bool:
    error = str(line.get("error", ""))
    of_validation = bool(error) and line["msg"] == error
    return of_validation or bool(re.search(r"UpdateDeployments fail: 4\d\d|error converting YAML|yaml: ", error))


def now() -> str:
    """The time as the operator's log writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ServiceObserver:
    """Looks at one RayService, its cluster, its Services and what Serve says."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self._kube, self._namespace, self._name = kube, namespace, name
        self.operator = Operator(kube, "RayService", namespace, name)
        self._service = getters.ray_service(kube, namespace, name)
        self._serve = getters.serve_applications(kube, namespace, lambda: selectors.active_cluster(self._service()))

    def look(self) -> Obj:
        """All that a verdict compares."""
        service = self._service()
        cluster = self._kube.get(RAY_CLUSTER, selectors.active_cluster(service), self._namespace)
        head = getters.head_pod(self._kube, self._namespace, name_of(cluster))
        return {
            "service": service["spec"],
            "cluster": cluster["spec"],
            "cluster uid": cluster["metadata"]["uid"],
            "head labels": labels_of(head),
            "serve service": self._kube.get(SERVICE, f"{self._name}-serve-svc", self._namespace)["spec"].get("type"),
            "replicas": deployments(self._serve()),
        }

    def mark(self) -> Mark:
        """Call it before the change."""
        return Mark(now(), self._service()["metadata"]["generation"])

    def settle(self, mark: Mark) -> None:
        """Wait until the operator has taken the change or said why not, and Serve has done what it was told."""
        what = f"the operator has seen the change of {self._name}"
        eventually(lambda: self._seen(mark), itself, bool, Timeout.MEDIUM, what)
        if self.operator.submitted(mark.since) and not self.pending():
            self._serve_settles()

    def _seen(self, mark: Mark) -> bool:
        if self.operator.refusal(mark.since):
            return True
        service = self._service()
        generation = service["metadata"]["generation"]
        if dig(service, "status", "observedGeneration") != generation:
            return False
        # KubeRay writes the generation at the end of a look, when all is decided. What has none of its own (labels) is
        # seen by the second look: the first may have begun before the change.
        return generation != mark.generation or self.operator.reconciles(mark.since) >= 2

    def _serve_settles(self) -> None:
        def twice() -> tuple[Obj, Obj]:
            first = self._serve()
            time.sleep(STABLE_S)
            return first, self._serve()

        def still(pair: tuple[Obj, Obj]) -> bool:
            first, second = pair
            return first["applications"] == second["applications"] and all(
                app["status"] == "RUNNING" and all(each["status"] == "HEALTHY" for each in app["deployments"].values())
                for app in second["applications"].values()
            )

        eventually(twice, still, bool, Timeout.LONG, f"Serve has taken the config of {self._name}")

    def pending(self) -> str:
        """Name of the RayCluster that is to come, "" where there is none."""
        return selectors.pending_cluster(self._service())

    def verdict(self, before: Obj, mark: Mark) -> Seen:
        """What the change since `before` did, the gravest of it."""
        if error := self.operator.refusal(mark.since):
            return Seen("rejected", because=error)
        if pending := self.pending():
            submitted = self.operator.submitted(mark.since)
            return Seen("new-cluster", because=f"{pending} is to come{'; also submitted to the old one' * submitted}")
        after = self.look()
        assert after["cluster uid"] == before["cluster uid"], "another cluster, and nobody said so"
        asked = after["service"]
        restarted, reconfigured = replaced(before["replicas"], after["replicas"])
        done = (restarted, reconfigured)
        changed = [key for key in ("rayClusterConfig", "serveService") if asked.get(key) != before["service"].get(key)]
        if "rayClusterConfig" in changed and after["cluster"] == before["cluster"]:
            return Seen("ignored", *done, because="the RayCluster has not got it")
        if "serveService" in changed and after["serve service"] == before["serve service"]:
            return Seen("ignored", *done, because="the Service has not got it")
        if after["cluster"] != before["cluster"] or after["head labels"] != before["head labels"]:
            return Seen("cluster-in-place", *done, because="the same RayCluster has got it")
        if self.operator.submitted(mark.since):
            return Seen("serve-in-place", *done, because="submitted to the dashboard")
        return Seen("none")

    def forget_pending(self) -> None:
        """Take back an upgrade at once: KubeRay itself would bring up a third cluster and wait for it.

        The specification must be the running cluster's again. What was to come is left without an owner's interest, and
        KubeRay deletes it.
        """

        def forgotten() -> str:
            if pending := self.pending():
                empty = {"status": {"pendingServiceStatus": None}}
                self._kube.patch(RAY_SERVICE, self._name, self._namespace, empty, subresource="status")
            return pending

        def alone() -> set[str]:
            forgotten()
            return selectors.names(getters.ray_clusters(self._kube, self._namespace)())

        active = selectors.active_cluster(self._service())
        eventually(alone, lambda names: names == {active}, bool, Timeout.LONG, f"only {active} is left")


class ClusterObserver:
    """Looks at one RayCluster and its pods."""

    def __init__(self, kube: Kube, namespace: str, name: str) -> None:
        self._kube, self._namespace, self._name = kube, namespace, name
        self.operator = Operator(kube, "RayCluster", namespace, name)

    def look(self) -> Obj:
        """All that a verdict compares."""
        cluster = self._cluster()
        kept = ("desiredWorkerReplicas", "minWorkerReplicas", "maxWorkerReplicas")
        alive = [pod for pod in self._pods() if not dig(pod, "metadata", "deletionTimestamp")]
        pods = {pod["metadata"]["uid"]: labels_of(pod).get("ray.io/node-type") for pod in alive}
        return {"pods": pods, **{key: dig(cluster, "status", key) for key in kept}}

    def mark(self) -> Mark:
        """Call it before the change."""
        return Mark(now(), self._cluster()["metadata"]["generation"])

    def settle(self, mark: Mark) -> None:
        """Wait until the operator has taken the change or said why not."""

        def seen() -> Any:
            if self.operator.refusal(mark.since):
                return True
            cluster = self._cluster()
            observed = dig(cluster, "status", "observedGeneration") == cluster["metadata"]["generation"]
            return observed and self.operator.reconciles(mark.since) >= 1 and self._complete(cluster)

        eventually(seen, itself, bool, Timeout.MEDIUM, f"the operator has seen the change of {self._name}")

    def _complete(self, cluster: Obj) -> bool:
        """Whether there are as many pods as the cluster has now, none of them on its way out."""
        pods = self._pods()
        if dig(cluster, "spec", "suspend"):
            return not pods
        workers = dig(cluster, "status", "desiredWorkerReplicas") or 0
        leaving = [pod for pod in pods if dig(pod, "metadata", "deletionTimestamp")]
        return not leaving and len(pods) >= 1 + workers

    def verdict(self, before: Obj, mark: Mark) -> Seen:
        """What the change since `before` did. Where nothing happened that can be seen: "nothing"."""
        if error := self.operator.refusal(mark.since):
            return Seen("rejected", because=error)
        after = self.look()
        heads = [{uid for uid, kind in each["pods"].items() if kind == "head"} for each in (before, after)]
        if heads[0] != heads[1]:
            return Seen("recreate-pods", because="another head pod")
        differing = [key for key in before if before[key] != after[key]]
        if differing:
            return Seen("cluster-in-place", because=", ".join(differing))
        return Seen("nothing")

    def _cluster(self) -> Obj:
        return self._kube.get(RAY_CLUSTER, self._name, self._namespace)

    def _pods(self) -> list[Obj]:
        return self._kube.list(POD, self._namespace, labels={"ray.io/cluster": self._name})


def deployments(status: Obj) -> dict[str, tuple[frozenset[str], str]]:
    """By deployment of every application: its replicas, and its configuration as text."""
    return {
        name: (
            frozenset(replica["replica_id"] for replica in each["replicas"]),
            json.dumps(each["deployment_config"], sort_keys=True),
        )
        for application in status["applications"].values()
        for name, each in application["deployments"].items()
    }


def replaced(before: Any, after: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Deployments of which no replica was kept, and those of which some were kept with another configuration."""
    both = [name for name in after if name in before]
    restarted = frozenset(name for name in both if before[name][0] and not before[name][0] & after[name][0])
    changed = frozenset(name for name in both if name not in restarted and before[name] != after[name])
    return restarted, changed
