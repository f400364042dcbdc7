"""charts/kuberay-platform: what it sets exists upstream, what it refuses it names, what it renders is hardened."""

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import Obj, of_kind, one
from rayops.versions import pin

CHART = ROOT / "charts" / "kuberay-platform"
UPSTREAM = Path(__file__).parent / "data" / f"kuberay-operator-{pin('KUBERAY_VERSION')}.yaml"
VALUES = [CHART / "values.yaml", *sorted(ROOT.glob("overlays/*/operator-values.yaml"))]
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


def test_lint(call: Helm, chart: Path) -> None:
    for file in VALUES:
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


@pytest.mark.parametrize("files", [(), tuple(VALUES[1:])], ids=["alone", "with every environment's"])
def test_operator_pod_passes_the_restricted_standard(files: tuple[Path, ...], template: Template) -> None:
    spec = one(template(*files), "Deployment")["spec"]["template"]["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["readOnlyRootFilesystem"] is True


def test_operator_is_not_throttled_and_does_not_inject_its_init_container(template: Template) -> None:
    container = one(template(), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"]["cpu"] == "2"
    assert {"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "false"} in container["env"]
    assert {"--reconcile-concurrency=10", "--qps=400", "--burst=800"} <= set(container["args"])


@pytest.mark.parametrize("file", VALUES[1:], ids=lambda file: str(file.relative_to(ROOT)))
def test_every_environment_renders(file: Path, template: Template) -> None:
    assert one(template(file), "Deployment")["metadata"]["namespace"] == "kuberay-system"


def test_network_policy_and_budget_select_the_operator(template: Template) -> None:
    objects = template(replicas=2)
    labels = one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    policy = one(objects, "NetworkPolicy")["spec"]
    budget = one(objects, "PodDisruptionBudget")["spec"]
    for selector in (policy["podSelector"], budget["selector"]):
        assert selector["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["ports"]}
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} <= ports
    assert not of_kind(template(), "PodDisruptionBudget"), "a budget of one replica would hold up every node drain"
