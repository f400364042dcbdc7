"""One host for each environment: every service has its path there, nobody else one, and none leads to a dashboard."""

import os
import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import Obj, of_kind, one, render
from tests.render.conftest import HIDDEN
from tests.render.ways_in import claimed_twice, claims, routes, to_a_head

Rendered = Callable[[Path], list[Obj]]
Change = Callable[[list[Obj]], Any]
SHARED = ("dev", "staging", "prod")
GATEWAY = ROOT / "base/platform/gateway"
TAKES = {"rayops.io/routes": "true"}
shared = pytest.mark.parametrize("name", SHARED)


@pytest.fixture
def services(rendered: Rendered, pipelines_of: Callable[[Path], list[Path]]) -> Callable[[str], list[list[Obj]]]:
    """The objects of each service of an environment, in the order of their names."""
    return lambda name: [rendered(folder) for folder in pipelines_of(Path("overlays", name))]


def gateway_of(name: str, rendered: Rendered) -> list[Obj]:
    return rendered(Path("overlays", name, "platform"))


# --- every service has its path, and no other


@shared
def test_every_service_has_its_path_on_the_host(name: str, services: Callable[[str], list[list[Obj]]]) -> None:
    assert services(name)
    for objects in services(name):
        service = one(objects, "RayService")["metadata"]["name"]
        spec = one(objects, "HTTPRoute", service)["spec"]
        assert spec["hostnames"] == [f"ai.{name}.example.com"]
        assert spec["parentRefs"] == [{"name": "ai", "namespace": "ingress"}]
        (rule,) = spec["rules"]
        assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": f"/{service}"}}]
        assert rule["backendRefs"] == [{"name": f"{service}-serve-svc", "port": 8000}]
        (rewrite,) = rule["filters"]
        assert rewrite["urlRewrite"] == {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
        assert rule["timeouts"] == {"request": "0s"}, "none: a stream may take its time"


@shared
def test_the_gateway_pipeline_alone_has_the_path_of_openai_s_protocol(
    name: str, services: Callable[[str], list[list[Obj]]]
) -> None:
    found = {
        one(objects, "RayService")["metadata"]["name"]: one(objects, "HTTPRoute", "openai")["spec"]
        for objects in services(name)
        if any(obj["metadata"]["name"] == "openai" for obj in of_kind(objects, "HTTPRoute"))
    }
    assert list(found) == ["gateway"]
    (rule,) = found["gateway"]["rules"]
    assert found["gateway"]["hostnames"] == [f"ai.{name}.example.com"]
    assert rule == {
        "matches": [{"path": {"type": "PathPrefix", "value": "/v1"}}],
        "timeouts": {"request": "0s"},
        "backendRefs": [{"name": "gateway-serve-svc", "port": 8000}],
    }


def test_nobody_claims_the_path_of_another(environment: Path, rendered: Rendered) -> None:
    assert not claimed_twice(rendered(environment))


def test_a_path_claimed_twice_is_seen(rendered: Rendered) -> None:
    objects = deepcopy(rendered(Path("overlays/prod")))
    one(objects, "HTTPRoute", "hello")["spec"]["rules"][0]["matches"][0]["path"]["value"] = "/v1"
    assert claimed_twice(objects) == [("ai.prod.example.com", "/v1")]


def test_a_job_has_no_path_and_neither_has_local(job: Path, rendered: Rendered) -> None:
    assert not claims(rendered(job))
    assert not claims(rendered(Path("overlays/local"))), "kind has no controller, unless a test brings one"


@pytest.mark.parametrize("called", ["rag", "support-assistant"])
def test_a_route_reaches_the_service_that_kuberay_makes(
    called: str, compose: Callable[..., Path], kustomize: Path
) -> None:
    folder = compose("base/components/http-route", "base/components/openai-route", "base/rayservice")
    file = folder / "kustomization.yaml"
    file.write_text(file.read_text().replace("pipeline=rag", f"pipeline={called}"))
    objects = render(folder, binary=kustomize)
    assert sorted(claims(objects)) == [("ai.local.example.com", f"/{called}"), ("ai.local.example.com", "/v1")]
    for route in of_kind(objects, "HTTPRoute"):
        assert route["spec"]["rules"][0]["backendRefs"] == [{"name": f"{called}-serve-svc", "port": 8000}]
        assert int(route["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"]) > 0, "after the RayService"


# --- none leads to a head


def test_no_way_in_leads_to_a_head(overlay: Path, rendered: Rendered) -> None:
    assert not to_a_head(rendered(overlay))


def backend(objects: list[Obj]) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, "HTTPRoute", "rag")["spec"]["rules"][0]["backendRefs"][0]
    return found


def mirror(objects: list[Obj]) -> None:
    to = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "rag-head-svc", "port": 8265}}}
    one(objects, "HTTPRoute", "rag")["spec"]["rules"][0]["filters"].append(to)


def ingress(**backend: Any) -> Change:
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    spec = {"rules": [{"http": {"paths": [path]}}]}
    return lambda objects: objects.append({"kind": "Ingress", "metadata": {"name": "x"}, "spec": spec})


