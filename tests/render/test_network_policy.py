"""The network policies open the edges that README.md lists, and no other: worked out pod by pod, both directions."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.cluster import operator
from rayops.paths import ROOT
from rayops.render import Obj, of_kind, one, render
from tests.render.edges import Place, Pod, allowed, selects

Compose = Callable[..., Path]
Policies = Callable[..., list[Obj]]
README = (ROOT / "base/components/network-policy/README.md").read_text()
PARTS = ("base/components/autoscaling", "base/components/gcs-fault-tolerance", "base/components/network-policy")
SEEN: dict[tuple[str, ...], list[Obj]] = {}
OPERATOR = Pod({"app.kubernetes.io/name": "kuberay-operator"}, {"kubernetes.io/metadata.name": "kuberay-system"})
INGRESS = Pod({"app": "traefik"}, {"rayops.io/ingress": "true"})
GATEWAY = Pod(
    {"app.kubernetes.io/part-of": "gateway", "ray.io/node-type": "worker"}, {"kubernetes.io/metadata.name": "gateway"}
)
PROMETHEUS = Pod({"app": "prometheus"}, {"rayops.io/monitoring": "true"})
DNS = Pod({"k8s-app": "kube-dns"}, {"kubernetes.io/metadata.name": "kube-system"})
STRANGER = Pod({"app": "stranger"})  # in the namespace of the pipeline
INTERNET = "203.0.113.7"
API_SERVER = "10.96.0.1"
METADATA = "169.254.169.254"


@pytest.fixture
def composed(compose: Compose, kustomize: Path) -> Policies:
    """Render the parts, and more; the same ones once. Not to be changed by a test."""

    def of(*more: str, extra: str = "") -> list[Obj]:
        key = (*more, extra)
        if key not in SEEN:
            SEEN[key] = render(compose(*PARTS, *more, "base/rayservice", extra=extra), binary=kustomize)
        return SEEN[key]

    return of


def pods(objects: list[Obj]) -> dict[str, Pod]:
    """The pods that KubeRay makes of the RayService, labelled as its labelPod does, and Redis'."""
    spec = one(objects, "RayService")["spec"]["rayClusterConfig"]
    head, worker = spec["headGroupSpec"]["template"], spec["workerGroupSpecs"][0]["template"]
    templates = {"head": head, "worker": worker, "redis-cleanup": head}
    made = {name: Pod(labels(name, template), ports=ports(template)) for name, template in templates.items()}
    redis = one(objects, "StatefulSet")["spec"]["template"]
    return {**made, "redis": Pod(redis["metadata"]["labels"], ports=ports(redis))}


def labels(node_type: str, template: Obj, cluster: str = "rag-abcde") -> dict[str, str]:
    kuberay = {"ray.io/is-ray-node": "yes", "ray.io/node-type": node_type, "ray.io/cluster": cluster}
    return {"app.kubernetes.io/name": "kuberay", **template["metadata"]["labels"], **kuberay}


def ports(template: Obj) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}


