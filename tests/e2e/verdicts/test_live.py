"""What KubeRay and Ray Serve really do with every change of mutations.yaml: `./scripts/test --review`.

tests/unit/review/test_mutations.py holds `rayops review` against the same rows, so what it says is what was seen here.
With a new KubeRay or Ray the rows that fail name what has changed.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayops.kube import Kube, KubeError, Obj, Timeout, eventually
from rayops.kube.objects import POD, RAY_CLUSTER, labels_of
from rayops.kuberay import ask
from rayops.paths import ROOT
from rayops.render import one
from rayops.review import operator
from tests.harness import Cluster, ServiceUnderTest, faults, mutations, observe, selectors
from tests.harness import overlay as o
from tests.harness.mutations import CLUSTER, RECREATE, SERVICE, Mutation
from tests.harness.observe import ClusterObserver, Mark, Seen, ServiceObserver

pytestmark = [pytest.mark.cluster, pytest.mark.drill, pytest.mark.timeout(900)]
ROWS = mutations.read(Path(__file__).parent / "mutations.yaml")
OVERLAY = ROOT / "overlays" / "local" / "hello"


def rows(subject: str) -> list[Mutation]:
    return [row for row in ROWS if subject in row.verdict]


@dataclass
class LiveService:
    """The RayService that every row changes, and that is itself again after it."""

    service: ServiceUnderTest
    seen: ServiceObserver
    running: Obj

    @property
    def base(self) -> Obj:
        return one(self.service.base, SERVICE)

    def change(self, obj: Obj) -> tuple[Seen, Obj, Mark]:
        """Apply the RayService and look at what happens."""
        before, mark = self.seen.look(), self.seen.mark()
        try:
            self.service.kube.apply([obj], namespace=self.service.namespace)
        except KubeError as error:
            return Seen("rejected", because=str(error)), before, mark
        self.seen.settle(mark)
        return self.seen.verdict(before, mark), before, mark

    def take_back(self) -> Seen:
        """Apply the first RayService again; what that does, "" where an upgrade had to be forgotten."""
        if self.seen.pending():
            self.service.kube.apply([self.base], namespace=self.service.namespace)
            seen = Seen("")
        else:
            seen, *_ = self.change(self.base)
        if self.seen.pending():
            self.seen.forget_pending(self.running)
            self.seen.settle(self.seen.mark())
        return seen


def fresh(kube: Kube, namespace: str, name: str, subject: str, spec: Obj) -> ClusterObserver:
    obj: Obj = {"apiVersion": "ray.io/v1", "kind": CLUSTER, "metadata": {"name": name}, "spec": copy.deepcopy(spec)}
    if subject == RECREATE:
        obj["spec"]["upgradeStrategy"] = {"type": "Recreate"}
    kube.apply([obj], namespace=namespace)
    return ClusterObserver(kube, namespace, name)


@pytest.fixture(scope="module")
def subject_service(
    cluster: Cluster, kube: Kube, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> Iterator[LiveService]:
    def wider(spec: Obj) -> None:
        for group in spec["rayClusterConfig"]["workerGroupSpecs"]:
            group["maxReplicas"] = 3
        # Server-side apply leaves `metadata: null`, which no later apply gets past, where the last of its fields goes.
        spec["serveService"].setdefault("metadata", {})["annotations"] = {"example.com/kept": "1"}

    with new_namespace("verdicts") as namespace:
        service = ServiceUnderTest.deploy(cluster, kube, namespace, OVERLAY, o.deletion_delay(0), o.spec(wider))
        # The pods that are there and no more: a cluster that is to come is looked at and taken back, it need not start.
        quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-more-pods"}}
        kube.apply([{**quota, "spec": {"hard": {"pods": "2"}}}], namespace=namespace)
        seen = ServiceObserver(kube, namespace, service.name)
        yield LiveService(service, seen, seen.remember())


@pytest.mark.parametrize("row", rows(SERVICE), ids=lambda row: row.id)
def test_a_service(row: Mutation, subject_service: LiveService, record: Callable[..., None]) -> None:
    seen, *_ = subject_service.change(row.apply(subject_service.base, SERVICE))
    back = subject_service.take_back()
    record(verdict=seen.verdict, restarted=sorted(seen.restarted), reconfigured=sorted(seen.reconfigured),
           because=seen.because, back=back.verdict)  # fmt: skip
    assert seen.verdict == row.expected(SERVICE, back=False), seen
    if seen.verdict not in ("new-cluster", "rejected"):
        reconfigures = [] if row.unseen else row.reconfigures
        assert seen.restarted == {f"hello/{name}" for name in row.restarts}
        assert seen.reconfigured == {f"hello/{name}" for name in reconfigures}
    # What was ignored is what runs already; an upgrade was forgotten, not taken back.
    if seen.verdict not in ("new-cluster", "ignored"):
        assert (back.verdict or "new-cluster") == row.expected(SERVICE, back=True), back


@pytest.mark.parametrize(("image", "verdict"), [(False, "cluster-in-place"), (True, "ignored")])
def test_an_operator_of_another_version_writes_what_runs(
    image: bool, verdict: str, subject_service: LiveService, kube: Kube, record: Callable[..., None]
) -> None:
    """Seen from the operator, its own upgrade is an annotation of the RayCluster that names another version.

    A size that waited lands. An image of the same sync is written down too, and no new cluster is made for it.
    """
    seen, base = subject_service.seen, subject_service.base
    service, namespace = subject_service.service, subject_service.service.namespace
    wider = next(row for row in ROWS if row.id == "max-replicas").apply(base, SERVICE)
    changed = next(row for row in ROWS if row.id == "head-image").apply(wider, SERVICE) if image else wider
    if not image:
        assert subject_service.change(changed)[0].verdict == "ignored"
    before = seen.look()
    pods = selectors.uids(kube.list(POD, namespace))
    with faults.without_operator(kube):
        older = {"metadata": {"annotations": {operator.VERSION: "v1.6.1"}}}
        kube.patch(RAY_CLUSTER, service.active(), namespace, older)
        kube.apply([changed], namespace=namespace)
        mark = seen.mark()
    eventually(
        lambda: seen.operator.reconciles(mark.since), lambda looks: looks >= 3, bool, Timeout.MEDIUM,
        "the operator has looked at the RayService",
    )  # fmt: skip
    after = seen.look()
    template = after["cluster"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
    record(image=template, pending=seen.pending(), verdict=verdict)
    assert after["cluster uid"] == before["cluster uid"]
    assert seen.pending() == "", "a new cluster, although its hash was written"
    assert selectors.uids(kube.list(POD, namespace)) == pods, "pods stay as they are"
    assert after["cluster"]["workerGroupSpecs"][0]["maxReplicas"] == 7, "what waited has landed"
    assert (
        template == changed["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
    )
    kube.apply([base], namespace=namespace)
    seen.forget_pending(subject_service.running)
    seen.settle(seen.mark())


@pytest.fixture(scope="module")
def namespace_of_clusters(new_namespace: Callable[[str], AbstractContextManager[str]]) -> Iterator[str]:
    with new_namespace("verdicts-clusters") as namespace:
        yield namespace


@pytest.fixture(scope="module")
def cluster_spec(subject_service: LiveService) -> Obj:
    """One pod a group, and no scheduler that would place them: what is looked at is which pods there are."""
    spec: Obj = copy.deepcopy(subject_service.base["spec"]["rayClusterConfig"])
    spec["headGroupSpec"]["template"]["spec"]["schedulerName"] = "nobody"
    for group in spec["workerGroupSpecs"]:
        group["template"]["spec"]["schedulerName"] = "nobody"
        group["replicas"] = 1
    return spec


@pytest.mark.parametrize(
    ("subject", "row"),
    [(subject, row) for subject in (CLUSTER, RECREATE) for row in rows(subject)],
    ids=lambda value: value if isinstance(value, str) else value.id,
)
def test_a_cluster(
    subject: str, row: Mutation, kube: Kube, namespace_of_clusters: str, cluster_spec: Obj, record: Callable[..., None]
) -> None:
    namespace, name = namespace_of_clusters, row.id[:40]
    seen_by = fresh(kube, namespace, name, subject, cluster_spec)
    try:
        seen_by.settle(Mark(observe.now(), 0))
        before, mark = seen_by.look(), seen_by.mark()
        assert len(before["pods"]) == 3
        manifest = {"apiVersion": "ray.io/v1", "kind": CLUSTER, "metadata": {"name": name}, "spec": cluster_spec}
        if subject == RECREATE:
            manifest["spec"] = {**cluster_spec, "upgradeStrategy": {"type": "Recreate"}}
        changed = row.apply(manifest, subject)
        try:
            kube.apply([changed], namespace=namespace)
        except KubeError as error:
            seen = Seen("rejected", because=str(error))
        else:
            seen_by.settle(mark)
            seen = seen_by.verdict(before, mark, other_pods(manifest, changed))
        record(verdict=seen.verdict, because=seen.because)
        assert seen.verdict == row.expected(subject, back=False), seen
    finally:
        kube.delete(RAY_CLUSTER, name, namespace, grace_s=0)


def other_pods(old: Obj, new: Obj) -> set[str]:
    """The groups of which KubeRay's own code builds other pods of the new cluster than of the old one."""
    before, after = ({labels_of(pod)["ray.io/group"]: pod for pod in each.built} for each in ask([old, new]))
    return {group for group in before if group in after and before[group] != after[group]}


def test_every_kind_of_verdict_was_looked_for() -> None:
    wanted = {verdict for row in ROWS for verdict in row.verdict.values()}
    assert wanted == {
        "none", "serve-in-place", "cluster-in-place", "new-cluster", "ignored", "rejected", "recreate-pods",
    }  # fmt: skip
    assert len(ROWS) >= 60
