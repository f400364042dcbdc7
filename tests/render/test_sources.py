"""rayops.render.sources: the same objects as kustomize's own program, and the line that really writes each field."""

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rayops import cli
from rayops.errors import RayopsError
from rayops.paths import ROOT, TOOLS
from rayops.render import Obj, renderer, store
from rayops.render.places import KEYS, Place
from rayops.render.sources import Resource, Source, load, load_file
from rayops.review.changes import KEYS as REVIEW_KEYS

CLUSTER = ("spec", "rayClusterConfig")
CPU = (*CLUSTER, "workerGroupSpecs", "[cpu]")
WORKER = (*CPU, "template", "spec", "containers", "[ray-worker]")
SERVE = ("spec", "serveConfigV2", "applications", "[rag]", "deployments")


@pytest.fixture(scope="module")
def found() -> dict[str, Source]:
    return {source.name: source for source in load(ROOT)}


def one(source: Source, kind: str) -> Resource:
    (resource,) = (each for each in source.resources if each.obj["kind"] == kind)
    return resource


def line(place: Place | None) -> str:
    """The text at a place."""
    assert place is not None
    return (ROOT / place.file).read_text().splitlines()[place.line - 1].strip()


def test_the_library_is_the_one_of_the_pinned_program() -> None:
    wanted = re.findall(r"sigs\.k8s\.io/kustomize/(api|kyaml) v(\S+)", (TOOLS / "go.mod").read_text())
    assert len(wanted) == 2
    assert wanted == re.findall(r"sigs\.k8s\.io/kustomize/(api|kyaml) v(\S+)", (TOOLS / "renderer/go.mod").read_text())


def test_items_are_named_as_the_review_names_them() -> None:
    assert KEYS == REVIEW_KEYS


def test_objects_are_those_of_kustomize_build(overlay: Path, rendered: Callable[[Path], list[Obj]]) -> None:
    (source,) = load(ROOT, [str(overlay)])
    assert source.problem == ""
    assert [resource.obj for resource in source.resources] == rendered(overlay), "the order included"


def test_all_of_this_repository_renders_and_each_object_has_a_place(found: dict[str, Source]) -> None:
    assert {source.name: source.problem for source in found.values() if source.problem} == {}
    assert {"overlays/prod/rag", "overlays/prod/platform", "overlays/prod/delivery/argocd"} <= found.keys()
    assert "overlays/prod" not in found, "it only sums up the others"
    assert "charts/kuberay-platform (overlays/prod/operator-values.yaml)" in found
    for source in found.values():
        for resource in source.resources:
            assert resource.place is not None
            assert resource.place.file in source.files
            text = (ROOT / resource.place.file).read_text()
            written = (
                f"kind: {resource.obj['kind']}" in text or f"{resource.obj['kind']}Generator".lower() in text.lower()
            )
            assert written or resource.place.file.endswith("Chart.yaml"), resource.place


@pytest.mark.parametrize(
    ("path", "file", "text"),
    [
        ((), "base/rayservice/shell/rayservice.yaml", "apiVersion: ray.io/v1"),
        ((*CPU, "maxReplicas"), "overlays/prod/rag/sizing.env", "cpuMax=4"),
        ((*CPU, "minReplicas"), "overlays/prod/rag/sizing.env", "cpuMin=3"),
        ((*WORKER, "resources", "limits", "memory"), "overlays/prod/rag/sizing.env", "cpuMemoryLimit=8Gi"),
        ((*WORKER, "image"), "overlays/prod/rag/kustomization.yaml", "- {name: registry.example.com/ray/pipeline, "),
        ((*WORKER, "ports", "[serve]", "containerPort"), "base/raycluster/raycluster.yaml", "- {name: serve, "),
        (CPU, "base/raycluster/raycluster.yaml", "- groupName: cpu"),
        (("kind",), "base/rayservice/shell/rayservice.yaml", "kind: RayService"),
        ((*WORKER, "name"), "base/raycluster/raycluster.yaml", "- name: ray-worker"),
        ((*CPU, "groupName"), "base/raycluster/raycluster.yaml", "- groupName: cpu"),
        ((*CLUSTER, "workerGroupSpecs"), "base/raycluster/raycluster.yaml", "workerGroupSpecs:"),
        ((*CLUSTER, "rayVersion"), "base/raycluster/raycluster.yaml", "rayVersion: 2.60.0"),
        ((*WORKER, "no", "such", "field"), "base/raycluster/raycluster.yaml", "- name: ray-worker"),
        ((*CPU, "template", "spec", "securityContext", "runAsNonRoot"), "base/components/pod-", "runAsNonRoot"),
        ((*CLUSTER, "enableInTreeAutoscaling"), "base/components/autoscaling/", "enableInTreeAutoscaling: true"),
        (("metadata", "namespace"), "overlays/prod/rag/kustomization.yaml", "namespace: rag"),
        ((*SERVE, "[Ingress]", "num_replicas"), "apps/rag/replicated/serve.yaml", "num_replicas: 2"),
        ((*SERVE, "[Retriever]", "autoscaling_config", "max_replicas"), "apps/rag/replicated/", "max_replicas: "),
        ((*SERVE, "[Retriever]"), "apps/rag/replicated/serve.yaml", "- name: Retriever"),
    ],
)  # fmt: skip
def test_place_of_a_field(found: dict[str, Source], path: tuple[str, ...], file: str, text: str) -> None:
    place = one(found["overlays/prod/rag"], "RayService").place_of(path)
    assert place is not None
    assert place.file.startswith(file)
    assert line(place).startswith(text), place


