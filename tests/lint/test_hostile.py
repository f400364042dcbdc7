"""Whatever the bytes are: one clear line for what cannot be read, never a traceback; odd objects are no crash."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayops.cli import main
from rayops.lint import all_rules
from rayops.lint.engine import Report, lint
from rayops.lint.schema import serve_problems
from rayops.render.sources import Place, Resource, Source, load
from tests.lint import casebook

FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
HEAD = "apiVersion: ray.io/v1\nkind: RayService\n"
HOSTILE = {
    "binary": bytes(range(256)) * 20,
    "deep": (HEAD + "spec: " + "[" * 20_000).encode(),
    "deep-mapping": (HEAD + "spec: " + "{a: " * 5_000 + "}" * 5_000).encode(),
    "anchors": (
        HEAD + "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    ).encode(),
    "endless": (HEAD + "spec: &a {b: *a}\n").encode(),
    "large": (HEAD + "spec: " + "x" * 10_000_000).encode(),
    "tabs": (HEAD + "\tspec: {}\n").encode(),
    "tags": (HEAD + "spec: !!python/object/apply:os.system [true]\n").encode(),
    "unclosed": (HEAD + 'spec: "').encode(),
    "text": b"RayService",
}
ODD: list[Any] = [None, [], {}, "x", 7, True, [None], [[]], {"a": None}, [{"name": None}], {"template": []}]


def report_on(*objects: Any) -> Report:
    place = Place("manifest.yaml", 1)
    return lint([Source("manifest.yaml", "manifest", tuple(Resource(obj, place) for obj in objects))], Path.cwd())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_cannot_be_read_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.yaml").write_bytes(HOSTILE[name])
    code = main(["lint", "--root", str(tmp_path), "manifest.yaml", "--format", "json"])
    printed = capsys.readouterr()
    assert code == 1
    assert printed.err.count("\n") <= 1
    assert "Traceback" not in printed.err
    (finding,) = json.loads(printed.out)["findings"]
    assert finding["rule"] in ("does-not-render", "crd-schema")
    assert len(finding["message"]) < 400


@FUZZ
@given(st.binary(max_size=400))
def test_any_bytes_give_a_report(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "manifest.yaml").write_bytes(HEAD.encode() + data)
        report = lint(load(Path(folder), ["manifest.yaml"]), Path(folder))
    assert all("\n" not in finding.message for finding in report.findings)


@FUZZ
@given(st.text(max_size=200))
def test_any_serve_config_gives_one_line_each(text: str) -> None:
    for problem in serve_problems(text):
        assert "\n" not in problem.message


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path, *(found for key, value in inner for found in _paths(value, (*path, key)))]


OBJECTS = [casebook.of_kind(copy.deepcopy(casebook._base()[0]), kind) for kind in casebook.KINDS]
BESIDE = [
    casebook._base()[1],
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "a"},
        "spec": {"type": "NodePort", "ports": [{"port": 1}], "selector": {"ray.io/cluster": "a"}},
    },
    {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"a": "b"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a-5c6g7b4d8f"}, "data": {"a": "b"}},
    {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "a"}, "spec": {"hard": {"pods": "1"}}},
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "a"},
        "spec": {
            "rules": [{"http": {"paths": [{"backend": {"service": {"name": "a-head-svc", "port": {"number": 8265}}}}]}}]
        },
    },
]
PLACES = [(obj, path) for obj in (*OBJECTS, *BESIDE) for path in _paths(obj) if path]


@FUZZ
@given(st.lists(st.tuples(st.sampled_from(range(len(PLACES))), st.sampled_from(ODD)), min_size=1, max_size=3))
def test_an_object_with_odd_values_is_no_crash(changes: list[tuple[int, Any]]) -> None:
    """Any field of any object replaced by something of another type."""
    obj = PLACES[changes[0][0]][0]
    made = copy.deepcopy(obj)
    for number, value in changes:
        owner, place = PLACES[number]
        if owner is obj:
            _put(made, place, value)
    report = report_on(made, *(other for other in (*OBJECTS, *BESIDE) if other is not obj))
    assert all(finding.message and "\n" not in finding.message for finding in report.findings)


@pytest.mark.parametrize("kind", ["Secret", "RayService", "Service"])
@pytest.mark.parametrize(("field", "value"), [("metadata", "x"), ("kind", []), ("apiVersion", 1), ("spec", [1])])
def test_what_is_no_object_is_one_line(kind: str, field: str, value: Any) -> None:
    whole = {"apiVersion": "ray.io/v1" if kind == "RayService" else "v1", "kind": kind, "metadata": {"name": "a"}}
    (finding,) = report_on({**whole, field: value}).findings
    assert finding.rule.id == "does-not-render"
    assert f"its {field} is no " in finding.message


def _put(node: Any, path: tuple[Any, ...], value: Any) -> None:
    *parents, last = path
    for part in parents:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return
    if (isinstance(node, dict) and last in node) or (
        isinstance(node, list) and isinstance(last, int) and last < len(node)
    ):
        node[last] = value


@FUZZ
@given(st.text(max_size=60), st.sampled_from(["image", "name"]))
def test_any_text_in_a_container_is_no_crash(text: str, field: str) -> None:
    obj = copy.deepcopy(OBJECTS[0])
    obj["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0][field] = text
    report = report_on(obj)
    assert all("\n" not in finding.message for finding in report.findings)


@FUZZ
@given(st.text(max_size=300))
def test_any_kustomization_is_no_crash(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "kustomization.yaml").write_text(text, errors="replace")
        (root / "manifest.yaml").write_text(yaml.safe_dump(OBJECTS[1]))
        files = frozenset({"kustomization.yaml", "manifest.yaml"})
        source = Source(".", "kustomize", (Resource(OBJECTS[1], Place("manifest.yaml", 1)),), "", files)
        lint([source], root)


def test_the_rules_are_all_loaded_here() -> None:
    assert len(all_rules()) > 40
