"""One kind cluster: what kind is told, and that nothing else is touched."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.cluster import kind, tools
from rayops.cluster.kind import KindCluster
from rayops.cluster.node_image import NodeImage
from rayops.errors import RayopsError
from tests.unit.rayops.programs import Recorder, write_program

NODES = {
    "items": [
        {
            "metadata": {"name": name},
            "spec": {"podCIDR": f"10.244.{number}.0/24"},
            "status": {"addresses": [{"address": f"172.18.0.{number}"}]},
        }
        for number, name in enumerate(["mine-control-plane", "mine-worker"])
    ]
}
BUILT, PULLED = NodeImage("local/kind-node:1", built=True), NodeImage("kindest/node:1", built=False)


@pytest.fixture
def engine(recorder: Recorder, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """An engine with two clusters, mine and theirs; mine has two nodes."""
    monkeypatch.setattr(tools, "path", Path)
    recorder.reply("docker", "ps", say="theirs\nmine\nmine\n\n")
    recorder.reply("docker", "ps", "label=io.x-k8s.kind.cluster=mine", say="mine-worker\nmine-control-plane\n")
    recorder.reply("kubectl", "get", "nodes", say=json.dumps(NODES))
    return recorder


def with_kubeconfig(name: str) -> KindCluster:
    cluster = KindCluster(name)
    cluster.kubeconfig.parent.mkdir(parents=True)
    cluster.kubeconfig.write_text("x")
    return cluster


def created(engine: Recorder, image: NodeImage, nodes: int = 1) -> dict[str, Any]:
    """The configuration that kind is given."""
    KindCluster("new").create(image, nodes=nodes)
    call = engine.one("kind", "create", "cluster", "--name", "new", "--image", image.reference)
    configuration: dict[str, Any] = yaml.safe_load(call.options["stdin"])
    return configuration


def test_node_ports_are_random_ports_of_loopback_only(engine: Recorder) -> None:
    first = created(engine, PULLED)["nodes"][0]
    ports = first["extraPortMappings"]
    assert [port["containerPort"] for port in ports] == list(range(30080, 30100))
    assert {(port["hostPort"], port["listenAddress"], port["protocol"]) for port in ports} == {(0, "127.0.0.1", "TCP")}


@pytest.mark.parametrize("image", [BUILT, PULLED])
def test_only_a_built_image_brings_its_own_network(engine: Recorder, image: NodeImage) -> None:
    networking = created(engine, image)["networking"]
    assert networking["disableDefaultCNI"] is image.built
    assert networking["apiServerAddress"] == "127.0.0.1"
    assert bool(engine.of("kubectl", "apply", "-f", "-")) is image.built
    assert bool(engine.of("tee", "/etc/cni/net.d/10-bridge.conflist")) is image.built


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_a_cluster_has_as_many_nodes_as_asked_for(engine: Recorder, nodes: int) -> None:
    roles = [node["role"] for node in created(engine, PULLED, nodes)["nodes"]]
    assert roles == ["control-plane", *["worker"] * (nodes - 1)]


def test_the_control_plane_is_made_small_by_patches_that_kubeadm_reads(engine: Recorder) -> None:
    configuration = created(engine, PULLED)
    (mount,) = configuration["nodes"][0]["extraMounts"]
    init = yaml.safe_load(configuration["kubeadmConfigPatches"][0])
    assert init["patches"]["directory"] == mount["containerPath"]
    files = {file.name.partition("+")[0]: file for file in Path(mount["hostPath"]).iterdir()}
    assert set(files) == {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd"}
    for component, file in files.items():
        (container,) = yaml.safe_load(file.read_text())["spec"]["containers"]
        assert container["name"] == component
        assert container["resources"]["requests"]["cpu"].endswith("m")
        assert file.name == f"{component}+strategic.yaml"


def test_each_node_of_a_built_image_gets_its_subnet_and_routes_to_the_others(engine: Recorder) -> None:
    created(engine, BUILT)
    for node, other in (("mine-control-plane", 1), ("mine-worker", 0)):
        network = json.loads(engine.one("docker", "exec", node, "tee").options["stdin"])
        assert f"10.244.{1 - other}.0/24" in json.dumps(network)
        engine.one("docker", "exec", node, "ip", "route", f"10.244.{other}.0/24", f"172.18.0.{other}")


def test_the_kubeconfig_is_a_file_of_its_own(engine: Recorder, cache: Path) -> None:
    created(engine, PULLED)
    call = engine.one("kind", "create")
    assert call.after("--kubeconfig") == str(KindCluster("new").kubeconfig)
    assert KindCluster("new").kubeconfig.is_relative_to(cache)
    assert KindCluster("new").kubeconfig != KindCluster("mine").kubeconfig


def test_a_cluster_that_cannot_be_made_is_an_error_with_its_cause(engine: Recorder) -> None:
    engine.fail("kind", "create", message="kind create cluster failed: ERROR: no space")
    with pytest.raises(RayopsError, match="no space"):
        KindCluster("new").create(PULLED)


def test_an_unfinished_cluster_is_removed_before_it_is_made_again(engine: Recorder) -> None:
    with_kubeconfig("mine").create(PULLED)
    kinds = [call.words[1] for call in engine.calls if call.words[0] == "kind"]
    assert kinds == ["delete", "create"]


def test_a_cluster_whose_making_was_interrupted_is_made_again(engine: Recorder) -> None:
    engine.fail("kind", "create", message="interrupted")
    with pytest.raises(RayopsError, match="interrupted"):
        KindCluster("new").create(PULLED)
    engine.replies.pop()
    engine.reply("docker", "ps", say="new\ntheirs\n")
    KindCluster("new").create(PULLED)
    assert [call.words[1] for call in engine.calls if call.words[0] == "kind"] == ["create", "delete", "create"]


def test_a_cluster_of_this_name_that_was_not_made_here_is_not_replaced(engine: Recorder) -> None:
    with pytest.raises(RayopsError, match="theirs"):
        KindCluster("theirs").create(PULLED)
    assert not engine.of("kind", "delete")


def test_a_cluster_of_this_name_that_was_not_made_here_is_not_deleted(engine: Recorder) -> None:
    with pytest.raises(RayopsError, match="theirs"):
        KindCluster("theirs").delete()
    assert not engine.of("kind", "delete")


def test_the_cluster_of_this_checkout_is_ours_also_when_the_cache_was_emptied(engine: Recorder) -> None:
    name = KindCluster().name
    engine.reply("docker", "ps", say=f"{name}\n")
    assert KindCluster(name).delete()
    engine.one("kind", "delete", "cluster", "--name", name)


def test_a_cluster_exists_when_it_and_its_kubeconfig_are_there(engine: Recorder) -> None:
    assert not KindCluster("mine").exists()
    assert with_kubeconfig("mine").exists()
    assert not with_kubeconfig("gone").exists()
    assert kind.clusters() == ["mine", "theirs"]


def test_a_cluster_runs_when_its_api_server_answers(engine: Recorder) -> None:
    mine = with_kubeconfig("mine")
    assert mine.running()
    engine.fail("kubectl", "get", "--raw", "/readyz")
    assert not mine.running()


def test_delete_touches_only_its_own_name_and_folder(engine: Recorder, cache: Path) -> None:
    mine, theirs = with_kubeconfig("mine"), with_kubeconfig("theirs")
    (mine.kubeconfig.parent / "patches").mkdir()
    (mine.kubeconfig.parent / "patches" / "x.yaml").touch()
    (cache / "other").touch()
    assert mine.delete()
    (call,) = [call for call in engine.calls if call.words[0] == "kind"]
    assert call.words[:5] == ["kind", "delete", "cluster", "--name", "mine"]
    assert call.after("--kubeconfig") == str(mine.kubeconfig)
    assert not mine.kubeconfig.parent.exists()
    assert theirs.kubeconfig.exists()
    assert (cache / "other").exists()


def test_there_is_nothing_to_delete_of_a_cluster_that_is_not_there(engine: Recorder) -> None:
    assert not KindCluster("gone").delete()
    assert not engine.of("kind", "delete")


def test_what_is_left_of_a_cluster_that_is_gone_is_removed(engine: Recorder) -> None:
    gone = with_kubeconfig("gone")
    assert not gone.delete()
    assert not gone.kubeconfig.parent.exists()


@pytest.mark.parametrize("name", ["..", ".", "", "../..", "theirs/x", "{cache}/bin", "-x"])
def test_a_name_that_is_none_deletes_nothing(engine: Recorder, cache: Path, name: str) -> None:
    theirs = with_kubeconfig("theirs")
    (cache / "bin").mkdir()
    (cache / "bin" / "kind").touch()
    with pytest.raises(RayopsError):
        KindCluster(name.format(cache=cache)).delete()
    assert theirs.kubeconfig.exists()
    assert (cache / "bin" / "kind").exists()


def test_the_port_of_this_machine_is_the_one_that_docker_chose(engine: Recorder) -> None:
    engine.reply("docker", "port", "mine-control-plane", "30080", say="127.0.0.1:34567\n")
    assert KindCluster("mine").host_port(30080) == 34567


@pytest.mark.parametrize("port", [30079, 30100, 8000])
def test_a_port_that_is_not_published_is_refused_with_those_that_are(engine: Recorder, port: int) -> None:
    with pytest.raises(RayopsError, match=f"node port {port} is not published") as caught:
        KindCluster("mine").host_port(port)
    assert "30080" in str(caught.value.hint)
    assert "30099" in str(caught.value.hint)
    assert not engine.of("docker", "port")


def test_a_cluster_whose_nodes_are_stopped_has_no_port_and_says_so(engine: Recorder) -> None:
    engine.reply("docker", "ps", "label=io.x-k8s.kind.cluster=mine", say="")
    with pytest.raises(RayopsError, match="mine"):
        KindCluster("mine").host_port(30080)


def test_nodes_are_listed_control_plane_first(engine: Recorder) -> None:
    assert KindCluster("mine").nodes() == ["mine-control-plane", "mine-worker"]


@pytest.mark.parametrize(
    ("reference", "there"), [("local/pipeline:1", True), ("quay.io/a/b:1", True), ("a/b:2", False)]
)
def test_an_image_is_there_when_every_node_has_it(engine: Recorder, reference: str, there: bool) -> None:
    engine.reply("images", "ls", say="docker.io/local/pipeline:1\nquay.io/a/b:1\ndocker.io/a/b:22\n")
    assert KindCluster("mine").has_image(reference) is there
    engine.reply("docker", "exec", "mine-worker", "images", "ls", say="")
    assert not KindCluster("mine").has_image(reference)


DOCKER = """
case "$1" in
  ps) echo mine-worker; echo mine-control-plane ;;
  save) shift; echo "$@"; [ ! -e {folder}/full ] || {{ echo "error: disk full" >&2; exit 1; }} ;;
  exec) cat > {folder}/$3 ;;
esac
"""


@pytest.fixture
def real_docker(bin_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker whose nodes keep what they import as a file each, in this folder."""
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    write_program(bin_folder, "docker", DOCKER.format(folder=cache))
    return cache


def test_images_are_loaded_into_every_node(real_docker: Path) -> None:
    KindCluster("mine").load("a:1", "b:2")
    for node in ("mine-control-plane", "mine-worker"):
        assert (real_docker / node).read_text() == "a:1 b:2\n"
    assert list(real_docker.glob("tmp*")) == []


def test_an_image_that_cannot_be_read_is_an_error_also_when_the_node_is_content(real_docker: Path) -> None:
    (real_docker / "full").touch()
    with pytest.raises(RayopsError, match="disk full") as caught:
        KindCluster("mine").load("a:1")
    assert caught.value.evidence == KindCluster("mine").log


def test_the_cluster_of_a_checkout_has_a_name_of_its_own() -> None:
    assert KindCluster().name.startswith("rayops-")
    assert len(KindCluster().name) == len("rayops-") + 6
