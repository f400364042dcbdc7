"""Health of an HTTPRoute: what Flux is told here, beside what Argo CD's own check says."""

from typing import Any

import pytest
from lupa.lua54 import LuaRuntime

from rayops.cluster import gobuild
from rayops.kube import Obj, Status
from tests.health.evaluators import cel

CHECK = "resource_customizations/gateway.networking.k8s.io/HTTPRoute/health.lua"
TAKEN = {"Accepted": "True", "ResolvedRefs": "True"}


def route(*parents: dict[str, str], observed: int = 2, **metadata: Any) -> Obj:
    """A route of generation 2 whose parents say these conditions of the generation that they have observed."""
    said = [
        {
            "parentRef": {"name": "ai"},
            "conditions": [
                {"type": kind, "status": status, "observedGeneration": observed, "reason": "x", "message": "y"}
                for kind, status in conditions.items()
            ],
        }
        for conditions in parents
    ]
    name = {"name": "rag", "generation": 2, **metadata}
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": name, "spec": {}} | {
        "status": {"parents": said}
    }


def argocd(obj: Obj) -> Status:
    """What Argo CD's own script says."""
    source = gobuild.archive_directory("argocd", "github.com/argoproj/argo-cd/v3") / CHECK
    runtime = LuaRuntime()
    runtime.globals().obj = runtime.table_from(obj, recursive=True)
    return Status(runtime.execute(source.read_text())["status"])


HEALTHY, PROGRESSING, DEGRADED = Status.HEALTHY, Status.PROGRESSING, Status.DEGRADED


@pytest.mark.parametrize(
    ("obj", "by_flux", "by_argocd"),
    [
        (route(TAKEN), HEALTHY, HEALTHY),
        (route(TAKEN, TAKEN), HEALTHY, HEALTHY),
        (route(), PROGRESSING, PROGRESSING),
        (route({}), PROGRESSING, PROGRESSING),
        (route({**TAKEN, "Accepted": "False"}), DEGRADED, DEGRADED),
        (route(TAKEN, {**TAKEN, "Accepted": "False"}), DEGRADED, DEGRADED),
        (route(TAKEN, observed=1), PROGRESSING, PROGRESSING),
        (route({**TAKEN, "Accepted": "False"}, observed=1), PROGRESSING, PROGRESSING),
        # Flux applies route and RayService at once, so it waits; Argo CD applies the route when the Service is there.
        (route({**TAKEN, "ResolvedRefs": "False"}), PROGRESSING, DEGRADED),
        (route(TAKEN, {**TAKEN, "ResolvedRefs": "Unknown"}), PROGRESSING, HEALTHY),
        (route(TAKEN, deletionTimestamp="2026-11-22T00:00:00Z"), PROGRESSING, HEALTHY),
        ({**route(), "status": {}}, PROGRESSING, PROGRESSING),
    ],
)
def test_a_route_is_healthy_when_its_gateway_has_taken_it(obj: Obj, by_flux: Status, by_argocd: Status) -> None:
    assert cel(obj) is by_flux
    assert argocd(obj) is by_argocd
