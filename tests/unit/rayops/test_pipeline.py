"""A pipeline in a cluster: applied, asked, and shown."""

import copy
import json
import shlex
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast

import pytest

from rayops import pipeline
from rayops.errors import RayopsError
from rayops.kube import Kube, Obj
from rayops.kube.wait import WaitError
from rayops.pipeline import FirstAnswer, Sample
from tests.unit.rayops.conftest import Handle


class FakeKube:
    """An API server that keeps what it is given, with a status and defaults of its own."""

    def __init__(self, refuse: str = "") -> None:
        self.objects: dict[tuple[str, str], Obj] = {}
        self.refuse = refuse

    def find(self, kind: Any, name: str, _: str | None = None) -> Obj | None:
        return copy.deepcopy(self.objects.get((kind.name, name)))

    def apply(self, objects: list[Obj], **_: object) -> list[Obj]:
        for obj in objects:
            if obj["kind"] == self.refuse:
                raise RayopsError(f"{self.refuse} was refused: spec.x is wrong")
            known = self.objects.get((obj["kind"], obj["metadata"]["name"]), {})
            status = {"status": {"seen": known.get("status", {}).get("seen", 0) + 1}}
            self.objects[obj["kind"], obj["metadata"]["name"]] = {**copy.deepcopy(obj), **status}
        return [self.objects[obj["kind"], obj["metadata"]["name"]] for obj in objects]


def overlay() -> list[Obj]:
    container = {"name": "ray-head", "image": "local/pipeline:dev"}
    cluster = {"headGroupSpec": {"template": {"spec": {"containers": [container]}}}, "workerGroupSpecs": []}
    ports = [{"name": "serve", "port": 8000, "nodePort": 30080}]
    board = [{"name": "dashboard", "port": 8265, "nodePort": 30081}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "rag"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "rag"}, "data": {"a": "1"}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "b", "namespace": "rag"},
            "spec": {"ports": board},
        },
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayService",
            "metadata": {"name": "rag", "namespace": "rag"},
            "spec": {"rayClusterConfig": cluster, "serveService": {"spec": {"ports": ports}}},
        },
    ]


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Obj]:
    """What the overlay renders to; a test may change it."""
    objects = overlay()
    monkeypatch.setattr("rayops.render.render", lambda _: copy.deepcopy(objects))
    return objects


def deploy(kube: FakeKube, image: str = "local/pipeline:1") -> pipeline.Deployed:
    return pipeline.deploy(cast(Kube, kube), Path("overlays/local/rag"), image)


def test_the_image_is_put_in_and_the_place_and_ports_are_told(rendered: list[Obj]) -> None:
    kube = FakeKube()
    deployed = deploy(kube)
    assert (deployed.namespace, deployed.name) == ("rag", "rag")
    assert deployed.node_ports == {"serve": 30080, "dashboard": 30081}
    assert deployed.changed
    assert "local/pipeline:1" in json.dumps(kube.objects["RayService", "rag"])
    assert "local/pipeline:dev" not in json.dumps(kube.objects["RayService", "rag"])


def test_the_same_overlay_again_is_no_change(rendered: list[Obj]) -> None:
    kube = FakeKube()
    deploy(kube)
    assert not deploy(kube).changed


def test_another_image_a_changed_object_or_a_new_one_is_a_change(rendered: list[Obj]) -> None:
    kube = FakeKube()
    deploy(kube)
    assert deploy(kube, "local/pipeline:2").changed
    rendered[1]["data"]["a"] = "2"
    assert deploy(kube, "local/pipeline:2").changed
    rendered.append({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "new", "namespace": "rag"}})
    assert deploy(kube, "local/pipeline:2").changed
    assert not deploy(kube, "local/pipeline:2").changed


def test_a_refused_object_is_the_error(rendered: list[Obj]) -> None:
    with pytest.raises(RayopsError, match=r"Service was refused: spec\.x is wrong"):
        deploy(FakeKube(refuse="Service"))


