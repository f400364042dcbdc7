"""What KubeRay and Ray Serve did with a change, in the words of `rayops review`: looked at on the live objects.

before = observer.look(); marked = observer.mark(); <apply>; observer.settle(marked); observer.verdict(before)
"""

import json
import re
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from rayops.kube import Kube, KubeError, Obj, Timeout, eventually, itself
from rayops.kube.objects import POD, RAY_CLUSTER, RAY_SERVICE, SERVICE, dig, labels_of, name_of
from tests.harness import getters, selectors
from tests.harness.faults import OPERATOR_NAMESPACE, operator_pods

# Two looks at Serve this far apart must be equal: its controller takes a new target at its next turn, every 0.1 s.
STABLE_S = 1.5
# A RayService is looked at every two seconds.
REFUSED_S = 4.0
CONTAINER = "kuberay-operator"
HEAD = "headgroup"
SERVICES = ("Service", "asked of the Service")


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

    def refusal(self, since: str, until: str = "9") -> str:
        """Why it refuses the object, "" where it does not: its own validation, or the dashboard's about a Serve config.

        Other errors pass: a conflict of two writers, a head pod that is not there yet, a dashboard that is slow.
        """
        errors = [line for line in self.lines(since) if line["level"] == "error" and line["ts"] <= until]
        found = [str(line.get("error") or line["msg"]) for line in errors if _is_refusal(line)]
        return found[-1] if found else ""

    def reconciles(self, since: str) -> int:
        """How many times it has looked at the object."""
        return len({line["reconcileID"] for line in self.lines(since) if "reconcileID" in line})

    def finished(self, since: str) -> bool:
        """Whether it has looked at the object once more, from beginning to end. For RayClusters."""
        begun: set[str] = set()
        for line in self.lines(since):
            if line["msg"] == "Reconciling Ingress" or line["msg"] == "reconcileHeadService":
                begun.add(line["reconcileID"])
            if line["msg"] == "Unconditional requeue after" and line["reconcileID"] in begun:
                return True
        return False

    def submitted(self, since: str) -> bool:
        """Whether it has sent a Serve config to the dashboard, and that was accepted."""
        return any(line.get("message", "").startswith("Cached Serve config") for line in self.lines(since))


def _is_refusal(line: Obj) -> bool:
    error = str(line.get("error", ""))
    # validateRayService logs the error as its own message, rayClusterReconcile says what is invalid.
    of_validation = bool(error) and (line["msg"] == error or line["msg"].endswith(" is invalid"))
    return of_validation or bool(re.search(r"UpdateDeployments fail: 4\d\d|error converting YAML|yaml: ", error))