def test_a_name_that_many_lines_spell_is_not_guessed(found: dict[str, Source]) -> None:
    """`rag` comes from a literal that names, and so may not be marked: the object's own place."""
    service = one(found["overlays/prod/rag"], "RayService")
    assert service.place_of(("metadata", "name")) == service.place


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from leaves(each, (*path, f"[{index}]"))
    else:
        yield path, value


def test_a_change_of_that_line_changes_that_field(tmp_path: Path) -> None:
    """The proof of a place: for every number of a RayService, the line it names is the one that writes it."""
    for folder in ("apps", "base", "overlays"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("*.py", "*.md"))
    (source,) = load(tmp_path, ["overlays/dev/rag"])
    service = one(source, "RayService")
    by_line: dict[Place, list[tuple[tuple[str, ...], int]]] = {}
    for path, value in leaves(service.obj):
        place = service.place_of(path)
        assert place is not None
        if type(value) is int and place != service.place:
            by_line.setdefault(place, []).append((path, value))
    assert len(by_line) > 15
    chosen = sorted(by_line, key=str)[::3]
    for place in chosen:
        file = tmp_path / place.file
        before = file.read_text()
        lines = before.splitlines()
        value = by_line[place][0][1]
        lines[place.line - 1] = re.sub(rf"(?<![\d\w-]){value}(?!\d)", str(value + 1), lines[place.line - 1])
        file.write_text("\n".join(lines) + "\n")
        after = dict(leaves(one(load(tmp_path, ["overlays/dev/rag"])[0], "RayService").obj))
        assert all(after[path] == value + 1 for path, value in by_line[place] if value == by_line[place][0][1]), place
        file.write_text(before)


def test_nothing_is_built_again_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CACHE", tmp_path / ".cache")
    write(tmp_path, SMALL)
    asked: list[str] = []
    ask = renderer.ask

    def asking(root: Path, folders: Sequence[str], mode: str) -> dict[str, Any]:
        asked.extend(folders)
        return ask(root, folders, mode)

    monkeypatch.setattr(renderer, "ask", asking)
    first = load(tmp_path)
    assert [source.name for source in first] == ["a", "b"]
    assert asked == ["a", "b"]
    again = load(tmp_path)
    assert asked == ["a", "b"]
    assert [each.obj for each in again[0].resources] == [each.obj for each in first[0].resources]
    (tmp_path / "a/x.env").write_text("size=7\n")
    assert load(tmp_path)[0].resources[0].obj["data"] == {"size": "7"}
    assert asked == ["a", "b", "a"]
    (tmp_path / "b/Kustomization").write_text("")
    assert load(tmp_path)[1].problem, "a second kustomization file is a fault"


