"""Options and fixtures of the tests on a real cluster. The work is in tests/harness."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from rayops.kube import Kube
from tests.harness import Cluster, ExternalCluster, namespaces
from tests.harness.evidence import Live, file_name, keep_numbers

ROOT = Path(__file__).parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("cluster")
    group.addoption("--kubeconfig", type=Path, help="an existing cluster, with operator and images; never deleted")
    group.addoption("--i-know", action="store_true", help="that cluster may be changed although it is not local")
    group.addoption("--nodes", type=int, default=1, help="nodes of our own kind cluster")


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """Our own kind cluster, or the one of --kubeconfig. Started by `kube`."""
    option = pytestconfig.getoption
    found: Cluster
    if kubeconfig := option("--kubeconfig"):
        found = ExternalCluster(kubeconfig, i_know=option("--i-know"))
    else:
        from tests.harness.kind import OwnCluster, cluster_name

        found = OwnCluster(cluster_name(), nodes=option("--nodes"), keep=option("--keep-cluster"))
    yield found
    found.stop()


@pytest.fixture(scope="session")
def kube(cluster: Cluster, live: Live) -> Kube:
    live.kube = cluster.start()
    return live.kube


@pytest.fixture(scope="session")
def new_namespace(kube: Kube, live: Live) -> Callable[[str], AbstractContextManager[str]]:
    """`with new_namespace("purpose") as name`: deleted at the end of the block, after evidence was saved."""

    @contextmanager
    def make(purpose: str) -> Iterator[str]:
        name = namespaces.new_name(purpose)
        namespaces.create(kube, name)
        live.namespaces.append(name)
        try:
            yield name
        finally:
            live.namespaces.remove(name)
            namespaces.remove(kube, name)

    return make


@pytest.fixture
def namespace(
    request: pytest.FixtureRequest, new_namespace: Callable[[str], AbstractContextManager[str]]
) -> Iterator[str]:
    """A namespace of the test's own."""
    purpose = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_")).strip("-")
    with new_namespace(purpose) as name:
        yield name


@pytest.fixture
def folder(request: pytest.FixtureRequest, live: Live) -> Path:
    """Where the test may leave files: load logs, timelines."""
    path = live.folder / file_name(request.node.nodeid)
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture
def record(request: pytest.FixtureRequest, live: Live) -> Callable[..., None]:
    """Keep measured numbers under the test's name: results.json in the evidence folder, and the test's own output."""

    def keep(**numbers: object) -> None:
        keep_numbers(live.folder, request.node.name, numbers)

    return keep
