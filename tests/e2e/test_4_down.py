"""`rayops down` leaves nothing behind, and touches nothing that is not its own."""

import pytest

from rayops.kube import Kube
from tests.harness import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]


def test_down_leaves_nothing_behind(cluster: Cluster, kube: Kube) -> None:
    if not cluster.ours:
        pytest.skip("only clusters of ours are taken down")
    from rayops.cluster.kind import KindCluster, clusters
    from tests.harness.kind import cluster_name, containers_of, rayops

    name = cluster_name("-down")
    others = sorted(set(clusters()) - {name})
    up = rayops(["up", "--cluster", name, "--until", "cluster"], timeout=600)
    assert up.returncode == 0, up.stderr
    kubeconfig = KindCluster(name).kubeconfig
    assert containers_of(name)
    assert kubeconfig.exists()

    down = rayops(["down", "--cluster", name])
    assert down.returncode == 0, down.stderr
    assert containers_of(name) == []
    assert clusters() == others
    assert not kubeconfig.parent.exists()
    assert kube.version(), "the cluster of the other tests still answers"

    again = rayops(["down", "--cluster", name])
    assert again.returncode == 0, "nothing to do is no error"