SMALL = {
    "a/kustomization.yaml": "configMapGenerator: [{name: x, envs: [x.env]}]\nnamePrefix: one-\n",
    "a/x.env": "# comment\nsize=5\n",
    "b/kustomization.yaml": "resources: [job.yaml]\nnamespace: there\nlabels: [{pairs: {team: blue}}]\n"
    "images: [{name: ray, newName: mirror/ray}]\nreplicas: [{name: d, count: 4}]\n"
    "patches:\n- target: {kind: Deployment}\n  patch: |-\n    - op: add\n      path: /spec/paused\n      value: true\n",
    "b/job.yaml": "# two documents\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n"
    "  replicas: 1\n  template: {spec: {containers: [{name: c, image: ray}]}}\n"
    "---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
}


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode("utf-8", "surrogateescape"))


def test_a_repository_of_strangers(tmp_path: Path) -> None:
    write(tmp_path, SMALL)
    a, b = load(tmp_path)
    (config,) = a.resources
    assert str(config.place) == "a/kustomization.yaml:1"
    assert str(config.place_of(("data", "size"))) == "a/x.env:2"
    assert a.files == {"a/kustomization.yaml", "a/x.env"}
    deployment, service = (one(b, kind) for kind in ("Deployment", "Service"))
    assert (str(deployment.place), str(service.place)) == ("b/job.yaml:3", "b/job.yaml:10")
    template = ("spec", "template", "spec", "containers", "[c]", "image")
    assert str(deployment.place_of(("metadata", "namespace"))) == "b/kustomization.yaml:2"
    assert str(deployment.place_of(("metadata", "labels", "team"))) == "b/kustomization.yaml:3"
    assert str(deployment.place_of(template)) == "b/kustomization.yaml:4"
    assert str(deployment.place_of(("spec", "replicas"))) == "b/kustomization.yaml:5"
    assert str(deployment.place_of(("spec", "paused"))) == "b/kustomization.yaml:11"


MANIFEST = (
    "apiVersion: ray.io/v1\nkind: RayService\nmetadata:\n  name: s\nspec:\n  rayClusterConfig:\n    workerGroupSpecs:\n"
    "    - {groupName: a, maxReplicas: 1}\n    - groupName: b\n      maxReplicas: 2\n  serveConfigV2: |\n"
    "    applications:\n    - name: x\n      deployments:\n      - name: D\n        num_replicas: 3\n"
)


def test_plain_manifests_and_rendered_files(tmp_path: Path) -> None:
    write(tmp_path, {"ray.yaml": MANIFEST, "other.yaml": "kind: ConfigMap\n", "tests/ray.yaml": MANIFEST})
    (source,) = load(tmp_path)
    assert (source.name, source.kind, source.files) == ("ray.yaml", "manifest", frozenset({"ray.yaml"}))
    (service,) = source.resources
    assert str(service.place) == "ray.yaml:1"
    assert str(service.place_of((*CLUSTER, "workerGroupSpecs", "[b]", "maxReplicas"))) == "ray.yaml:10"
    assert str(service.place_of((*CLUSTER, "workerGroupSpecs", "[a]", "maxReplicas"))) == "ray.yaml:8"
    deep = ("spec", "serveConfigV2", "applications", "[x]", "deployments", "[D]", "num_replicas")
    assert str(service.place_of(deep)) == "ray.yaml:16"
    assert str(service.place_of(("spec", "nothing"))) == "ray.yaml:5"
    rendered = tmp_path / "out.yaml"
    rendered.write_text("---\n# first\nkind: A\n---\n" + MANIFEST)
    assert [str(each.place) for each in load_file(rendered).resources] == [f"{rendered}:3", f"{rendered}:5"]
    rendered = tmp_path / "out.json"
    rendered.write_text(json.dumps({"kind": "List", "items": [{"kind": "A"}, {"kind": "B"}]}, indent=1))
    assert [str(each.place) for each in load_file(rendered).resources] == [f"{rendered}:4", f"{rendered}:7"]


CHART = {
    "c/Chart.yaml": "apiVersion: v2\nname: c\nversion: 1.0.0\n",
    "c/values.yaml": "size: 1\n",
    "c/templates/a.yaml": "apiVersion: v1\n{{- if .Values.size }}\nkind: ConfigMap\n{{- end }}\nmetadata: {name: a}\n"
    "data: {size: {{ .Values.size | quote }}}\n",
    "env/prod-values.yaml": "size: 3\n",
    "env/other-values.yaml": "colour: red\n",
}


