"""What every pipeline on kind must pass: healthy as its overlay says, answering right, unmoved by bad input."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from rayops.kube import Kube, dig
from rayops.kube.objects import POD, kind_of, name_of
from rayops.pipeline import first_answer
from rayops.render import name_of as title
from tests.apps.hostile import JSON, Operation, check, operations
from tests.harness import ServiceUnderTest, differences

Right = Callable[[Any], bool]


def right(service: ServiceUnderTest, kube: Kube, expected: Right) -> dict[str, Any]:
    """Assert that the sample is answered right, all is ready, and what lives is what was applied; the figures seen."""
    answer = first_answer(service.name, service.url)
    assert expected(answer.body), answer.body
    started = time.monotonic()
    ready = httpx.get(f"{service.url}/readyz", timeout=10)
    assert ready.status_code == 200, ready.text
    readyz_ms = round((time.monotonic() - started) * 1000, 1)
    wrong = {}
    for wanted in service.objects:
        live = kube.get(kind_of(wanted), wanted["metadata"]["name"], wanted["metadata"].get("namespace"))
        if lines := differences(wanted, live):
            wrong[title(wanted)] = lines
    assert not wrong
    memory = memory_mb(service, kube)
    return {"answer_ms": round(answer.milliseconds, 1), "readyz_ms": readyz_ms, "memory_mb": memory}


def unmoved_by_bad_input(
    service: ServiceUnderTest, kube: Kube, expected: Right, headers: dict[str, str] | None = None
) -> None:
    """Assert that nasty bodies and values are refused, that no replica and no container went away, and that it answers.

    headers: of every request, where the pipeline asks who is there before it looks at a body.
    """
    described = operations(httpx.get(f"{service.url}/openapi.json").json())
    assert described
    before = replicas(service)
    with httpx.Client(base_url=service.url, timeout=60, headers=headers) as client:
        for operation in described:
            send(client, operation)
    after = replicas(service)
    assert before
    assert before.items() <= after.items(), "a replica went away"
    for pod in kube.list(POD, service.namespace):
        for status in dig(pod, "status", "containerStatuses") or []:
            assert status["restartCount"] == 0, name_of(pod)
    assert expected(first_answer(service.name, service.url).body)


def send(client: httpx.Client, operation: Operation) -> None:
    """Send what is wrong to one operation; every answer must be a refusal that says why."""
    for media_type, body in operation.nasty():
        check(client.post(operation.path, content=body, headers={"content-type": media_type}))
    for value in ("", "-1", "nan", "1e400", "x"):
        media_type = operation.media_types[0]
        headers = {"content-type": media_type, "x-request-timeout-ms": value}
        check(client.post(operation.path, content=b"{}" if media_type == JSON else b"x", headers=headers))


def replicas(service: ServiceUnderTest) -> dict[str, int]:
    """Process by replica, as Serve sees them."""
    return {replica["replica_id"]: replica["pid"] for _, replica in running(service)}


def running(service: ServiceUnderTest) -> list[tuple[str, Any]]:
    """Deployment and replica, of every application."""
    return [
        (name, replica)
        for application in service.serve_status()()["applications"].values()
        for name, deployment in application["deployments"].items()
        for replica in deployment["replicas"]
    ]


def memory_mb(service: ServiceUnderTest, kube: Kube) -> dict[str, int]:
    """Resident memory of the largest replica of each deployment, in MB; what processes share counts in each."""
    resident: dict[tuple[str, int], int] = {}
    for pod in kube.list(POD, service.namespace):
        if dig(pod, "status", "podIP") and "worker" in name_of(pod):
            listed = kube.exec(service.namespace, name_of(pod), ["ps", "-eo", "pid=,rss="])
            for line in listed.stdout.splitlines():
                pid, kilobytes = line.split()
                resident[dig(pod, "status", "podIP"), int(pid)] = int(kilobytes)
    found: dict[str, int] = {}
    for name, replica in running(service):
        size = resident.get((replica["node_ip"], replica["pid"]), 0) * 1024 // 1_000_000
        found[name] = max(found.get(name, 0), size)
    return found