def test_an_overlay_without_ray_service_is_an_error(rendered: list[Obj]) -> None:
    del rendered[3]["spec"]["serveService"]
    rendered[3]["kind"] = "RayCluster"
    with pytest.raises(RayopsError, match="RayService"):
        deploy(FakeKube())


def test_an_overlay_of_a_job_says_how_to_run_it(rendered: list[Obj]) -> None:
    rendered[3]["kind"] = "RayJob"
    with pytest.raises(RayopsError, match="overlays/local/rag is a job") as caught:
        deploy(FakeKube())
    assert "kubectl apply -k overlays/local/rag" in str(caught.value.hint)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pipeline, "ROOT", tmp_path)
    (tmp_path / "apps" / "demo").mkdir(parents=True)
    return tmp_path


def test_the_sample_of_the_pipeline_is_read() -> None:
    sample = pipeline.sample_of("rag")
    assert sample.path == "/ask"
    assert isinstance(sample.body, dict)
    assert sample.body["question"] == sample.question


@pytest.mark.parametrize(
    "content",
    [
        '{"path": "/ask", "body": {"question": ',
        '{"body": {"question": "x"}}',
        '{"path": "/ask"}',
        "[]",
        '"text"',
        '{"path": "/ask", "body": "x"}',
        '{"path": "/ask", "body": {}}',
        '{"path": 1, "body": {"question": "x"}}',
        '{"path": "/ask", "body": {"question": "x"}, "content_type": "text/plain"}',
        '{"path": "/ask", "body": "x", "content_type": 1}',
        '{"path": "/ask", "body": {"question": "x"}, "headers": []}',
        '{"path": "/ask", "body": {"question": "x"}, "headers": {"authorization": 1}}',
    ],
)
def test_a_sample_that_is_wrong_is_named_by_its_file(root: Path, content: str) -> None:
    (root / "apps/demo/sample.json").write_text(content)
    with pytest.raises(RayopsError, match=r"^apps/demo/sample\.json is not a sample: ") as caught:
        pipeline.sample_of("demo")
    assert "\n" not in caught.value.message