def test_default_deny_is_there_before_any_pod(composed: Policies) -> None:
    found = {policy["metadata"]["name"]: policy for policy in of_kind(composed(), "NetworkPolicy")}
    assert found["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    waves = {name: policy["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"] for name, policy in found.items()}
    assert waves.pop("default-deny") == "-30"
    assert set(waves.values()) == {"-20"}
    assert not [name for name in found if f"`{name}`" not in README], "the table in README.md lacks a policy"


OPEN: list[tuple[Place, Place, int]] = [
    ("head", "worker", 45123),
    ("worker", "head", 6379),
    ("worker", "worker", 31999),
    ("head", "redis", 6379),
    ("redis-cleanup", "redis", 6379),
    (OPERATOR, "head", 8265),
    (OPERATOR, "head", 8000),
    (INGRESS, "worker", 8000),
    (GATEWAY, "worker", 8000),
    (PROMETHEUS, "head", 8080),
    (PROMETHEUS, "worker", 8080),
    ("head", API_SERVER, 443),
    ("head", "172.18.0.2", 6443),
]
SHUT: list[tuple[Place, Place, int]] = [
    (INGRESS, "head", 8265),
    (INGRESS, "worker", 8265),
    (INGRESS, "head", 8000),
    (INGRESS, "worker", 9000),  # no gRPC port without base/components/grpc
    (INGRESS, "worker", 52365),
    (INGRESS, "redis", 6379),
    (GATEWAY, "head", 8000),
    (GATEWAY, "head", 8265),
    (GATEWAY, "worker", 8080),
    (GATEWAY, "redis", 6379),
    (Pod({**GATEWAY.labels, "ray.io/node-type": "head"}, GATEWAY.namespace), "worker", 8000),
    (Pod(GATEWAY.labels, {"kubernetes.io/metadata.name": "elsewhere"}), "worker", 8000),
    (OPERATOR, "worker", 8000),
    (OPERATOR, "head", 10001),
    (OPERATOR, "redis", 6379),
    (PROMETHEUS, "head", 8265),
    (PROMETHEUS, "redis", 6379),
    (STRANGER, "head", 8265),
    (STRANGER, "head", 6379),
    (STRANGER, "worker", 8000),
    (STRANGER, "redis", 6379),
    ("worker", "redis", 6379),
    ("head", "redis", 22),
    ("redis", "head", 6379),
    ("redis", INTERNET, 443),
    ("head", INTERNET, 443),
    ("head", METADATA, 80),
    ("worker", API_SERVER, 443),
    ("worker", INTERNET, 443),
    ("worker", METADATA, 80),
    ("redis-cleanup", API_SERVER, 443),
]


def test_edges(composed: Policies) -> None:
    objects = composed()
    known, policies = pods(objects), of_kind(objects, "NetworkPolicy")
    elsewhere = Pod(known["worker"].labels, {"kubernetes.io/metadata.name": "other"})
    cases: list[tuple[Place, Place, int, bool]] = (
        [(*edge, True) for edge in OPEN] + [(*edge, False) for edge in SHUT] + [(elsewhere, "head", 6379, False)]
    )
    for source, target, port, expected in cases:
        start, end = known.get(str(source), source), known.get(str(target), target)
        assert allowed(policies, start, end, port) is expected, (source, target, port)


def test_the_gateway_reaches_the_models_of_every_pipeline_and_no_more(
    compose: Compose, kustomize: Path, composed: Policies
) -> None:
    """Both sides of the edge, as two namespaces have them."""
    folder = compose(*PARTS, "base/components/model-gateway", "base/rayservice")
    file = folder / "kustomization.yaml"
    file.write_text(file.read_text().replace("pipeline=rag", "pipeline=gateway"))
    objects = render(folder, binary=kustomize)
    ours, policies = pods(objects), of_kind(objects, "NetworkPolicy")
    theirs = pods(composed())
    for name, port, expected in (
        ("worker", 8000, True),
        ("worker", 8080, False),
        ("head", 8000, False),
        ("redis", 6379, False),
    ):
        there = Pod(theirs[name].labels, {"kubernetes.io/metadata.name": "rag"})
        assert allowed(policies, ours["worker"], there, port) is expected, (name, port)
        assert not allowed(policies, ours["head"], there, port)
        here = Pod(ours["worker"].labels, GATEWAY.namespace)
        assert allowed(of_kind(composed(), "NetworkPolicy"), here, theirs[name], port) is expected, (name, port)
    assert not allowed(policies, ours["worker"], INTERNET, 8000)
    assert not allowed(policies, ours["worker"], METADATA, 80)
    rag = Pod(theirs["worker"].labels, {"kubernetes.io/metadata.name": "rag"})
    assert not allowed(policies, rag, ours["worker"], 8000), "nobody comes back that way"


def test_both_clusters_of_an_upgrade_and_the_submitter_belong_to_the_pipeline(composed: Policies) -> None:
    objects = composed()
    head, policies = pods(objects)["head"], of_kind(objects, "NetworkPolicy")
    spec = one(objects, "RayService")["spec"]["rayClusterConfig"]["workerGroupSpecs"][1]["template"]
    for other in (Pod(labels("worker", spec, "rag-vwxyz")), Pod({"app.kubernetes.io/part-of": "rag"})):
        assert allowed(policies, other, head, 8265)
        assert not allowed(policies, Pod({**other.labels, "app.kubernetes.io/part-of": "other"}), head, 8265)


def test_every_pod_finds_names_and_only_there(composed: Policies) -> None:
    objects = composed()
    policies = of_kind(objects, "NetworkPolicy")
    for pod in (*pods(objects).values(), STRANGER):
        assert allowed(policies, pod, DNS, 53, "UDP")
        assert allowed(policies, pod, DNS, 53, "TCP")
        assert not allowed(policies, pod, "8.8.8.8", 53, "UDP")
        assert not allowed(policies, pod, DNS, 9153)


def test_grpc_is_open_where_its_component_is(composed: Policies) -> None:
    objects = composed("base/components/grpc")
    known, policies = pods(objects), of_kind(objects, "NetworkPolicy")
    assert allowed(policies, INGRESS, known["worker"], 9000)
    assert not allowed(policies, INGRESS, known["head"], 9000)
    for policy in policies:
        for rule in policy["spec"].get("ingress", []):
            entries = [entry["port"] for entry in rule.get("ports", [])]
            assert not entries or any(isinstance(port, int) for port in entries), "kube-router takes it for every port"


def test_only_the_default_deny_shuts_a_pod_that_no_edge_is_about(composed: Policies) -> None:
    policies = of_kind(composed(), "NetworkPolicy")
    others = [policy for policy in policies if policy["metadata"]["name"] != "default-deny"]
    assert allowed(others, INGRESS, STRANGER, 8000)
    assert not allowed(policies, INGRESS, STRANGER, 8000)


def test_the_edge_that_the_readme_adds(composed: Policies) -> None:
    added = yaml.safe_load(block("# overlays/prod/rag/to-database.networkpolicy.yaml"))
    objects = composed()
    known, policies = pods(objects), of_kind(objects, "NetworkPolicy")
    assert not allowed(policies, known["worker"], "10.20.30.40", 5432)
    assert allowed([*policies, added], known["worker"], "10.20.30.40", 5432)
    assert not allowed([*policies, added], known["head"], "10.20.30.40", 5432)
    assert not allowed([*policies, added], known["worker"], "10.20.30.41", 5432)


def test_the_address_that_the_readme_names(composed: Policies) -> None:
    objects = composed(extra=block("patches:"))
    head, policies = pods(objects)["head"], of_kind(objects, "NetworkPolicy")
    assert allowed(policies, head, "203.0.113.7", 443)
    assert not allowed(policies, head, API_SERVER, 443)


def block(first: str) -> str:
    """The indented block of README.md that begins with a line."""
    found = re.search(rf"^    {re.escape(first)}.*\n(?:    .*\n)+", README, re.MULTILINE)
    assert found
    return re.sub(r"^    ", "", found[0], flags=re.MULTILINE)


def test_kuberay_labels_its_pods_as_these_tests_do(module: Path) -> None:
    """`pods` above repeats what the operator does; a new operator that does otherwise must be seen here."""
    pod = (module / "controllers/ray/common/pod.go").read_text()
    assert 'utils.RayNodeLabelKey:                   "yes"' in pod
    assert "labels[k] = v" in pod  # those of the pod template are kept
    controller = (module / "controllers/ray/raycluster_controller.go").read_text()
    assert (
        "pod := r.buildHeadPod(ctx, instance)\n\tpod.Labels[utils.RayNodeTypeLabelKey] = string(rayv1.RedisCleanupNode)"
        in (controller)
    )
    assert 'RedisCleanupNode RayNodeType = "redis-cleanup"' in (module / "apis/ray/v1/raycluster_types.go").read_text()


def test_the_operator_is_where_and_what_the_policy_says() -> None:
    assert OPERATOR.namespace == {"kubernetes.io/metadata.name": operator.NAMESPACE}
    templates = ROOT / "charts/kuberay-platform/templates"
    assert '{{- include "platform.operator" $ | nindent 6 }}' in (templates / "networkpolicy.yaml").read_text()
    assert 'default "kuberay-operator"' in (templates / "_helpers.tpl").read_text()


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["1", "2"]}]}, False),
    ],
)
def test_selectors_match_as_kubernetes_says(selector: dict[str, Any], expected: bool) -> None:
    assert selects(selector, {"a": "1"}) is expected
