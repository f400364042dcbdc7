"""The one host of the e2e tests: what counts as programmed and taken, its certificate, and sizes that fit together."""

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from rayops.render import Obj, of_kind, one, pod_specs, render
from tests.e2e.whole_environment import CPU_REQUEST, pipelines, routed, small
from tests.harness import traefik
from tests.harness.overlay import changed

HOST = "ai.local.example.com"


def conditions(*kinds: str, generation: int = 3, **other: str) -> list[dict[str, Any]]:
    status = dict.fromkeys(kinds, "True") | other
    return [{"type": kind, "status": value, "observedGeneration": generation} for kind, value in status.items()]


def gateway(own: list[dict[str, Any]], *listeners: list[dict[str, Any]]) -> Obj:
    status = {"conditions": own, "listeners": [{"conditions": each} for each in listeners]}
    return {"metadata": {"generation": 3}, "spec": {"listeners": [{}, {}]}, "status": status}


GOOD = conditions("Accepted", "Programmed")
LISTENER = conditions("Accepted", "Programmed", "ResolvedRefs")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (gateway(GOOD, LISTENER, [*LISTENER, *conditions(Conflicted="False")]), True),
        (gateway(GOOD, LISTENER), False),
        (gateway(conditions("Accepted", Programmed="Unknown"), LISTENER, LISTENER), False),
        (gateway(GOOD, LISTENER, conditions("Accepted", "Programmed", ResolvedRefs="False")), False),
        (gateway(GOOD, LISTENER, conditions("Accepted", "Programmed", generation=2)), False),
    ],
)
def test_a_gateway_is_programmed_when_each_listener_is_as_it_stands_now(found: Obj, verdict: bool) -> None:
    assert traefik.programmed(found) is verdict


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([conditions("Accepted", "ResolvedRefs")], True),
        ([], False),
        ([conditions("Accepted")], False),
        ([conditions("Accepted", ResolvedRefs="False")], False),
        ([conditions("Accepted", "ResolvedRefs"), conditions("ResolvedRefs", Accepted="False")], False),
        ([conditions("Accepted", "ResolvedRefs", generation=2)], False),
    ],
)
def test_a_route_is_taken_when_every_parent_says_so_of_this_generation(said: list[Any], verdict: bool) -> None:
    parents = [{"conditions": each} for each in said]
    assert traefik.accepted({"metadata": {"generation": 3}, "status": {"parents": parents}}) is verdict


def test_the_certificate_is_for_the_host_and_trusted_by_itself_alone() -> None:
    authority, key = traefik.certificate(HOST)
    made = x509.load_pem_x509_certificate(authority.encode())
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert "PRIVATE KEY" in key
    assert len(ssl.create_default_context(cadata=authority).get_ca_certs()) == 1


def test_a_client_asks_for_the_host_whatever_the_address() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    host = traefik.Host(HOST, "http://127.0.0.1:1", "https://127.0.0.1:2", traefik.certificate(HOST)[0])
    for tls in (False, True):
        with host.client(tls=tls, transport=httpx.MockTransport(answer)) as client:
            client.get("/rag/healthz")
    assert [str(request.url) for request in seen] == [
        "http://127.0.0.1:1/rag/healthz",
        "https://127.0.0.1:2/rag/healthz",
    ]
    assert {request.headers["host"] for request in seen} == {HOST}
    assert {request.extensions["sni_hostname"] for request in seen} == {HOST}


def test_every_pipeline_of_the_environment_is_there_and_the_gateway_comes_last() -> None:
    found = pipelines()
    assert found[-1] == "gateway"
    assert {"embeddings", "hello", "llm", "rag"} < set(found)


def test_a_pipeline_gets_its_routes_and_small_sizes(tmp_path: Path) -> None:
    whole = routed(tmp_path / "gateway", "gateway")
    assert {route["metadata"]["name"] for route in of_kind(whole, "HTTPRoute")} == {"gateway", "openai"}
    assert {obj["metadata"].get("namespace", "gateway") for obj in whole} == {"gateway"}
    found = changed(whole, small())
    asked = [
        c["resources"]["requests"]["cpu"] for _, pod in pod_specs(one(found, "RayService")) for c in pod["containers"]
    ]
    assert set(asked) == {CPU_REQUEST}
    for group in one(found, "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"]:
        assert group["maxReplicas"] == group["minReplicas"]


def test_the_controller_listens_where_the_gateway_s_listeners_say() -> None:
    """Traefik finds an entry point by a listener's number, and node ports of the e2e cluster lead to the same."""
    manifests = render(traefik.HERE / "manifests")
    container = one(manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    entries = {int(arg.rpartition(":")[2]) for arg in container["args"] if ".address=:" in arg}
    found = one(render(traefik.HERE.parents[1] / "e2e/one-host/clear"), "Gateway")["spec"]
    assert {listener["port"] for listener in found["listeners"]} < entries
    assert {port["port"] for port in one(manifests, "Service")["spec"]["ports"]} == {80, 443}
    assert found["gatewayClassName"] == one(manifests, "GatewayClass")["metadata"]["name"]
