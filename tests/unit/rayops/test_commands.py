"""The steps of `up`, and `down` and `status`, with everything below the command line replaced."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayops import cli, pipeline, serve_only
from rayops.cli import up
from rayops.cluster import engine, kind, node_image, operator, pipeline_image, tools
from rayops.cluster.node_image import NodeImage
from rayops.errors import RayopsError
from rayops.pipeline import Deployed, FirstAnswer, Sample


class World:
    """Everything below the command line, replaced. there: the goals that are reached already."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.calls: list[str] = []
        self.fail = ""

    def reach(self, goal: str) -> str:
        """Reach a goal; "" when it was reached before."""
        if goal == self.fail:
            raise RayopsError(f"{goal} broke")
        if goal in self.there:
            return ""
        self.calls.append(goal)
        self.there.add(goal)
        return f"{goal} done"

    def deploy(self, *_: object) -> Deployed:
        return Deployed("rag", "rag", {"serve": 30080, "dashboard": 30081}, changed=bool(self.reach("overlay")))

    def first_answer(self, *_: object) -> FirstAnswer:
        self.reach("first answer")
        return FirstAnswer(Sample("/ask", {"question": "Why?"}), {"answer": "Because.", "sources": []}, 5.0)

    def wait_healthy(self, *_: object, **__: object) -> Any:
        self.reach("healthy")
        return type("Health", (), {"healthy": True, "message": "all layers"})()


class Cluster:
    """The place of KindCluster."""

    world: World

    def __init__(self, name: str = "x") -> None:
        self.name, self.kubeconfig = name, Path("/k/kubeconfig")

    def running(self) -> bool:
        return f"cluster {self.name}" in self.world.there

    def create(self, *_: NodeImage, **__: int) -> None:
        self.world.reach(f"cluster {self.name}")

    def delete(self) -> bool:
        there = self.running()
        self.world.there.discard(f"cluster {self.name}")
        return there

    def has_image(self, reference: str) -> bool:
        return reference in self.world.there

    def load(self, reference: str, *_: str) -> None:
        self.world.reach(reference)

    def host_port(self, port: int) -> int:
        return port + 10_000


