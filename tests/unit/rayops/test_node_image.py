"""Where the node image comes from: a registry that answers, or a build that is never done twice."""

import shutil
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from rayops import paths
from rayops.cluster import node_image, rootfs
from rayops.cluster.node_image import NodeImage, registry_answers, registry_of
from rayops.errors import RayopsError
from tests.unit.rayops.conftest import Handle
from tests.unit.rayops.programs import Recorder

Serve = Callable[[Handle], int]


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("debian", "registry-1.docker.io"),
        ("debian:12", "registry-1.docker.io"),
        ("kindest/node:v1.37.0", "registry-1.docker.io"),
        ("docker.io/kindest/node:v1.37.0", "registry-1.docker.io"),
        ("quay.io/kuberay/operator:v1.6.2", "quay.io"),
        ("localhost/node:1", "localhost"),
        ("localhost:5000/node", "localhost:5000"),
        ("127.0.0.1:5000/kindest/node:v1", "127.0.0.1:5000"),
        ("ghcr.io/a/b@sha256:00", "ghcr.io"),
    ],
)
def test_the_registry_of_an_image(image: str, host: str) -> None:
    assert registry_of(image) == host


def says(code: int, **headers: str) -> Handle:
    def handle(request: BaseHTTPRequestHandler) -> None:
        request.send_response(code if request.path == "/v2/" else 404)
        for name, value in {**headers, "Content-Length": "0"}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()

    return handle


def hangs(request: BaseHTTPRequestHandler) -> None:
    time.sleep(2)


def talks_nonsense(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"220 mail.example ready\r\n\r\n")


@pytest.mark.parametrize(
    ("handle", "so"),
    [
        (says(200), True),
        (says(401, www_authenticate='Bearer realm="x"'), True),
        (says(401), False),
        (says(403), False),
        (says(403, www_authenticate='Bearer realm="x"'), False),
        (says(404), False),
        (says(500), False),
    ],
)
def test_a_registry_is_what_speaks_the_registry_protocol(serve: Serve, handle: Handle, so: bool) -> None:
    assert registry_answers(f"127.0.0.1:{serve(handle)}/kindest/node:v1") is so


def test_a_server_that_speaks_no_http_is_no_registry(serve: Serve) -> None:
    assert not registry_answers(f"127.0.0.1:{serve(talks_nonsense)}/a/b:1")


def test_a_registry_that_hangs_does_not_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_image, "REGISTRY_TIMEOUT", 0.1)
    started = time.monotonic()
    assert not registry_answers(f"127.0.0.1:{serve(hangs)}/a/b:1")
    assert time.monotonic() - started < 1.5


def test_where_nothing_listens_no_registry_answers(serve: Serve) -> None:
    assert not registry_answers("127.0.0.1:1/a/b:1")


def test_a_registry_on_this_machine_is_not_asked_through_a_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request._opener", None)  # it reads the environment once
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert registry_answers(f"127.0.0.1:{serve(says(200))}/a/b:1")


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a registry answers: its last entry."""
    answer = [True]
    monkeypatch.setattr(node_image, "registry_answers", lambda _: answer[-1])
    return answer


@pytest.fixture
def here(recorder: Recorder) -> set[str]:
    """The images that the engine has."""
    images: set[str] = set()

    def inspect(words: list[str]) -> str:
        if words[-1] not in images:
            raise RayopsError("No such image")
        return "built\n" if words[-1].startswith("local/") else "\n"

    recorder.reply("docker", "image", "inspect", say=inspect)

    def pull(words: list[str]) -> str:
        images.add(words[-1])
        return ""

    recorder.reply("docker", "pull", say=pull)
    return images


def test_the_pinned_image_is_pulled_where_its_registry_answers(
    recorder: Recorder, registry: list[bool], here: set[str], pinned: Callable[..., None]
) -> None:
    pinned(KIND_NODE_IMAGE="127.0.0.1:5000/node:1")
    assert node_image.ensure() == (NodeImage("127.0.0.1:5000/node:1", built=False), "127.0.0.1:5000/node:1 pulled")
    assert node_image.ensure() == (NodeImage("127.0.0.1:5000/node:1", built=False), "")
    recorder.one("docker", "pull")


def test_another_image_can_be_asked_for(recorder: Recorder, registry: list[bool], here: set[str]) -> None:
    image, done = node_image.ensure(image="example.org/node:2")
    assert (image.reference, image.built) == ("example.org/node:2", False)
    assert done
    registry.append(False)
    with pytest.raises(RayopsError, match=r"no registry answers for example\.org/node:3"):
        node_image.ensure(image="example.org/node:3")


def test_a_pull_that_fails_names_the_way_out(recorder: Recorder, registry: list[bool], here: set[str]) -> None:
    recorder.fail("docker", "pull", message="docker pull failed: toomanyrequests")
    with pytest.raises(RayopsError, match="toomanyrequests"):
        node_image.ensure()
    assert "--offline" in recorder.one("docker", "pull").options["hint"]


@pytest.mark.parametrize("offline", [True, False])
def test_an_image_that_was_built_is_not_built_again(
    recorder: Recorder, registry: list[bool], here: set[str], monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    registry.append(False)
    monkeypatch.setattr(node_image, "_build", here.add)
    first, done = node_image.ensure(offline=offline)
    assert first.built
    assert first.reference.startswith("local/kind-node:")
    assert done == f"{first.reference} built"
    assert node_image.ensure(offline=offline) == (first, "")
    assert not recorder.of("docker", "pull")


def test_offline_no_registry_is_asked(here: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_image, "registry_answers", lambda _: pytest.fail("asked"))
    monkeypatch.setattr(node_image, "_build", here.add)
    assert node_image.ensure(offline=True)[0].built


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of everything that goes into the image: files/ and tools/."""
    for name, origin in (("files", node_image.FILES), ("tools", paths.TOOLS)):
        shutil.copytree(origin, tmp_path / name)
    monkeypatch.setattr(node_image, "FILES", tmp_path / "files")
    monkeypatch.setattr(node_image, "TOOLS", tmp_path / "tools")
    return tmp_path


@pytest.mark.parametrize(
    "file",
    [
        "files/node/usr/local/bin/entrypoint",
        "files/node/etc/containerd/config.toml",
        "files/node.Dockerfile",
        "files/component.Dockerfile",
        "tools/go.sum",
        "tools/kubernetes/go.mod",
        "tools/etcd/go.sum",
        "tools/coredns/main.go",
        "tools/network-policy/main.go",
    ],
)
def test_another_input_is_another_image(recorder: Recorder, sources: Path, file: str) -> None:
    before = node_image.ensure(offline=True)[0]
    with (sources / file).open("a") as opened:
        opened.write("\n# changed\n")
    assert node_image.ensure(offline=True)[0] != before


def test_other_pins_and_packages_are_another_image(
    recorder: Recorder, sources: Path, pinned: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {node_image.ensure(offline=True)[0]}
    pinned(KUBERNETES_VERSION="1.99.0")
    seen.add(node_image.ensure(offline=True)[0])
    monkeypatch.setattr(rootfs, "NODE_PACKAGES", ["systemd"])
    seen.add(node_image.ensure(offline=True)[0])
    assert len(seen) == 3


def test_the_same_input_is_the_same_image(recorder: Recorder, sources: Path) -> None:
    before = node_image.ensure(offline=True)[0]
    (sources / "files" / "node.Dockerfile").touch()
    assert node_image.ensure(offline=True)[0] == before