def test_a_text_is_sent_as_it_is(root: Path, serve: Callable[[Handle], int]) -> None:
    (root / "apps/demo/sample.json").write_text('{"path": "/read", "body": "A\\nB", "content_type": "text/plain"}')
    seen: list[tuple[bytes, str | None]] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers["Content-Length"])
        seen.append((request.rfile.read(length), request.headers["Content-Type"]))
        request.send_response(200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    answer = pipeline.first_answer("demo", f"http://127.0.0.1:{serve(handle)}")
    assert seen == [(b"A\nB", "text/plain")]
    assert answer.sample.question == "A B"


def test_the_question_is_the_longest_text_at_any_depth() -> None:
    chat = Sample(
        "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "Who  is\nit?"}], "n": 1}
    )
    assert chat.question == "Who is it?"
    assert Sample("/x", {"n": 1}).question == ""


def test_headers_of_a_sample_are_sent_and_shown(root: Path, serve: Callable[[Handle], int]) -> None:
    (root / "apps/demo/sample.json").write_text(
        '{"path": "/ask", "body": {"question": "Why?"}, "headers": {"authorization": "Bearer it\'s me"}}'
    )
    seen: list[str | None] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        seen.append(request.headers["Authorization"])
        request.send_response(200)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    answer = pipeline.first_answer("demo", f"http://127.0.0.1:{serve(handle)}")
    assert seen == ["Bearer it's me"]
    shown = pipeline.screen(answer, "http://127.0.0.1:1", "", None, "")
    assert "-H 'content-type: application/json' -H 'authorization: Bearer it'\"'\"'s me' -d" in shown


def test_a_sample_that_is_missing_is_named_with_how_it_looks(root: Path) -> None:
    with pytest.raises(RayopsError, match=r"^apps/demo/sample\.json is missing$") as caught:
        pipeline.sample_of("demo")
    assert json.loads(str(caught.value.hint).replace("…", ""))["path"] == "/ask"


def answers(*codes: int) -> tuple[Handle, list[Any]]:
    """A pipeline that answers with these codes one after the other, the last for ever; and what it was asked."""
    asked: list[Any] = []

    def handle(request: BaseHTTPRequestHandler) -> None:
        asked.append((request.path, json.loads(request.rfile.read(int(request.headers["Content-Length"])))))
        code = codes[min(len(asked), len(codes)) - 1]
        body = json.dumps({"answer": "because", "code": code}).encode()
        request.send_response(code)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return handle, asked


def test_the_sample_is_asked_until_it_is_answered(
    root: Path, serve: Callable[[Handle], int], quick_waits: None
) -> None:
    (root / "apps/demo/sample.json").write_text('{"path": "/ask", "body": {"question": "why?"}}')
    handle, asked = answers(503, 404, 200)
    answer = pipeline.first_answer("demo", f"http://127.0.0.1:{serve(handle)}")
    assert asked == [("/ask", {"question": "why?"})] * 3
    assert answer.body == {"answer": "because", "code": 200}
    assert answer.milliseconds > 0


def test_without_an_answer_the_error_says_what_came_last(
    root: Path, serve: Callable[[Handle], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr("rayops.kube.wait.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("rayops.kube.wait.time.sleep", lambda _: None)
    (root / "apps/demo/sample.json").write_text('{"path": "/ask", "body": {"question": "why?"}}')
    with pytest.raises(WaitError, match=r"/ask answers; last seen: .*status=503"):
        pipeline.first_answer("demo", f"http://127.0.0.1:{serve(answers(503)[0])}")


SOURCES = [
    {"document": "README.md", "lines": [12, 20], "section": "Start"},
    {"path": "base/x.md"},
    {"document": "a.md", "lines": "x", "section": "B"},
]


def screen(body: Any, kubeconfig: Path | None = Path("/k"), question: str = "Why?") -> dict[str, list[str]]:
    """The lines of the screen by their first word."""
    answer = FirstAnswer(Sample("/ask", {"question": question}), body, 5.0)
    text = pipeline.screen(answer, "http://127.0.0.1:1", "http://127.0.0.1:2", kubeconfig, "./rayops down")
    words: dict[str, list[str]] = {}
    for line in filter(None, text.splitlines()):
        words.setdefault(line.split()[0], []).append(line.partition(" ")[2].strip())
    return words


def test_the_screen_shows_question_answer_sources_addresses_and_how_to_stop() -> None:
    shown = screen({"answer": "Because.", "sources": SOURCES})
    assert shown["question"] == ["Why?"]
    assert shown["answer"] == ["Because."]
    assert shown["source"] == ["README.md:12-20  Start", "base/x.md", "a.md  B"]
    assert shown["URL"][0].startswith("http://127.0.0.1:1")
    assert shown["dashboard"] == ["http://127.0.0.1:2"]
    assert shown["kubectl"] == ["export KUBECONFIG=/k"]
    assert shown["stop"] == ["./rayops down"]


def test_without_kubernetes_there_is_no_kubeconfig_to_show() -> None:
    assert "kubectl" not in screen({"answer": "x"}, None)


@pytest.mark.parametrize("body", [{"text": "xyz"}, ["xyz"], "xyz"])
def test_an_answer_of_another_form_is_shown_too(body: Any) -> None:
    assert "xyz" in screen(body)["answer"][0]


@pytest.mark.parametrize("question", ["Why?", 'Why "$HOME"?', "Why isn't it?"])
def test_the_command_to_ask_can_be_pasted_into_a_shell(question: str) -> None:
    words = shlex.split(screen({"answer": "x"}, question=question)["ask"][0])
    assert words[0] == "curl"
    assert "http://127.0.0.1:1/ask" in words
    assert json.loads(words[words.index("-d") + 1]) == {"question": question}
