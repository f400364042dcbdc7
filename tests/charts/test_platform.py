"""charts/kuberay-platform: what it sets exists upstream, what it refuses it names, what it renders is hardened."""

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from rayops.paths import ROOT
from rayops.render import Obj, of_kind, one
from rayops.render.crds import crds
from rayops.versions import pin
from tests.render.schemas import crd_schemas

CHART = ROOT / "charts" / "kuberay-platform"
UPSTREAM = Path(__file__).parent / "data" / f"kuberay-operator-{pin('KUBERAY_VERSION')}.yaml"
VALUES = [CHART / "values.yaml", *sorted(ROOT.glob("overlays/*/operator-values.yaml"))]
ENVIRONMENTS = [file.parent.name for file in VALUES[1:]]
# Environments where an operator may be lost without anybody noticing.
GUARDED = {"staging", "prod"}
Template = Callable[..., list[Obj]]
Helm = Callable[..., CompletedProcess[str]]


def paths(values: dict[str, Any], before: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from paths(value, f"{before}{key}.")
        else:
            yield f"{before}{key}"


def unknown(values: dict[str, Any]) -> list[str]:
    facts = yaml.safe_load(UPSTREAM.read_text())
    open_keys = tuple(f"{key}." for key in facts["open"])
    return [path for path in paths(values) if path not in facts["fixed"] and not f"{path}.".startswith(open_keys)]


@pytest.mark.parametrize("file", VALUES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_value_exists_upstream(file: Path) -> None:
    assert not unknown(yaml.safe_load(file.read_text())["kuberay-operator"])


def test_the_check_sees_a_value_that_does_not_exist() -> None:
    assert unknown({"reconcileConcurency": 1, "image": {"repo": "x"}}) == ["reconcileConcurency", "image.repo"]


@pytest.mark.parametrize("file", VALUES, ids=lambda file: str(file.relative_to(ROOT)))
def test_lint(file: Path, call: Helm, chart: Path) -> None:
    done = call("lint", "--strict", chart, "--values", file)
    assert done.returncode == 0, done.stdout + done.stderr


BAD = {
    "replicas": ({"replicas": 0}, "replicas"),
    "moving tag": ({"image": {"tag": "nightly"}}, "image/tag"),
    "no CPU request": ({"resources": {"requests": {"cpu": None}}}, "resources/requests"),
    "memory": ({"resources": {"limits": {"memory": "lots"}}}, "resources/limits/memory"),
    "forgotten switch": ({"env": [{"name": "CLUSTER_DOMAIN", "value": "x"}]}, "env"),
    "two without election": ({"replicas": 2, "leaderElectionEnabled": False}, "leaderElectionEnabled"),
    "concurrency": ({"reconcileConcurrency": "many"}, "reconcileConcurrency"),
}


@pytest.mark.parametrize("case", BAD)
def test_schema_refuses_and_names_the_key(case: str, call: Helm, chart: Path, tmp_path: Path) -> None:
    values, key = BAD[case]
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({"kuberay-operator": values}))
    done = call("template", "kuberay", chart, "--values", tmp_path / "bad.yaml")
    assert done.returncode != 0
    assert f"kuberay-operator/{key}" in done.stderr, done.stderr


def test_schema_refuses_an_unknown_top_level_key(call: Helm, chart: Path) -> None:
    done = call("template", "kuberay", chart, "--set", "networkpolicy.enabled=true")
    assert done.returncode != 0
    assert "networkpolicy" in done.stderr


def values_of(environment: str) -> Path:
    return ROOT / "overlays" / environment / "operator-values.yaml"


def operator(objects: list[Obj]) -> dict[str, Any]:
    container: dict[str, Any] = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    return container


def test_every_environment_has_values() -> None:
    assert {"local", "dev", "staging", "prod"} <= set(ENVIRONMENTS)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_operator_pod_passes_the_restricted_standard(environment: str, template: Template) -> None:
    deployment = one(template(values_of(environment)), "Deployment")
    assert deployment["metadata"]["namespace"] == "kuberay-system"
    spec = deployment["spec"]["template"]["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True


def test_operator_is_not_throttled_and_does_not_inject_its_init_container(template: Template) -> None:
    container = operator(template())
    assert container["resources"]["limits"]["cpu"] == "2"
    assert {"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "false"} in container["env"]
    assert {"--reconcile-concurrency=10", "--qps=400", "--burst=800"} <= set(container["args"])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_environment_takes_back_what_the_chart_decides(environment: str, template: Template) -> None:
    container = operator(template(values_of(environment)))
    assert {"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "false"} in container["env"]
    (concurrency,) = (arg.partition("=")[2] for arg in container["args"] if "reconcile-concurrency" in arg)
    assert int(concurrency) > 1
    assert of_kind(template(values_of(environment)), "NetworkPolicy")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_where_it_matters_a_second_operator_stands_by_and_is_watched(environment: str, template: Template) -> None:
    objects = template(values_of(environment))
    deployment, guarded = one(objects, "Deployment")["spec"], environment in GUARDED
    assert deployment["replicas"] == (2 if guarded else 1)
    assert ("podAntiAffinity" in deployment["template"]["spec"]["affinity"]) is guarded
    assert bool(of_kind(objects, "PodDisruptionBudget")) is guarded
    assert bool(of_kind(objects, "PodMonitor")) is guarded
    if guarded:
        assert "--enable-leader-election=true" in operator(objects)["args"]
        (term,) = deployment["template"]["spec"]["affinity"]["podAntiAffinity"][
            "preferredDuringSchedulingIgnoredDuringExecution"
        ]
        selector = term["podAffinityTerm"]["labelSelector"]["matchLabels"]
        assert selector.items() <= deployment["template"]["metadata"]["labels"].items()


def test_prod_is_staging_with_bigger_numbers(template: Template) -> None:
    staging, prod = (yaml.safe_load(values_of(name).read_text()) for name in ("staging", "prod"))
    sizes = [values["kuberay-operator"].pop("resources") for values in (staging, prod)]
    assert staging == prod
    assert sizes[0] != sizes[1]


def test_network_policy_budget_and_monitor_select_the_operator(template: Template) -> None:
    objects = template(values_of("prod"))
    deployment = one(objects, "Deployment")["spec"]["template"]
    labels = deployment["metadata"]["labels"]
    policy = one(objects, "NetworkPolicy")["spec"]
    monitor = one(objects, "PodMonitor")["spec"]
    selectors = [policy["podSelector"], one(objects, "PodDisruptionBudget")["spec"]["selector"], monitor["selector"]]
    for selector in selectors:
        assert selector["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in deployment["spec"]["containers"][0]["ports"]}
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= ports
    assert {endpoint["port"] for endpoint in monitor["podMetricsEndpoints"]} <= ports
    assert not of_kind(template(), "PodDisruptionBudget"), "a budget of one replica would hold up every node drain"


def test_only_monitoring_gets_in_and_only_what_the_operator_needs_gets_out(template: Template) -> None:
    policy = one(template(), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (door,) = policy["ingress"]
    assert door["from"] == [{"namespaceSelector": {"matchLabels": {"rayops.io/monitoring": "true"}}}]
    api_server, dns, heads = policy["egress"]
    assert [port["port"] for port in api_server["ports"]] == [443, 6443]
    assert {(port["protocol"], port["port"]) for port in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert [port["port"] for port in heads["ports"]] == [8265, 8000]
    assert heads["to"] == [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"ray.io/node-type": "head"}}}]


def test_the_policy_follows_its_values(template: Template, tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    api_server = {"ports": [6443], "cidrs": ["10.1.0.0/28", "fd00::/64"]}
    file.write_text(yaml.safe_dump({"networkPolicy": {"apiServer": api_server, "metricsFrom": {"team": "sre"}}}))
    policy = one(template(file), "NetworkPolicy")["spec"]
    assert policy["ingress"][0]["from"][0]["namespaceSelector"]["matchLabels"]["team"] == "sre"
    assert policy["egress"][0]["ports"] == [{"protocol": "TCP", "port": 6443}]
    assert policy["egress"][0]["to"] == [{"ipBlock": {"cidr": "10.1.0.0/28"}}, {"ipBlock": {"cidr": "fd00::/64"}}]
    file = tmp_path / "off.yaml"
    file.write_text(yaml.safe_dump({"networkPolicy": {"enabled": False}}))
    assert not of_kind(template(file), "NetworkPolicy")


def test_the_monitor_follows_its_values(template: Template, tmp_path: Path) -> None:
    assert not of_kind(template(), "PodMonitor"), "a fresh cluster does not know the kind"
    file = tmp_path / "values.yaml"
    file.write_text(
        yaml.safe_dump({"podMonitor": {"enabled": True, "interval": "1m", "labels": {"release": "prometheus"}}})
    )
    monitor = one(template(file), "PodMonitor")
    assert monitor["metadata"]["labels"] == {"release": "prometheus"}
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "http", "path": "/metrics", "interval": "1m"}]


def test_the_monitor_fits_the_pinned_crd(template: Template) -> None:
    schema = crd_schemas(crds("monitoring.coreos.com"))["monitoring.coreos.com", "PodMonitor", "v1"]
    monitor = one(template(values_of("prod")), "PodMonitor")
    assert not list(Draft7Validator(schema).iter_errors(monitor))
    monitor = {**monitor, "spec": {**monitor["spec"], "podMetricEndpoints": []}}
    assert list(Draft7Validator(schema).iter_errors(monitor))


def test_a_list_of_a_later_file_replaces_the_earlier_one_whole(template: Template, tmp_path: Path) -> None:
    """Why README and schema say: name every gate in each file."""
    files = []
    for gate in ("RayCronJob", "RayServiceIncrementalUpgrade"):
        file = tmp_path / f"{gate}.yaml"
        file.write_text(yaml.safe_dump({"kuberay-operator": {"featureGates": [{"name": gate, "enabled": True}]}}))
        files.append(file)
    assert "--feature-gates=RayServiceIncrementalUpgrade=true" in operator(template(*files))["args"]


def test_the_readme_names_every_value_of_ours() -> None:
    readme = (CHART / "README.md").read_text()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for key in [*paths({key: values[key] for key in ("networkPolicy", "podMonitor")}), *values["kuberay-operator"]]:
        name = "networkPolicy.metricsFrom" if key.startswith("networkPolicy.metricsFrom") else key
        assert f"`{name}`" in readme, name