def test_a_chart_with_each_of_its_values(tmp_path: Path) -> None:
    write(tmp_path, CHART)
    (source,) = load(tmp_path)
    assert (source.name, source.kind, source.problem) == ("c (env/prod-values.yaml)", "helm", "")
    assert source.resources[0].obj["data"] == {"size": "3"}
    assert str(source.resources[0].place) == "c/templates/a.yaml:3"
    assert {"c/Chart.yaml", "c/templates/a.yaml", "env/prod-values.yaml"} <= source.files
    write(tmp_path, {"c/templates/b.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: b}\n"})
    assert len(load(tmp_path)[0].resources) == 2, "a file that came is seen"


FAULTS = {
    "kustomization.yaml": ("resources: [a.yaml\n", r"kustomization\.yaml:\d: no YAML: "),
    "a.yaml": ("kind: A\n b: 1\n", r"a\.yaml:2: no YAML: "),
    "patch.yaml": ("kind: B\nmetadata: {name: b}\n", "k: no resource matches strategic merge patch"),
    "x.env": ("\udcff=1\n", r"k: .*invalid utf8 bytes"),
}


@pytest.mark.parametrize("file", FAULTS)
def test_what_does_not_render_is_one_line(tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]) -> None:
    good = {
        "k/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: patch.yaml}]\n"
        "configMapGenerator: [{name: x, envs: [x.env]}]\n",
        "k/a.yaml": "apiVersion: v1\nkind: A\nmetadata: {name: a}\n",
        "k/patch.yaml": "apiVersion: v1\nkind: A\nmetadata: {name: a}\nspec: {x: 1}\n",
        "k/x.env": "a=1\n",
    }
    write(tmp_path, good)
    assert cli.main(["render", "--root", str(tmp_path)]) == 0
    capsys.readouterr()
    text, wanted = FAULTS[file]
    write(tmp_path, {f"k/{file}": text})
    assert cli.main(["render", "--root", str(tmp_path)]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert re.search(wanted, told), told
    assert str(tmp_path) not in told


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", b"\x00" * 100, b"[" * 200_000, b"- " * 100_000, LAUGHS.encode(), b"a: " + b"x" * (10 << 20),
     b"&a [*a]", b"? {}\n: {}", b"kind: A\nmetadata: {name: [1]}\n", b"kind: 1\nmetadata: 2\n", b"- 1\n",
     b"a: !!int x\n"],
    ids=lambda content: repr(content[:12]),
)  # fmt: skip
@pytest.mark.parametrize("file", ["kustomization.yaml", "a.yaml"])
def test_whatever_the_bytes_are_it_is_one_error(
    tmp_path: Path, file: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, {"k/kustomization.yaml": "resources: [a.yaml]\n", "k/a.yaml": "kind: A\nmetadata: {name: a}\n"})
    (tmp_path / "k" / file).write_bytes(content)
    assert cli.main(["render", "--root", str(tmp_path), "k"]) == 1
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("rayops: k")
    assert len(told) < 1000


def test_a_target_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RayopsError, match="nowhere: no such file or folder"):
        load(tmp_path, ["nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(RayopsError, match="empty: no kustomization, chart or manifest"):
        load(tmp_path, ["empty"])


def test_targets_are_in_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    write(tmp_path, SMALL)
    assert [source.name for source in load(tmp_path, ["b/", "a"])] == ["b", "a"]
    assert [source.name for source in load(tmp_path, ["."])] == ["a", "b"]


def test_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rayops.render import loader

    write(tmp_path, SMALL)
    assert cli.main(["render", "--root", str(tmp_path), "b"]) == 0
    assert re.search(r"^  Deployment there/d +b/job\.yaml:3$", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["render", "--root", str(tmp_path), "--format", "yaml"]) == 0
    assert [obj["kind"] for obj in loader.load_all(capsys.readouterr().out, "out")] == [
        "ConfigMap",
        "Service",
        "Deployment",
    ]
    assert cli.main(["render", "--root", str(tmp_path), "--format", "json", "--chain"]) == 0
    a, b = json.loads(capsys.readouterr().out)
    assert (a["name"], a["problem"], b["files"]) == ("a", "", ["b/job.yaml", "b/kustomization.yaml"])
    service, deployment = b["resources"]
    assert service["origin"] == service["place"] == "b/job.yaml:10"
    assert "PatchTransformer b/kustomization.yaml" in deployment["chain"]
    assert "annotations" not in deployment["object"]["metadata"], "what was asked for besides is taken off again"
