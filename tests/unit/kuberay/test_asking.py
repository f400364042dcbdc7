"""One process for many objects, none for known ones; and what is said where it cannot be built or asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from rayops import kuberay, proc
from rayops.errors import RayopsError
from rayops.kuberay import Operator, asking, operator_of, program
from tests.unit.kuberay.objects import cluster, job, put, service


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The number of objects of each question that a process was started for; with a cache of the test's own."""
    program.program(), program.schemas()  # which starts processes of its own where it is new
    monkeypatch.setattr(asking, "CACHED", tmp_path / "answers")
    real = proc.run
    asked: list[int] = []

    def count(arguments: Any, **how: Any) -> str:
        asked.append(len(json.loads(how["stdin"])["objects"]))
        return real(arguments, **how)

    monkeypatch.setattr(proc, "run", count)
    return asked


def test_many_objects_are_one_process_and_the_next_time_none(processes: list[int]) -> None:
    objects = [service(), cluster(), job()]
    first = kuberay.ask(objects)
    assert kuberay.ask(objects) == first
    assert processes == [3]


def test_only_what_is_new_is_asked(processes: list[int]) -> None:
    kuberay.ask([service()])
    answers = kuberay.ask([cluster(), service(), cluster()])
    assert processes == [1, 1]
    assert answers[0] == answers[2] != answers[1]


def test_answers_are_in_the_order_of_the_objects(processes: list[int]) -> None:
    names = ["b", "a", "c"]
    kuberay.ask([cluster(put("/metadata/name", "a"))])
    answers = kuberay.ask([cluster(put("/metadata/name", name)) for name in names])
    assert [answer.pods[0]["metadata"]["name"] for answer in answers] == [f"{name}-head" for name in names]


def test_other_settings_of_the_operator_are_another_question(processes: list[int]) -> None:
    kuberay.ask([cluster()], operator=Operator())
    kuberay.ask([cluster()], operator=Operator(gates="RayMultiHostIndexing=false"))
    assert processes == [1, 1]


def test_errors_are_kept_as_well(processes: list[int]) -> None:
    for _ in range(2):
        with pytest.raises(RayopsError, match=r"spec\.nothing: unknown field"):
            kuberay.ask([cluster(put("/spec/nothing", 1))])
    assert processes == [1]


@pytest.mark.parametrize("rubbish", ["", "{", "[1]"])
def test_a_half_written_answer_is_asked_again(processes: list[int], rubbish: str) -> None:
    before = kuberay.ask([cluster()])
    (file,) = asking.CACHED.iterdir()
    file.write_text(rubbish)
    assert kuberay.ask([cluster()]) == before
    assert processes == [1, 1]


def test_who_changes_an_answer_does_not_change_the_next(processes: list[int]) -> None:
    (answer,) = kuberay.ask([cluster()])
    answer.pods[0]["metadata"]["name"] = "changed"
    assert kuberay.ask([cluster()])[0].pods[0]["metadata"]["name"] == "demo-head"


def test_the_cache_is_bounded(processes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "MOST_CACHED", 4)
    for number in range(6):
        kuberay.ask([cluster(put("/metadata/name", f"n{number}"))])
    assert len(list(asking.CACHED.iterdir())) <= 4
    kuberay.ask([cluster(put("/metadata/name", "n5"))])
    assert len(processes) == 6  # the last one was kept


def test_no_objects_need_no_program(processes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "program", lambda: pytest.fail("it was asked for"))
    assert kuberay.ask([]) == []


def test_without_go_one_line_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_: object, **__: object) -> None:
        raise RayopsError("go is not installed", hint="the Python package index must be reachable once")

    monkeypatch.setattr(program, "BIN", tmp_path)
    monkeypatch.setattr("rayops.cluster.gobuild.build", missing)
    with pytest.raises(RayopsError, match="KubeRay's own checks cannot be built: go is not installed") as raised:
        program.program()
    assert raised.value.hint
    assert list(tmp_path.iterdir()) == []


def test_gates_that_kuberay_does_not_know_are_an_error(processes: list[int]) -> None:
    with pytest.raises(RayopsError, match="unrecognized feature gate: Nothing"):
        kuberay.ask([cluster()], operator=Operator(gates="Nothing=true"))


# The operator's settings


CHART = """
kuberay-operator:
  env: [{name: A, value: "1"}, {name: SECRET, valueFrom: {secretKeyRef: {name: s, key: k}}}]
  featureGates: [{name: RayCronJob, enabled: true}, {name: RayMultiHostIndexing, enabled: false}]
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for file, text in (("charts/kuberay-platform/values.yaml", CHART), ("overlays/dev/operator-values.yaml", "")):
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    return tmp_path


def test_the_charts_values_count(repository: Path) -> None:
    assert operator_of(root=repository) == Operator({"A": "1"}, "RayCronJob=true,RayMultiHostIndexing=false")
    assert operator_of("dev", repository) == operator_of(root=repository)


def test_an_environments_list_replaces_the_charts(repository: Path) -> None:
    values = repository / "overlays/dev/operator-values.yaml"
    values.write_text("kuberay-operator: {env: [{name: B, value: 2}]}")
    assert operator_of("dev", repository) == Operator({"B": "2"}, "RayCronJob=true,RayMultiHostIndexing=false")


def test_a_repository_without_the_chart_has_kuberays_defaults(tmp_path: Path) -> None:
    assert operator_of("prod", tmp_path) == Operator()
    with pytest.raises(RayopsError, match="no environment prod"):
        operator_of("prod", tmp_path, strict=True)


@pytest.mark.parametrize("text", ["a: [", "- a", "kuberay-operator: [1]", "kuberay-operator: {env: 5}"])
def test_values_that_are_none_are_one_error(repository: Path, text: str) -> None:
    (repository / "charts/kuberay-platform/values.yaml").write_text(text)
    with pytest.raises(RayopsError, match=r"values\.yaml"):
        operator_of(root=repository)


def test_ours_is_the_one_of_the_chart() -> None:
    assert operator_of().environment == {"ENABLE_INIT_CONTAINER_INJECTION": "false"}