def listener(objects: list[Obj]) -> None:
    spec = {"listeners": [{"name": "dashboard", "port": 8265}]}
    objects.append({"kind": "Gateway", "metadata": {"name": "x"}, "spec": spec})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda objects: backend(objects).update(port=8265), "HTTPRoute rag leads to rag-serve-svc:8265"),
        (lambda objects: backend(objects).update(name="rag-head-svc"), "HTTPRoute rag leads to rag-head-svc:8000"),
        (lambda objects: backend(objects).update(namespace="hello"), "leads to hello/rag-serve-svc:8000"),
        (lambda objects: backend(objects).update(kind="TraefikService"), "leads to rag-serve-svc:8000"),
        (mirror, "HTTPRoute rag leads to rag-head-svc:8265"),
        (ingress(service={"name": "rag-serve-svc", "port": {"name": "dashboard"}}), "leads to rag-serve-svc:dashboard"),
        (ingress(service={"name": "rag-head-svc", "port": {"number": 8000}}), "leads to rag-head-svc:8000"),
        (ingress(resource={"name": "x", "kind": "StorageBucket"}), "Ingress x leads to x:None"),
        (listener, "Gateway x listens on 8265"),
    ],
)
def test_a_way_to_a_head_is_seen(change: Change, cause: str, rendered: Rendered) -> None:
    objects = deepcopy(rendered(Path("overlays/prod/rag")))
    change(objects)
    (fault,) = to_a_head(objects)
    assert cause in fault


# --- the Gateway


@shared
def test_the_gateway_takes_the_routes_of_its_environment_s_pipelines(
    name: str, rendered: Rendered, services: Callable[[str], list[list[Obj]]]
) -> None:
    gateway = one(gateway_of(name, rendered), "Gateway")
    listeners = {each["name"]: each for each in gateway["spec"]["listeners"]}
    hosts = {each["hostname"] for each in listeners.values()}
    assert gateway["metadata"]["namespace"] == "ingress"
    for objects in services(name):
        for route in routes(objects):
            assert set(route["spec"]["hostnames"]) == hosts
            (parent,) = route["spec"]["parentRefs"]
            assert (parent["namespace"], parent["name"]) == ("ingress", gateway["metadata"]["name"])
        selector = listeners["https"]["allowedRoutes"]["namespaces"]["selector"]["matchLabels"]
        assert selector.items() <= one(objects, "Namespace")["metadata"]["labels"].items()


@shared
def test_the_clear_is_only_sent_to_https(name: str, rendered: Rendered) -> None:
    objects = gateway_of(name, rendered)
    listeners = {each["name"]: each for each in one(objects, "Gateway")["spec"]["listeners"]}
    assert {each: listener["port"] for each, listener in listeners.items()} == {"http": 80, "https": 443}
    assert listeners["http"]["allowedRoutes"]["namespaces"] == {"from": "Same"}
    assert listeners["https"]["allowedRoutes"]["namespaces"] == {"from": "Selector", "selector": {"matchLabels": TAKES}}
    spec = one(objects, "HTTPRoute")["spec"]
    assert spec["parentRefs"] == [{"name": "ai", "sectionName": "http"}]
    (rule,) = spec["rules"]
    assert rule["filters"][0]["requestRedirect"] == {"scheme": "https", "statusCode": 301}
    assert "backendRefs" not in rule


@shared
def test_the_certificate_is_fetched_for_this_environment(name: str, rendered: Rendered) -> None:
    objects = gateway_of(name, rendered)
    (https,) = (each for each in one(objects, "Gateway")["spec"]["listeners"] if "tls" in each)
    fetched = one(objects, "ExternalSecret")
    assert https["tls"]["certificateRefs"] == [{"name": fetched["spec"]["target"]["name"]}]
    assert {each["remoteRef"]["key"] for each in fetched["spec"]["data"]} == {f"{name}/ingress/ai-tls"}
    assert {each["secretKey"] for each in fetched["spec"]["data"]} == {"tls.crt", "tls.key"}
    assert fetched["spec"]["target"]["template"]["type"] == "kubernetes.io/tls"


@shared
def test_network_policies_let_the_gateway_s_namespace_in(name: str, rendered: Rendered) -> None:
    policy = one(rendered(Path("overlays", name, "rag")), "NetworkPolicy", "ingress-to-serve")["spec"]
    wanted = policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]
    assert wanted.items() <= one(gateway_of(name, rendered), "Namespace")["metadata"]["labels"].items()


def test_the_class_is_said_once_and_the_domain_at_the_host_only() -> None:
    files = [file for folder in ("base", "overlays") for file in (ROOT / folder).rglob("*.yaml")]
    said = [file for file in files if re.search(r"^\s+gatewayClassName: ", file.read_text(), re.MULTILINE)]
    own = "base/components/incremental-upgrade/patches"  # KubeRay makes that Gateway from it
    assert [file for file in said if not str(file.relative_to(ROOT)).startswith(own)] == [GATEWAY / "gateway.yaml"]
    hosts = [line for file in files for line in re.findall(r"\bai\.environment\.[\w.]+", file.read_text())]
    assert set(hosts) == {"ai.environment.example.com"}


def platform(folder: Path, kustomize: Path, extra: str) -> list[Obj]:
    """The Gateway and the store's component in an overlay of its own, and what its README.md gives to copy."""
    at = [
        os.path.relpath(ROOT / part, folder) for part in ("base/platform/gateway", "base/components/external-secrets")
    ]
    literals = ["pipeline=ingress", "environment=prod"]
    overlay = {"components": at, "configMapGenerator": [{"name": "sizing", "literals": literals, "options": HIDDEN}]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(overlay) + extra)
    return render(folder, binary=kustomize)


def test_the_readme_leaves_the_certificate_to_cert_manager(tmp_path: Path, kustomize: Path) -> None:
    found = re.search(r"^    patches:\n(?:    .*\n)+", (GATEWAY / "README.md").read_text(), re.MULTILINE)
    assert found
    assert of_kind(platform(tmp_path, kustomize, ""), "ExternalSecret")
    objects = platform(tmp_path, kustomize, re.sub(r"^    ", "", found[0], flags=re.MULTILINE))
    assert not of_kind(objects, "ExternalSecret")
    assert one(objects, "Gateway")["metadata"]["annotations"] == {"cert-manager.io/cluster-issuer": "platform"}
