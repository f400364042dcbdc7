"""A cluster from a pulled node image; `rayops down` leaves nothing behind, and touches nothing that is not its own."""

from pathlib import Path

import pytest

from rayops.kube import Kube
from tests.harness import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_node_image_is_pulled_and_down_leaves_nothing_behind(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    if not cluster.ours:
        pytest.skip("only clusters of ours are taken down")
    from rayops import proc
    from rayops.cluster import node_image
    from rayops.cluster.kind import KindCluster, clusters
    from tests.harness.kind import cluster_name, containers_of, rayops
    from tests.harness.registry import local_registry, push

    name = cluster_name("-down")
    others = sorted(set(clusters()) - {name})
    built, _ = node_image.ensure(offline=True)
    with local_registry(tmp_path) as registry:
        image = f"{registry}/kindest/node:{built.reference.rpartition(':')[2]}"
        push(built.reference, image)
        up = rayops(["up", "--cluster", name, "--node-image", image, "--until", "cluster"], timeout=600)
    assert up.returncode == 0, up.stderr
    assert f"{image} pulled" in up.stdout
    kubeconfig = KindCluster(name).kubeconfig
    running = proc.run(["docker", "inspect", "--format", "{{.Config.Image}}", *containers_of(name)]).split()
    assert running == [image]
    assert kubeconfig.exists()

    down = rayops(["down", "--cluster", name])
    proc.run(["docker", "rmi", image])
    assert down.returncode == 0, down.stderr
    assert containers_of(name) == []
    assert clusters() == others
    assert not kubeconfig.parent.exists()
    assert kube.version(), "the cluster of the other tests still answers"

    again = rayops(["down", "--cluster", name])
    assert again.returncode == 0, "nothing to do is no error"