@pytest.fixture
def world(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    tool = tools.TOOLS["kind"]
    image = NodeImage("kind-node:1", built=True)
    looks = type("Health", (), {"healthy": True})()
    for place, name, value in (
        (up, "TIMINGS", cache / "timings.json"),
        (up, "EVIDENCE", tmp_path / "evidence"),
        (engine, "ensure", lambda: made.reach("prerequisites")),
        (engine, "version", lambda: "1.0"),
        (engine, "answers", lambda: True),
        (tools, "missing", lambda: [] if "tools" in made.there else [tool]),
        (tools, "build", lambda _: made.reach("tools")),
        (node_image, "ensure", lambda **_: (image, made.reach("node image"))),
        (operator, "ensure_image", lambda **_: ("operator:1", "")),
        (operator, "ensure_chart", lambda **_: ""),
        (operator, "install", lambda *_: made.reach("operator")),
        (pipeline_image, "ensure", lambda **_: ("local/pipeline:1", made.reach("pipeline image"))),
        (pipeline, "deploy", made.deploy),
        (pipeline, "first_answer", made.first_answer),
        (kind, "KindCluster", type("Mine", (Cluster,), {"world": made})),
    ):
        monkeypatch.setattr(place, name, value)
    monkeypatch.setattr("rayops.kube.Kube.connect", lambda *_, **__: object())
    monkeypatch.setattr("rayops.kube.rollout.wait_healthy", made.wait_healthy)
    monkeypatch.setattr("rayops.kube.rollout.look", lambda *_: looks)
    monkeypatch.setattr("rayops.kube.evidence.save_evidence", lambda _kube, _namespace, folder: folder)
    return made


def marks(text: str) -> dict[str, str]:
    """The mark of each step that the screen shows."""
    names = sorted(up.STEPS, key=len, reverse=True)
    lines = [line for line in text.splitlines() if line[:2] in ("✓ ", "· ", "✗ ")]
    return {next(name for name in names if line[2:].startswith(name)): line[0] for line in lines}


def test_up_goes_every_step_and_ends_with_the_answer(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--cluster", "c"]) == 0
    said = capsys.readouterr().out
    assert list(marks(said)) == list(up.STEPS)
    assert set(marks(said).values()) == {"✓"}
    for line in ("Why?", "Because.", "http://127.0.0.1:40080", "http://127.0.0.1:40081", "KUBECONFIG=/k/kubeconfig"):
        assert line in said
    assert said.rstrip().splitlines()[-1].startswith("stop")


def test_a_second_run_skips_every_step_and_asks_again(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["up", "--cluster", "c"])
    capsys.readouterr()
    assert cli.main(["up", "--cluster", "c"]) == 0
    second = marks(capsys.readouterr().out)
    assert second.pop("first answer") == "✓"
    assert set(second.values()) == {"·"}
    assert len(second) == len(up.STEPS) - 1


@pytest.mark.parametrize("until", ["tools", "pipeline image", "overlay"])
def test_up_stops_after_the_step_that_is_asked_for(
    world: World, capsys: pytest.CaptureFixture[str], until: str
) -> None:
    assert cli.main(["up", "--cluster", "c", "--until", until]) == 0
    assert list(marks(capsys.readouterr().out)) == list(up.STEPS[: up.STEPS.index(until) + 1])


@pytest.mark.parametrize("step", ["prerequisites", "operator", "overlay"])
def test_a_step_that_fails_is_marked_and_the_next_run_goes_on_from_there(
    world: World, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    world.fail = step
    assert cli.main(["up", "--cluster", "c"]) == 1
    said = capsys.readouterr()
    assert marks(said.out)[step] == "✗"
    assert said.err.splitlines() == [f"rayops: {step} broke"]
    done, world.fail = list(world.calls), ""
    assert cli.main(["up", "--cluster", "c"]) == 0
    assert world.calls[: len(done)] == done
    assert len(set(world.calls)) == len(world.calls)


@pytest.mark.parametrize("step", ["healthy", "first answer"])
def test_a_rollout_that_fails_leaves_evidence_and_names_it(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    world.fail = step
    assert cli.main(["up", "--cluster", "c"]) == 1
    assert f"evidence: {tmp_path}/evidence/up-rag-" in capsys.readouterr().err


def test_times_of_the_last_run_are_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--timings"]) == 1
    assert "./scripts/up" in capsys.readouterr().err
    cli.main(["up", "--cluster", "c"])
    capsys.readouterr()
    assert cli.main(["up", "--timings"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in said] == [*up.STEPS, "total"]


def test_the_time_of_the_python_environment_is_the_first_step(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAYOPS_PYTHON_SECONDS", "42")
    cli.main(["up", "--cluster", "c"])
    capsys.readouterr()
    cli.main(["up", "--timings"])
    assert capsys.readouterr().out.split()[:3] == ["python", "42.0", "s"]


def test_a_run_that_did_not_begin_does_not_wipe_the_times(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["up", "--cluster", "c"])
    assert cli.main(["up", "--pipeline", "nope"]) == 1
    assert cli.main(["up", "--timings"]) == 0


def test_times_that_were_cut_off_are_an_error_not_a_traceback(
    world: World, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (cache / "timings.json").write_text('[{"name": "to')
    assert cli.main(["up", "--timings"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.fixture
def no_local_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_only, "stop", lambda: False)
    monkeypatch.setattr(serve_only, "status", lambda: "")


def test_down_deletes_only_the_named_cluster_and_says_so(
    world: World, no_local_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    world.there = {"cluster a", "cluster b"}
    assert cli.main(["down", "--cluster", "a"]) == 0
    assert "cluster a" in capsys.readouterr().out
    assert world.there == {"cluster b"}
    assert cli.main(["down", "--cluster", "a"]) == 0
    assert "nothing" in capsys.readouterr().out


@pytest.mark.parametrize(("asked", "stopped"), [([], False), (["--engine"], True)])
def test_down_stops_the_engine_only_when_asked(
    world: World, no_local_ray: None, monkeypatch: pytest.MonkeyPatch, asked: list[str], stopped: bool
) -> None:
    calls: list[bool] = []

    def stop() -> bool:
        calls.append(True)
        return True

    monkeypatch.setattr(engine, "stop", stop)
    cli.main(["down", *asked])
    assert bool(calls) is stopped


def test_down_without_an_engine_still_stops_the_local_ray(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "answers", lambda: False)
    monkeypatch.setattr(serve_only, "stop", lambda: True)
    assert cli.main(["down"]) == 0
    assert "local Ray" in capsys.readouterr().out


def test_status_without_a_cluster_says_how_to_get_one(
    world: World, no_local_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["status", "--cluster", "a"]) == 1
    assert "a does not run → ./scripts/up" in capsys.readouterr().out


class Services(list[dict[str, Any]]):
    """The place of a connection that lists RayServices."""

    def list(self, *_: object, **__: object) -> "Services":
        return self


@pytest.mark.parametrize(("healthy", "code"), [([True], 0), ([True, False], 1), ([], 0)])
def test_status_tells_each_pipeline_and_fails_when_one_is_not_healthy(
    world: World, no_local_ray: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    healthy: list[bool], code: int,
) -> None:  # fmt: skip
    world.there = {"cluster a"}
    names = [f"p{number}" for number in range(len(healthy))]
    ports = {"serveService": {"spec": {"ports": [{"name": "serve", "nodePort": 30080}]}}}
    found = Services({"kind": "RayService", "metadata": {"name": n, "namespace": n}, "spec": ports} for n in names)
    state = dict(zip(names, healthy, strict=True))
    monkeypatch.setattr("rayops.kube.Kube.connect", lambda *_, **__: found)
    monkeypatch.setattr("rayops.kube.rollout.look", lambda _k, _n, name: type("H", (), {"healthy": state[name]})())
    assert cli.main(["status", "--cluster", "a"]) == code
    said = capsys.readouterr().out
    assert [name for name in names if f"{name}/{name}" in said] == names
    assert said.count("http://127.0.0.1:40080") == len(names)
    assert ("pipelines    none" in said) is (not names)


def test_the_times_file_is_readable_json(world: World, cache: Path) -> None:
    cli.main(["up", "--cluster", "c"])
    assert [step["name"] for step in json.loads((cache / "timings.json").read_text())] == list(up.STEPS)


def test_offline_and_node_image_reach_the_steps(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def note(name: str, answer: object) -> Callable[..., object]:
        def noted(*_: object, **options: object) -> object:
            seen[name] = options
            return answer

        return noted

    monkeypatch.setattr(node_image, "ensure", note("node", (NodeImage("n:1", built=False), "")))
    monkeypatch.setattr(operator, "ensure_image", note("operator", ("o:1", "")))
    monkeypatch.setattr(operator, "ensure_chart", note("chart", ""))
    monkeypatch.setattr(pipeline_image, "ensure", note("pipeline", ("p:1", "")))
    cli.main(["up", "--cluster", "c", "--offline", "--node-image", "n:1", "--until", "pipeline image"])
    assert seen["node"] == {"offline": True, "image": "n:1"}
    assert [seen[name]["offline"] for name in ("operator", "chart", "pipeline")] == [True] * 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--env", "nope"],
        ["--pipeline", ""],
        ["--serve-only", "--pipeline", "nope"],
    ],
)
def test_what_is_no_overlay_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str], world: World) -> None:
    assert cli.main(["up", *arguments]) == 1
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1
    assert world.calls == []


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["--env", "staging"], "overlays/staging is not for a laptop: its pods run registry.example.com/ray/pipeline"),
        (["--env", "prod", "--pipeline", "hello"], "overlays/prod is not for a laptop"),
        (
            ["--env", "prod", "--serve-only"],
            "overlays/prod is not for one machine: Ingress wants its replicas on several",
        ),
    ],
)
def test_an_environment_of_a_registry_and_many_nodes_is_refused_before_anything_is_built(
    arguments: list[str], cause: str, capsys: pytest.CaptureFixture[str], world: World
) -> None:
    assert cli.main(["up", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert cause in line
    assert "--env local" in line
    assert world.calls == []


@pytest.mark.parametrize("nodes", ["0", "-1"])
def test_a_cluster_of_no_nodes_is_wrong_usage(nodes: str, world: World) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["up", "--nodes", nodes])
    assert ended.value.code == 2
