"""The operator by Helm: installed once, again when something changed, and errors in its own words."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rayops.cluster import gobuild, node_image, operator, tools
from rayops.cluster.kind import KindCluster
from rayops.errors import RayopsError
from rayops.versions import pin
from tests.unit.rayops.conftest import Handle
from tests.unit.rayops.programs import Recorder

CLUSTER = KindCluster("mine")
IMAGE = "quay.io/kuberay/operator:v1.6.2"


class Applied(list[dict[str, Any]]):
    """The place of a connection: what was applied."""

    def apply(self, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.extend(objects)
        return objects


@pytest.fixture
def helm(recorder: Recorder, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A cluster without the operator, and a chart of our own."""
    chart = tmp_path / "chart"
    chart.mkdir()
    (chart / "values.yaml").write_text("a: 1\n")
    monkeypatch.setattr(operator, "CHART", chart)
    monkeypatch.setattr(tools, "path", Path)
    monkeypatch.setattr(operator, "_runs", lambda _: True)
    recorder.fail("helm", "history", message="release: not found")
    return recorder


@pytest.fixture
def crds(helm: Recorder, monkeypatch: pytest.MonkeyPatch) -> Applied:
    """What is applied to the cluster before Helm runs."""
    applied = Applied()
    helm.reply("helm", "show", "crds", say="---\n---\nkind: CustomResourceDefinition\nmetadata: {name: x}\n")
    monkeypatch.setattr("rayops.kube.Kube.connect", lambda *_, **__: applied)
    return applied


def history(status: str, description: str) -> str:
    return json.dumps([{"status": "superseded", "description": "old"}, {"status": status, "description": description}])


def test_custom_resources_come_first_then_the_chart(helm: Recorder, crds: Applied) -> None:
    seen: list[int] = []

    def upgrade(_: list[str]) -> str:
        seen.append(len(crds))
        return ""

    helm.reply("helm", "upgrade", say=upgrade)
    assert pin("KUBERAY_VERSION") in operator.install(CLUSTER, IMAGE, None)
    assert [crd["metadata"]["name"] for crd in crds] == ["x"]
    assert seen == [1]
    call = helm.one("helm", "upgrade", "--install")
    assert call.has("--skip-crds")
    assert call.after("--namespace") == "kuberay-system"
    assert call.after("--kubeconfig") == str(CLUSTER.kubeconfig)
    assert "--wait" in call.words
    assert "image.repository=quay.io/kuberay/operator" in call.after("--set")
    assert "image.tag=v1.6.2" in call.after("--set")


@pytest.mark.parametrize(
    ("status", "same", "skipped"), [("deployed", True, True), ("failed", True, False), ("deployed", False, False)]
)
def test_it_is_skipped_only_when_exactly_this_is_deployed(
    helm: Recorder, crds: Applied, status: str, same: bool, skipped: bool
) -> None:
    operator.install(CLUSTER, IMAGE, None)
    description = helm.one("helm", "upgrade").after("--description")
    helm.reply("helm", "history", say=history(status, description if same else "other"))
    assert bool(operator.install(CLUSTER, IMAGE, None)) is not skipped
    assert len(helm.of("helm", "upgrade")) == (1 if skipped else 2)


