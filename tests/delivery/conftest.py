"""Options and fixtures of the delivery tests: one kind cluster, a Git server in it, one controller after the other."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from rayops.cluster import gobuild, operator, pipeline_image
from rayops.errors import RayopsError
from rayops.kube import Kube, Timeout, eventually, is_so, itself
from rayops.kube.objects import DEPLOYMENT
from rayops.paths import ROOT
from tests.delivery import company
from tests.harness.delivery import images as delivery_images
from tests.harness.delivery.argocd import ArgoCd
from tests.harness.delivery.controller import Controller, wait_healthy
from tests.harness.delivery.flux import Flux
from tests.harness.delivery.pipeline import Pipeline
from tests.harness.delivery.repository import NAMESPACE as GIT
from tests.harness.delivery.repository import Commit, GitServer, Repository, copy_checkout, install
from tests.harness.evidence import Live, keep_numbers
from tests.harness.kind import UP_TIMEOUT_S, OwnCluster, cluster_name, rayops


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("delivery")
    group.addoption("--pipeline-image", help="an image of the engine to deploy; else it is built from this checkout")


class DeliveryCluster(OwnCluster):
    """A cluster of its own, beside the one of tests/e2e, without operator and pipeline: the controllers bring them."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__(cluster_name("-delivery"), keep=keep)

    def start(self) -> Kube:
        """An empty cluster, or the one that an earlier run kept."""
        up = ["up", "--cluster", self.name, "--until", "cluster"]
        done = rayops(up, timeout=UP_TIMEOUT_S)
        if done.returncode:
            raise RayopsError(f"rayops {' '.join(up)} failed: {(done.stderr or done.stdout).strip()[-600:]}")
        self._kube = Kube.connect(self.kind.kubeconfig)
        return self._kube

    def load(self, *references: str) -> None:
        """Put those images onto the node that it lacks."""
        if missing := [reference for reference in references if not self.kind.has_image(reference)]:
            self.kind.load(*missing)


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[DeliveryCluster]:
    found = DeliveryCluster(keep=pytestconfig.getoption("--keep-cluster"))
    yield found
    found.stop()


@pytest.fixture(scope="session")
def kube(cluster: DeliveryCluster, live: Live) -> Kube:
    """The cluster; nothing is in it."""
    live.kube = cluster.start()
    live.namespaces += [GIT, "argocd", "flux-system", operator.NAMESPACE, company.PIPELINE]
    return live.kube


@pytest.fixture(scope="session")
def image(cluster: DeliveryCluster, kube: Kube, pytestconfig: pytest.Config) -> str:
    """The pipeline image, by a tag that is its content, on the node."""
    given = pytestconfig.getoption("--pipeline-image")
    reference = str(given) if given else pipeline_image.ensure(offline=False)[0]
    cluster.load(reference)
    return reference


@pytest.fixture(scope="session")
def operator_image(cluster: DeliveryCluster, kube: Kube) -> str:
    """The operator's image, on the node where it is of our own making, and its chart packaged or downloaded."""
    reference, _ = operator.ensure_image(offline=False)
    operator.ensure_chart(offline=False)
    if reference.startswith("local/"):
        cluster.load(reference)
    return reference


@pytest.fixture(scope="session")
def images(cluster: DeliveryCluster, kube: Kube) -> delivery_images.Images:
    """The controllers' images and the Git server's, on the node."""
    found = delivery_images.ensure()
    cluster.load(*found.all())
    return found


@pytest.fixture(scope="session")
def server(kube: Kube, images: delivery_images.Images) -> Iterator[GitServer]:
    """The Git server."""
    install(kube, "git", images.git)
    made = GitServer(kube)
    yield made
    made.close()


@pytest.fixture(scope="session")
def repository(
    server: GitServer, image: str, operator_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Repository:
    """This checkout with a company's values in a commit on top; KubeRay's CRDs in a repository beside it."""
    folder = tmp_path_factory.mktemp("repository")
    copy_checkout(folder)
    made = Repository(server, "rayops", folder)
    made.commit("This checkout, as it lies on disk")
    company.set_values(made, image, operator_image, operator.CHART / "charts")
    crds = gobuild.module_directory("kuberay-operator", operator.MODULE) / "config" / "crd" / "bases"
    company.kuberay(Repository(server, "kuberay", tmp_path_factory.mktemp("kuberay")), crds)
    return made


@pytest.fixture(scope="session")
def pipeline(cluster: DeliveryCluster, kube: Kube) -> Pipeline:
    return Pipeline(kube, cluster, company.PIPELINE)


@dataclass(frozen=True)
class First:
    """The first sync of a controller: seconds from its first object to the RayService, and to its word Healthy."""

    applied_s: float
    healthy_s: float


@dataclass(frozen=True)
class Delivered:
    """A controller that has brought the pipeline up."""

    controller: Controller
    first: First


@pytest.fixture(scope="session", params=["argocd", "flux"])
def delivered(
    request: pytest.FixtureRequest,
    kube: Kube,
    images: delivery_images.Images,
    server: GitServer,
    repository: Repository,
    operator_image: str,
    cluster: DeliveryCluster,
    pipeline: Pipeline,
    live: Live,
) -> Iterator[Delivered]:
    """One controller after the other, each from a cluster without the pipeline to one without it."""
    made: Controller
    if request.param == "argocd":
        made = ArgoCd(kube, images.argocd, company.PIPELINE, company.argocd(repository))
    else:
        made = Flux(kube, images.kustomize_controller, company.PIPELINE, company.flux(repository), server)
        if kube.find(DEPLOYMENT, "kuberay-operator", operator.NAMESPACE) is None:  # Argo CD has not brought it before
            operator.install(cluster.kind, operator_image, ROOT / "overlays/local/operator-values.yaml")
    live.statuses[made.name] = made.objects
    made.install()
    try:
        commit = repository.head()
        made.start()
        eventually(pipeline.exists, itself, is_so, Timeout.LONG, f"{made.name} applied the RayService", every=0.5)
        applied = commit.seconds()
        wait_healthy(made, commit)
        yield Delivered(made, First(applied, commit.seconds()))
    except BaseException:
        live.save(f"{made.name}-start", "setup")
        raise
    finally:
        made.stop()
        eventually(pipeline.is_gone, itself, is_so, Timeout.MEDIUM, f"{made.name} took the pipeline away")
        del live.statuses[made.name]


@pytest.fixture
def controller(delivered: Delivered) -> Controller:
    return delivered.controller


@pytest.fixture
def good(repository: Repository) -> Iterator[Commit]:
    """The commit that every test starts from, and that it leaves behind, whatever it did."""
    start = repository.head()
    yield start
    repository.back_to(start)


@pytest.fixture
def record(request: pytest.FixtureRequest, live: Live) -> Callable[..., None]:
    """Keep measured numbers under the test's name, as tests/e2e does."""

    def keep(**numbers: object) -> None:
        keep_numbers(live.folder, request.node.name, numbers)

    return keep
