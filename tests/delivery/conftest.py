"""Options and fixtures of the delivery tests: one kind cluster, a Git server in it, one controller after the other."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayops import proc
from rayops.errors import RayopsError
from rayops.kube import Kube, Timeout, eventually, is_so, itself
from rayops.paths import EVIDENCE
from tests.delivery import company
from tests.harness.delivery import images as delivery_images
from tests.harness.delivery.argocd import ArgoCd
from tests.harness.delivery.controller import Controller, wait_healthy
from tests.harness.delivery.flux import Flux
from tests.harness.delivery.pipeline import Pipeline
from tests.harness.delivery.repository import NAMESPACE as GIT
from tests.harness.delivery.repository import Commit, Repository, install
from tests.harness.evidence import Live, file_name, keep_numbers
from tests.harness.kind import UP_TIMEOUT_S, OwnCluster, cluster_name, rayops


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("delivery")
    group.addoption("--pipeline-image", help="an image of the engine to deploy; else it is built from this checkout")
    for name, how, text in (
        ("--keep-cluster", {"action": "store_true"}, "keep our own kind cluster for the next run"),
        ("--evidence-dir", {"type": Path, "default": EVIDENCE}, "where evidence and results go"),
    ):
        try:
            group.addoption(name, help=text, **how)
        except ValueError:  # tests/e2e was named too, and has added them
            continue


LIVE = pytest.StashKey[Live]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LIVE] = Live(config.getoption("--evidence-dir", default=EVIDENCE), always=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.when != "teardown":
        item.config.stash[LIVE].save(file_name(item.nodeid), str(call.when))
    return report


@pytest.fixture(scope="session")
def live(pytestconfig: pytest.Config) -> Live:
    return pytestconfig.stash[LIVE]


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[OwnCluster]:
    found = OwnCluster(cluster_name("-delivery"), keep=pytestconfig.getoption("--keep-cluster"))
    yield found
    found.stop()


@pytest.fixture(scope="session")
def kube(cluster: OwnCluster, pytestconfig: pytest.Config, live: Live) -> Kube:
    """The cluster with the operator, the controllers' images and the pipeline's; nothing else is in it."""
    given = pytestconfig.getoption("--pipeline-image")
    up = ["up", "--cluster", cluster.name, "--until", "operator" if given else "pipeline image"]
    done = rayops(up, timeout=UP_TIMEOUT_S)
    if done.returncode:
        raise RayopsError(f"rayops {' '.join(up)} failed: {(done.stderr or done.stdout).strip()[-600:]}")
    live.kube = Kube.connect(cluster.kind.kubeconfig)
    live.namespaces += [GIT, "argocd", "flux-system", "kuberay-system", company.PIPELINE]
    return live.kube


@pytest.fixture(scope="session")
def image(cluster: OwnCluster, kube: Kube, pytestconfig: pytest.Config) -> str:
    """The pipeline image, by a tag that is its content, on the node."""
    reference = str(pytestconfig.getoption("--pipeline-image") or "") or _tag_of_dev()
    if not cluster.kind.has_image(reference):
        cluster.load_image(reference)
    return reference


def _tag_of_dev() -> str:
    """`rayops up` has just made it: the tag by content that is the same image as `local/pipeline:dev`."""
    names = proc.run(["docker", "image", "inspect", "--format", '{{join .RepoTags " "}}', "local/pipeline:dev"])
    return next(name for name in names.split() if not name.endswith((":dev", ":next")))


@pytest.fixture(scope="session")
def images(cluster: OwnCluster, kube: Kube) -> delivery_images.Images:
    """The controllers' images and the Git server's, on the node."""
    found = delivery_images.ensure()
    if missing := [reference for reference in found.all() if not cluster.kind.has_image(reference)]:
        cluster.kind.load(*missing)
    return found


@pytest.fixture(scope="session")
def repository(
    kube: Kube, images: delivery_images.Images, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Repository]:
    """The Git server with this checkout, and on top of it the commit with a company's values."""
    install(kube, "git", images.git)
    made = Repository(kube, tmp_path_factory.mktemp("repository"))
    made.commit("This checkout, as it lies on disk")
    company.set_values(made, image)
    yield made
    made.close()


@pytest.fixture(scope="session")
def pipeline(cluster: OwnCluster, kube: Kube) -> Pipeline:
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
    repository: Repository,
    pipeline: Pipeline,
    live: Live,
) -> Iterator[Delivered]:
    """One controller after the other, each from a cluster without the pipeline to one without it."""
    made: Controller
    if request.param == "argocd":
        made = ArgoCd(kube, images.argocd, company.PIPELINE, company.argocd(repository))
    else:
        made = Flux(kube, images.kustomize_controller, company.PIPELINE, company.flux(repository), repository)
    live.statuses[made.name] = made.objects
    made.install()
    try:
        commit = repository.head()
        made.start()
        eventually(pipeline.exists, itself, is_so, Timeout.SHORT, f"{made.name} applied the RayService", every=0.5)
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
