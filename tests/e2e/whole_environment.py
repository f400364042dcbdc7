"""Pipelines of overlays/local together in one cluster, under the one host of their environment; for a drill, all.

.venv/bin/pytest -m drill tests/e2e/whole_environment.py      # every pipeline at once
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from rayops.errors import RayopsError
from rayops.kube import Kube, Obj
from rayops.kube.objects import NAMESPACE, name_of
from rayops.paths import ROOT
from rayops.pipeline import sample_of
from rayops.render import one, pod_specs, render, set_namespace
from tests.harness import Cluster, ServiceUnderTest, namespaces, traefik
from tests.harness.overlay import Change, changed, spec

pytestmark = [pytest.mark.drill, pytest.mark.cluster, pytest.mark.timeout(5400)]
LOCAL = ROOT / "overlays" / "local"
ROUTES = {"gateway": ("http-route", "openai-route")}
# What a pod asks of the node beside seven other pipelines; how much it takes is not bounded by that.
CPU_REQUEST = "20m"
MEMORY_REQUEST = "600Mi"


@dataclass(frozen=True)
class Environment:
    """Services by pipeline, and the host that they are asked at."""

    host: traefik.Host
    services: dict[str, ServiceUnderTest]


def pipelines() -> list[str]:
    """Every service of the environment; what others call comes before the gateway, which calls it."""
    found = [file.parent.name.replace("_", "-") for file in (ROOT / "apps").glob("*/serve.yaml")]
    return sorted(found, key=lambda name: (name == "gateway", name))


def routed(folder: Path, pipeline: str) -> list[Obj]:
    """A pipeline's local overlay with its path on the host, in the namespace that the overlay names.

    folder: for the kustomization that takes both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [ROOT / "base" / "components" / name for name in ROUTES.get(pipeline, ("http-route",))]
    components = ", ".join(os.path.relpath(part, folder) for part in parts)
    overlay = os.path.relpath(LOCAL / pipeline, folder)
    (folder / "kustomization.yaml").write_text(f"resources: [{overlay}]\ncomponents: [{components}]\n")
    objects = render(folder)
    return set_namespace(objects, one(objects, "RayService")["metadata"]["namespace"])


def small() -> Change:
    """Sizes by which eight pipelines fit on two CPUs: small requests, and no more workers than at rest."""

    def edit(found: Obj) -> None:
        for group in found["rayClusterConfig"]["workerGroupSpecs"]:
            group["maxReplicas"] = group["minReplicas"]

    def requests(objects: list[Obj]) -> list[Obj]:
        for _, pod in pod_specs(one(objects, "RayService")):
            for container in pod["containers"]:
                container["resources"]["requests"].update(cpu=CPU_REQUEST, memory=MEMORY_REQUEST)
        return objects

    return lambda objects: requests(spec(edit)(objects))


@contextmanager
def environment(
    cluster: Cluster, kube: Kube, folder: Path, names: Sequence[str], changes: dict[str, Change] | None = None
) -> Iterator[Environment]:
    """These pipelines in their own namespaces, one after the other, healthy, behind Traefik; all removed at the end.

    changes: by pipeline. Raises RayopsError where one of the namespaces is there already.
    """
    with ExitStack() as stack:
        for name in (*names, traefik.PLACE):
            if kube.find(NAMESPACE, name):
                raise RayopsError(f"namespace {name} is there already", hint="a cluster of its own is needed for this")
        stack.callback(traefik.remove, kube)
        host = traefik.install(kube, cluster, render(ROOT / "tests/e2e/one-host/clear"))
        services = {}
        for name in names:
            base = changed(routed(folder / name, name), *([changes[name]] if changes and name in changes else []))
            stack.callback(namespaces.remove, kube, name)
            service = ServiceUnderTest(kube, cluster, name, name_of(one(base, "RayService")), base)
            service.apply(base)
            service.wait_healthy()
            services[name] = service
        for name in names:
            for route in ROUTES.get(name, ("http-route",)):
                traefik.wait_accepted(kube, name, name if route == "http-route" else "openai")
        yield Environment(host, services)


@pytest.fixture(scope="module")
def whole(cluster: Cluster, kube: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    names = pipelines()
    changes = dict.fromkeys(names, small())
    with environment(cluster, kube, tmp_path_factory.mktemp("whole"), names, changes) as found:
        yield found


def test_every_pipeline_answers_at_the_one_host(whole: Environment, record: Callable[..., None]) -> None:
    """Each its sample, at its own path; the gateway's models at /v1."""
    answered = {}
    with whole.host.client(timeout=120) as client:
        for name in whole.services:
            sample = sample_of(name)
            body = sample.body if isinstance(sample.body, str) else None
            answer = client.post(
                f"/{name}{sample.path}",
                content=body,
                json=None if body else sample.body,
                headers={"content-type": sample.content_type, "authorization": "Bearer local-demo-key"},
            )
            assert answer.status_code == 200, (name, answer.status_code, answer.text[:500])
            answered[name] = round(answer.elapsed.total_seconds() * 1000)
        models = client.get("/v1/models", headers={"authorization": "Bearer local-demo-key"}).json()["data"]
    record(answered_ms=answered, models=sorted(each["id"] for each in models))
    assert len(answered) == len(pipelines()) >= 8


def test_no_dashboard_is_at_the_one_host(whole: Environment) -> None:
    with whole.host.client() as client:
        for name in whole.services:
            for path in ("/api/version", "/api/jobs/"):
                assert client.get(f"/{name}{path}").status_code in {401, 404}, (name, path)
            assert "ray_version" not in client.get(f"/{name}/api/version").text