def now(ago_s: float = 0.0) -> str:
    """The time, or a moment ago, as the operator's log writes it."""
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
        serving = self._kube.get(SERVICE, f"{self._name}-serve-svc", self._namespace)
        try:
            head, serve = getters.head_pod(self._kube, self._namespace, name_of(cluster)), self._serve()
        except (LookupError, KubeError):
            head, serve = {}, {"applications": {}}  # suspended: no pods, so nobody who could be asked
        return {
            "service": service["spec"],
            "cluster": cluster["spec"],
            "cluster uid": cluster["metadata"]["uid"],
            "head labels": labels_of(head),
            "serve type": serving["spec"].get("type"),
            "serve notes": dig(serving, "metadata", "annotations", default={}),
            "replicas": deployments(serve),
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
        service = self._service()
        generation = service["metadata"]["generation"]
        if dig(service, "status", "observedGeneration") != generation:
            # What it refuses it does not write down as seen. A line may be about what was there before, so it must be
            # older than the time that a look takes.
            return bool(self.operator.refusal(mark.since, until=now(REFUSED_S)))
        if generation == mark.generation and self.operator.refusal(mark.since):
            return True
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
        service = self._service()
        generation = service["metadata"]["generation"]
        # An annotation has no generation: there the log alone tells.
        told = dig(service, "status", "observedGeneration") != generation or generation == mark.generation
        if told and (error := self.operator.refusal(mark.since)):
            return Seen("rejected", because=error)
        if pending := self.pending():
            submitted = self.operator.submitted(mark.since)
            return Seen("new-cluster", because=f"{pending} is to come{'; also submitted to the old one' * submitted}")
        after = self.look()
        assert after["cluster uid"] == before["cluster uid"], "another cluster, and nobody said so"
        asked = after["service"]
        done = replaced(before["replicas"], after["replicas"])
        if typed(after["cluster"]) != typed(asked["rayClusterConfig"]):
            return Seen("ignored", *done, because="the RayCluster has not got it")
        wanted = asked.get("serveService") != before["service"].get("serveService")
        if wanted and (after["serve type"], after["serve notes"]) == (before["serve type"], before["serve notes"]):
            return Seen("ignored", *done, because="the Service has not got it")
        differs = typed(after["cluster"]) != typed(before["cluster"])
        if differs or after["head labels"] != before["head labels"]:
            return Seen("cluster-in-place", *done, because="the same RayCluster has got it")
        if self.operator.submitted(mark.since):
            return Seen("serve-in-place", *done, because="submitted to the dashboard")
        return Seen("none")

    def remember(self) -> Obj:
        """The running cluster as `forget_pending` puts it back: its spec, and what KubeRay notes of it."""
        cluster = self._kube.get(RAY_CLUSTER, selectors.active_cluster(self._service()), self._namespace)
        return {"metadata": {"annotations": cluster["metadata"]["annotations"]}, "spec": cluster["spec"]}

    def forget_pending(self, running: Obj) -> None:
        """Take back an upgrade at once: KubeRay itself would bring up a third cluster and wait for it.

        running: what the cluster was when the specification of now was its own: one that got a group in place cannot
        lose it in place, so the group is taken from it by hand. What was to come is left with nobody's interest, and
        KubeRay deletes it. It looks again at once because an annotation changes: without a head pod of what was to come
        it waits longer each time.
        """
        active = selectors.active_cluster(self._service())
        self._kube.patch(RAY_CLUSTER, active, self._namespace, running)

        def alone() -> set[str]:
            if self.pending():
                empty = {"status": {"pendingServiceStatus": None}}
                self._kube.patch(RAY_SERVICE, self._name, self._namespace, empty, subresource="status")
            nudge = {"metadata": {"annotations": {"rayops.io/looked-at": now()}}}
            self._kube.patch(RAY_SERVICE, self._name, self._namespace, nudge)
            return selectors.names(getters.ray_clusters(self._kube, self._namespace)())

        eventually(alone, lambda names: names == {active}, bool, Timeout.LONG, f"only {active} is left", every=2.0)


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
        pods = {pod["metadata"]["uid"]: labels_of(pod).get("ray.io/group") for pod in alive}
        service = self._kube.get(SERVICE, f"{self._name}-head-svc", self._namespace)
        head = dig(cluster, "spec", "headGroupSpec", default={})
        return {
            "pods": pods,
            **{key: dig(cluster, "status", key) for key in kept},
            "Service": [service["spec"].get("type"), dig(service, "metadata", "annotations", default={})],
            "asked of the Service": [head.get("serviceType"), dig(cluster, "spec", "headServiceAnnotations")],
        }

    def mark(self) -> Mark:
        """Call it before the change."""
        return Mark(now(), self._cluster()["metadata"]["generation"])

    def settle(self, mark: Mark) -> None:
        """Wait until the operator has taken the change or said why not."""

        # A look may have begun before the change, and the status of a RayCluster tells no generation where nothing of
        # it changes: so one more look is asked for, and the change was there when it began.
        asked = now()
        nudge = {"metadata": {"annotations": {"rayops.io/looked-at": asked}}}
        self._kube.patch(RAY_CLUSTER, self._name, self._namespace, nudge)

        def seen() -> Any:
            if self.operator.refusal(mark.since):
                return True
            return self.operator.finished(asked) and self._complete(self._cluster())

        eventually(seen, itself, bool, Timeout.MEDIUM, f"the operator has seen the change of {self._name}")

    def _complete(self, cluster: Obj) -> bool:
        """Whether there are as many pods as the cluster has now, none of them on its way out."""
        pods = self._pods()
        if dig(cluster, "spec", "suspend"):
            return not pods
        workers = dig(cluster, "status", "desiredWorkerReplicas") or 0
        leaving = [pod for pod in pods if dig(pod, "metadata", "deletionTimestamp")]
        return not leaving and len(pods) >= 1 + workers

    def verdict(self, before: Obj, mark: Mark, changed: Set[str] = frozenset()) -> Seen:
        """What the change since `before` did. changed: groups of which KubeRay would build other pods now."""
        if error := self.operator.refusal(mark.since):
            return Seen("rejected", because=error)
        after = self.look()
        heads = [{uid for uid, group in each["pods"].items() if group == HEAD} for each in (before, after)]
        if heads[0] != heads[1]:
            return Seen("recreate-pods", because="another head pod")
        if kept := {group for uid, group in after["pods"].items() if uid in before["pods"] and group in changed}:
            return Seen("ignored", because=f"pods of {', '.join(sorted(kept))} stay as they are")
        if typed(after["asked of the Service"]) != typed(before["asked of the Service"]):
            assert after["Service"] == before["Service"], "the head Service has changed, and nobody said it would"
            return Seen("ignored", because="the head Service stays as it is")
        differing = [key for key in before if key not in SERVICES and before[key] != after[key]]
        return Seen("cluster-in-place", because=", ".join(differing)) if differing else Seen("none")

    def _cluster(self) -> Obj:
        return self._kube.get(RAY_CLUSTER, self._name, self._namespace)

    def _pods(self) -> list[Obj]:
        return self._kube.list(POD, self._namespace, labels={"ray.io/cluster": self._name})


def typed(node: Any, path: tuple[str, ...] = ()) -> Any:
    """An object as the operator's typed one is: nothing that is empty, and quantities by their value."""
    if isinstance(node, dict):
        made = {key: typed(each, (*path, key)) for key, each in node.items()}
        return {key: each for key, each in made.items() if each not in (None, {}, [])}
    if isinstance(node, list):
        return [typed(each, path) for each in node]
    if len(path) > 1 and path[-2] in ("requests", "limits"):
        return parse_quantity(node)
    return node


def deployments(status: Obj) -> dict[str, tuple[frozenset[str], str]]:
    """By APPLICATION/DEPLOYMENT: its replicas, and its configuration as text."""
    return {
        f"{application['name']}/{name}": (
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
