"""rayops pods: folders, rendered files and stdin; text, YAML and JSON."""

import io
import json
from pathlib import Path

import pytest
import yaml

from rayops.cli import main
from rayops.kuberay.manifests import environment_of
from rayops.paths import ROOT
from rayops.render import Obj
from tests.unit.kuberay.objects import cluster, container, put, service


def file_of(folder: Path, *objects: Obj) -> str:
    path = folder / "rendered.yaml"
    path.write_text(yaml.safe_dump_all(objects))
    return str(path)


def test_pods_of_a_rendered_file_as_yaml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    assert main(["pods", "--format", "yaml", file_of(tmp_path, service(), other, cluster())]) == 0
    pods = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [pod["kind"] for pod in pods] == ["Pod"] * 6


def test_pods_of_stdin_as_json(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(cluster())))
    assert main(["pods", "--format", "json", "-"]) == 0
    head, *_ = json.loads(capsys.readouterr().out)
    assert head["metadata"]["name"] == "demo-head"


def test_pods_of_an_overlay_with_the_operator_of_its_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pods", str(ROOT / "overlays/prod/hello")]) == 0
    text = capsys.readouterr().out
    assert "RayService hello/hello: 3 pods" in text
    assert "wait-gcs-ready" not in text


def test_text_marks_what_kuberay_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env = [{"name": "MINE", "value": "1"}, {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    head = container("ray-head") | {"env": env}
    edits = put("headGroupSpec/template/spec/containers/0", head), put("enableInTreeAutoscaling", True)
    assert main(["pods", file_of(tmp_path, cluster(*edits))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "    container ray-head  ray:2.60.0" in lines
    assert "  + container autoscaler  ray:2.60.0" in lines
    assert "        MINE=1" in lines
    assert "        KEY from secret s/k" in lines
    assert "      + RAY_PORT=6379" in lines
    assert any(line.startswith("      + readiness GET :52365") for line in lines)
    assert "  demo-head  (requests 1.5 CPU, 2.5 GiB, 0 GPU)" in lines


def test_an_object_that_is_refused_has_no_pods_and_the_others_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = service(put("workerGroupSpecs/0/minReplicas", 9))
    worse = cluster(put("/spec/upgradeStrategy", {"type": "NewCluster"}))
    assert main(["pods", "--format", "json", file_of(tmp_path, bad, worse, cluster())]) == 1
    said = capsys.readouterr()
    assert len(json.loads(said.out)) == 3
    assert "RayService team/demo: KubeRay refuses it: The RayService spec is invalid" in said.err
    assert "RayCluster team/demo: the API server refuses it: spec.upgradeStrategy.type" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{tmp}/nothing"], "no such file or folder"),
        (["{tmp}/plain.yaml"], "no RayService, RayCluster or RayJob there"),
        (["{tmp}/broken.yaml"], "broken.yaml"),
        (["{tmp}/unknown.yaml"], "spec.nothing: unknown field"),
        (["--env", "nowhere", "{tmp}/plain.yaml"], "no environment nowhere"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "plain.yaml").write_text("{apiVersion: v1, kind: Pod, metadata: {name: a}}")
    (tmp_path / "broken.yaml").write_text("a: [")
    (tmp_path / "unknown.yaml").write_text(yaml.safe_dump(cluster(put("/spec/nothing", 1))))
    assert main(["pods", *(each.format(tmp=tmp_path) for each in arguments)]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("path", "env"),
    [("overlays/prod/rag", "prod"), ("overlays/dev", "dev"), ("overlays", None), ("clusters/prod", None), ("-", None)],
)
def test_the_environment_of_a_path(path: str, env: str | None) -> None:
    assert environment_of(path) == env
