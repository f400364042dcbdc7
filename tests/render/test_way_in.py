"""Who gets in: the token of Ray's own APIs, the Ingress to Serve, and nothing that leads to a dashboard."""

import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml

from rayops.render import Obj, containers, one, render
from tests.render.composing import AT, TOGETHER, block, cluster, composed_of

Rendered = Callable[[Path], list[Obj]]
Compose = Callable[..., Path]
Composed = Callable[..., list[Obj]]


@pytest.fixture
def composed(compose: Compose, kustomize: Path) -> Composed:
    return functools.partial(composed_of, compose, kustomize)


def test_the_token_is_the_same_for_every_cluster(composed: Composed) -> None:
    spec = cluster(composed("token-auth"))
    assert spec["authOptions"] == {"mode": "token", "secretName": "ray-auth"}
    major, minor, _ = spec["rayVersion"].split(".")
    assert (int(major), int(minor)) >= (2, 52), "KubeRay refuses token mode for an older Ray, or for none"


def test_probes_ask_only_for_paths_that_need_no_token(composed: Composed) -> None:
    """From Ray's own lists: dashboard, agent; 8000 is Serve's proxy, which knows no token."""
    ray = Path(pytest.importorskip("ray").__file__).parent
    head = (ray / "dashboard/http_server_head.py").read_text()
    agent = (ray / "dashboard/http_server_agent.py").read_text()
    opened = {
        "dashboard": quoted(head.partition("public_exact_paths = {")[2].partition("}")[0]),
        52365: quoted(agent.partition("PUBLIC_EXACT_PATHS = [")[2].partition("]")[0]),
    }
    asked = 0
    for _, container in containers(one(composed("token-auth"), "RayService")):
        for probe in (container.get("readinessProbe"), container.get("livenessProbe")):
            if probe and probe["httpGet"]["port"] != 8000:
                assert probe["httpGet"]["path"] in opened[probe["httpGet"]["port"]]
                asked += 1
    assert asked >= 3


def quoted(text: str) -> set[str]:
    return set(re.findall(r'"([^"]+)"', text))


def test_the_readme_s_new_token_is_a_new_name(composed: Composed) -> None:
    objects = composed("token-auth", "external-secrets", extra=block("token-auth", "patches:"))
    assert cluster(objects)["authOptions"]["secretName"] == "ray-auth-2"
    wanted = one(objects, "ExternalSecret", "ray-auth-2")["spec"]
    assert (wanted["target"]["name"], wanted["data"][0]["remoteRef"]["key"]) == ("ray-auth-2", "prod/rag/ray-auth-2")


@pytest.mark.parametrize("called", ["rag", "document-intelligence"])
def test_the_ingress_leads_to_serve_and_nowhere_else(composed: Composed, called: str) -> None:
    objects = composed("tls-ingress", pipeline=called)
    ingress = one(objects, "Ingress", called)["spec"]
    host = f"{called}.local.example.com"
    assert ingress["tls"] == [{"secretName": "serve-tls", "hosts": [host]}]
    (rule,) = ingress["rules"]
    assert rule["host"] == host
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    name = one(objects, "RayService")["metadata"]["name"]
    assert path["backend"] == {"service": {"name": f"{name}-serve-svc", "port": {"number": 8000}}}
    assert "ingressClassName" not in ingress, "the cluster's default class, unless an overlay says another"
    assert "defaultBackend" not in ingress


def test_kuberay_calls_the_serve_service_so(module: Path) -> None:
    source = (module / "controllers/ray/utils/util.go").read_text()
    assert 'return fmt.Sprintf("%s-%s-%s", serviceName, ServeName, "svc")' in source
    assert re.search(r'ServeName\s+= "serve"', source)


def test_no_ingress_of_any_overlay_leads_to_the_dashboard(overlay: Path, rendered: Rendered) -> None:
    assert not to_dashboard(rendered(overlay))


def to_dashboard(objects: Iterable[Obj]) -> list[str]:
    """The objects that open a head to the outside: a backend that is not a serve Service's 8000, KubeRay's Ingress."""
    found = []
    for obj in objects:
        backends = [
            path["backend"]["service"]
            for rule in (obj["spec"]["rules"] if obj["kind"] == "Ingress" else [])
            for path in rule["http"]["paths"]
        ]
        wrong = [b for b in backends if not b["name"].endswith("-serve-svc") or b["port"] != {"number": 8000}]
        spec = obj.get("spec") or {}
        head = (spec.get("rayClusterConfig") or spec.get("rayClusterSpec") or {}).get("headGroupSpec", {})
        if wrong or head.get("enableIngress") or head.get("serviceType") in {"NodePort", "LoadBalancer"}:
            found.append(obj["kind"])
    return found


def test_what_leads_to_the_dashboard_is_seen(composed: Composed) -> None:
    objects = composed("tls-ingress")
    assert not to_dashboard(objects)
    service = one(objects, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    service["port"] = {"number": 8265}
    assert to_dashboard(objects) == ["Ingress"]
    service.update(name="rag-head-svc", port={"number": 8000})
    cluster(objects)["headGroupSpec"]["enableIngress"] = True
    assert sorted(to_dashboard(objects)) == ["Ingress", "RayService"]


def test_the_readme_s_class_and_annotations_fit(composed: Composed) -> None:
    ingress = one(composed("tls-ingress", extra=block("tls-ingress", "patches:")), "Ingress")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "20m"


def test_together_they_render_alike(compose: Compose, kustomize: Path, kubectl: Path) -> None:
    folder = compose(*(AT + name for name in TOGETHER), "base/rayservice")
    objects = render(folder, binary=kustomize)
    assert render(folder, binary=kubectl) == objects
    assert "local-config" not in yaml.safe_dump_all(objects)
    assert {obj["metadata"].get("namespace", "rag") for obj in objects} == {"rag"}
    assert cluster(objects).keys() >= {"authOptions", "gcsFaultToleranceOptions", "autoscalerOptions"}
