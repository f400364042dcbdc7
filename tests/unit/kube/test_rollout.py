from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.kube import Health, Kube, NotFoundError, Status, WaitError, look, wait_healthy

CASES = {c["name"]: c["service"] for c in yaml.safe_load((Path(__file__).parent / "data" / "health.yaml").read_text())}
PATH = "/apis/ray.io/v1/namespaces/rag/rayservices/rag"


def recorded(name: str) -> dict[str, Any]:
    case = CASES[name]
    spec = {"serveConfigV2": "applications: [{name: rag}]", **case.get("spec", {})}
    return {"metadata": {"generation": 1, **case.get("metadata", {})}, "spec": spec, "status": case.get("status", {})}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("rayops.kube.wait.time.monotonic", lambda: now[0])
    monkeypatch.setattr("rayops.kube.wait.time.sleep", lambda s: now.__setitem__(0, now[0] + s))


def test_look_reads_object_pods_and_events(kube: Kube, api: Any) -> None:
    api.objects[PATH] = recorded("healthy")
    assert look(kube, "rag", "rag").healthy
    asked = {call.path.rsplit("/", 1)[1] for call in api.calls}
    assert asked == {"rag", "pods", "events"}
    with pytest.raises(NotFoundError):
        look(kube, "rag", "other")


def test_each_step_is_told_once(kube: Kube, api: Any) -> None:
    steps = ["first cluster is being made"] * 3 + ["the application is deploying"] * 2 + ["healthy"]
    states = iter(steps)
    api.objects[PATH] = lambda: recorded(next(states))
    told: list[Health] = []
    assert wait_healthy(kube, "rag", "rag", tell=told.append).healthy
    assert [health.layer.name for health in told] == ["HEAD", "APPLICATIONS", "DATA_PATH"]


def test_degraded_that_lasts_ends_the_wait_and_names_the_cause(kube: Kube, api: Any) -> None:
    api.objects[PATH] = recorded("Ready, and yet an application failed to deploy")
    with pytest.raises(WaitError, match=r"Degraded for 20 s.*DEPLOY_FAILED") as caught:
        wait_healthy(kube, "rag", "rag", patience_s=20)
    assert 20 <= caught.value.waited_s < 25


def test_degraded_that_passes_does_not(kube: Kube, api: Any) -> None:
    bad, good = "Ready, and yet an application failed to deploy", "the application is deploying"
    states = iter([*[bad] * 15, good, *[bad] * 15, "healthy"])
    api.objects[PATH] = lambda: recorded(next(states))
    assert wait_healthy(kube, "rag", "rag", patience_s=20).status is Status.HEALTHY