def test_what_helm_calls_deployed_but_does_not_run_is_installed_again(
    helm: Recorder, crds: Applied, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.install(CLUSTER, IMAGE, None)
    description = helm.one("helm", "upgrade").after("--description")
    helm.reply("helm", "history", say=history("deployed", description))
    monkeypatch.setattr(operator, "_runs", lambda _: False)
    assert operator.install(CLUSTER, IMAGE, None)
    assert len(helm.of("helm", "upgrade")) == 2


@pytest.mark.parametrize(
    ("found", "runs"),
    [(None, False), ({}, False), ({"status": {}}, False), ({"status": {"availableReplicas": 1}}, True)],
)
def test_an_operator_runs_when_a_replica_is_available(
    monkeypatch: pytest.MonkeyPatch, found: dict[str, Any] | None, runs: bool
) -> None:
    asked = SimpleNamespace(find=lambda *_: found)
    monkeypatch.setattr("rayops.kube.Kube.connect", lambda *_, **__: asked)
    assert operator._runs(CLUSTER) is runs


def test_another_chart_image_or_values_file_is_installed(helm: Recorder, crds: Applied, tmp_path: Path) -> None:
    values = tmp_path / "operator-values.yaml"
    values.write_text("a: 1\n")
    operator.install(CLUSTER, IMAGE, None)
    operator.install(CLUSTER, "quay.io/kuberay/operator:v9", None)
    operator.install(CLUSTER, IMAGE, values)
    assert helm.calls[-1].after("--values") == str(values)
    values.write_text("a: 2\n")
    operator.install(CLUSTER, IMAGE, values)
    (operator.CHART / "values.yaml").write_text("a: 2\n")
    operator.install(CLUSTER, IMAGE, None)
    descriptions = [call.after("--description") for call in helm.of("helm", "upgrade")]
    assert len(set(descriptions)) == len(descriptions) == 5


@pytest.mark.parametrize("on_node", [True, False])
@pytest.mark.parametrize("image", ["local/kuberay-operator:1", IMAGE])
def test_only_a_local_image_that_the_node_lacks_is_loaded(
    helm: Recorder, crds: Applied, monkeypatch: pytest.MonkeyPatch, on_node: bool, image: str
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(KindCluster, "has_image", lambda *_: on_node)
    monkeypatch.setattr(KindCluster, "load", lambda _, reference: loaded.append(reference))
    operator.install(CLUSTER, image, None)
    assert loaded == ([image] if image.startswith("local/") and not on_node else [])


def test_a_failed_installation_says_so_with_the_cause_and_the_log(helm: Recorder, crds: Applied) -> None:
    helm.fail("helm", "upgrade", message="helm upgrade failed: Error: context deadline exceeded")
    with pytest.raises(RayopsError, match=r"the operator was not installed: .*context deadline exceeded") as caught:
        operator.install(CLUSTER, IMAGE, None)
    assert caught.value.evidence == operator.LOG


def test_a_release_without_history_is_installed(helm: Recorder, crds: Applied) -> None:
    helm.reply("helm", "history", say="[]")
    assert operator.install(CLUSTER, IMAGE, None)


@pytest.mark.parametrize(("answers", "offline"), [(True, False), (True, True), (False, False)])
def test_the_official_image_is_used_where_its_registry_answers(
    helm: Recorder, monkeypatch: pytest.MonkeyPatch, answers: bool, offline: bool
) -> None:
    monkeypatch.setattr(node_image, "registry_answers", lambda _: answers)
    reference, done = operator.ensure_image(offline=offline)
    official = answers and not offline
    assert (reference == pin("OPERATOR_IMAGE")) is official
    assert reference.startswith("local/kuberay-operator:") is not official
    assert done == ""


def test_an_image_that_is_not_there_is_built_from_the_module(helm: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    monkeypatch.setattr(gobuild, "build", lambda module, *_, **__: built.append(module))
    helm.fail("docker", "image", "inspect")
    reference, done = operator.ensure_image(offline=True)
    assert built == ["kuberay-operator"]
    assert helm.one("docker", "build").after("-t") == reference
    assert done == f"{reference} built"


def test_the_previous_version_has_a_module_an_image_a_chart_and_crds_of_its_own(
    helm: Recorder, crds: Applied, packaged: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[str] = []
    previous = pin("KUBERAY_PREVIOUS_VERSION")
    monkeypatch.setattr(gobuild, "build", lambda module, *_, **__: built.append(module))
    monkeypatch.setattr(node_image, "registry_answers", lambda image: image.endswith(f":v{previous}"))
    assert operator.ensure_image(offline=False, version=operator.PREVIOUS)[0] == f"quay.io/kuberay/operator:v{previous}"
    helm.fail("docker", "image", "inspect")
    reference, _ = operator.ensure_image(offline=True, version=operator.PREVIOUS)
    assert reference.startswith(f"local/kuberay-operator:v{previous}-")
    assert built == ["kuberay-operator-previous"]
    operator.ensure_chart(offline=True, chart=tmp_path, version=operator.PREVIOUS)
    assert packaged == [previous]
    (tmp_path / "values.yaml").write_text("a: 1\n")
    done = operator.install(CLUSTER, IMAGE, None, chart=tmp_path, version=operator.PREVIOUS)
    assert previous in done
    archive = tmp_path / "charts" / f"kuberay-operator-{previous}.tgz"
    assert str(archive) in helm.one("helm", "show", "crds").words
    assert str(tmp_path) in helm.one("helm", "upgrade", "--install").words


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Versions of the chart that were packaged here."""
    versions: list[str] = []
    monkeypatch.setattr(gobuild, "module_directory", lambda *_: Path("/module"))
    monkeypatch.setattr(
        "rayops.render.operator_chart.package_operator_chart", lambda _module, version, _to: versions.append(version)
    )
    return versions


def index(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200 if request.path == "/charts/index.yaml" else 404)
    request.send_header("Content-Length", "0")
    request.end_headers()


def nonsense(request: BaseHTTPRequestHandler) -> None:
    request.wfile.write(b"220 mail.example ready\r\n\r\n")


@pytest.mark.parametrize(
    ("handle", "folder", "offline", "downloaded"),
    [
        (index, "charts/", False, True),
        (index, "charts/", True, False),
        (index, "gone/", False, False),
        (None, "charts/", False, False),
        (nonsense, "charts/", False, False),
    ],
)
def test_the_chart_comes_from_its_repository_where_that_answers_else_from_the_module(
    helm: Recorder, packaged: list[str], serve: Callable[[Handle], int], pinned: Callable[..., None],
    handle: Handle | None, folder: str, offline: bool, downloaded: bool,
) -> None:  # fmt: skip
    port = serve(handle) if handle else 1
    pinned(OPERATOR_CHART_REPOSITORY=f"http://127.0.0.1:{port}/{folder}")
    assert operator.ensure_chart(offline=offline)
    assert bool(helm.of("helm", "dependency", "build")) is downloaded
    assert packaged == ([] if downloaded else [pin("KUBERAY_VERSION")])
