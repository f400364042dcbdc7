"""values.schema.json, rule by rule: a good and a bad value for each, and no rule without both."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from rayops.paths import ROOT
from rayops.versions import pin

CHART = ROOT / "charts" / "kuberay-platform"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
UPSTREAM = Path(__file__).parent / "data" / f"kuberay-operator-{pin('KUBERAY_VERSION')}.yaml"
SWITCH = {"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "false"}
AMOUNTS = {"cpu": "1", "memory": "1Gi"}
PROBE = ("initialDelaySeconds", "periodSeconds", "failureThreshold")
O = "kuberay-operator."  # noqa: E741

# By path: values that pass and values that do not, each in the place of ours.
CASES: dict[str, tuple[list[Any], list[Any]]] = {
    "global": ([{}, {"x": 1}], ["x"]),
    "networkPolicy": ([VALUES["networkPolicy"]], ["on", {"enabled": True}, {**VALUES["networkPolicy"], "ingress": []}]),
    "networkPolicy.enabled": ([False], ["yes"]),
    "networkPolicy.metricsFrom": ([{"team": "sre"}], [{}, {"team": 1}, "team=sre"]),
    "networkPolicy.apiServer": (
        [{"ports": [443], "cidrs": []}],
        ["anywhere", {"ports": [443]}, {"ports": [], "cidrs": []}, {"ports": [443], "cidrs": [], "host": "x"}],
    ),
    "networkPolicy.apiServer.ports": ([[443], [6443, 8443]], [443, [], [0], [70000], ["443"]]),
    "networkPolicy.apiServer.cidrs": (
        [[], ["10.0.0.0/8"], ["fd00::/64"]],
        ["10.0.0.0/8", ["10.0.0.1"], ["host/8"], [8]],
    ),
    "podMonitor": ([VALUES["podMonitor"]], [True, {"enabled": True}, {**VALUES["podMonitor"], "port": "http"}]),
    "podMonitor.enabled": ([True, False], ["true"]),
    "podMonitor.interval": (["30s", "1m", "500ms"], [30, "0s", "often"]),
    "podMonitor.labels": ([{}, {"release": "p"}], [{"release": 1}, []]),
    f"{O}nameOverride": (["other"], [1]),
    f"{O}fullnameOverride": (["other"], [1]),
    f"{O}componentOverride": (["other"], [1]),
    f"{O}replicas": ([1, 3], [0, "2", 1.5]),
    f"{O}image": (
        [{"repository": "r", "tag": "v1"}],
        ["r:v1", {"repository": "r"}, {"tag": "v1"}, {"repository": "r", "tag": "v1", "repo": "r"}],
    ),
    f"{O}image.repository": (["r.example.com/operator"], ["", 1]),
    f"{O}image.tag": (["v1.6.2"], ["", "latest", "nightly", 1.6]),
    f"{O}image.pullPolicy": (["Always", "Never"], ["Sometimes"]),
    f"{O}imagePullSecrets": ([[], [{"name": "key"}]], ["key", ["key"], [{"key": "name"}]]),
    f"{O}nodeSelector": ([{"disk": "ssd"}], [{"disk": 1}]),
    f"{O}labels": ([{"team": "ml"}], [["team"]]),
    f"{O}annotations": ([{"note": "x"}], [{"note": True}]),
    f"{O}affinity": ([{}, {"podAntiAffinity": {}}], [{"podAntiafinity": {}}, []]),
    f"{O}affinity.nodeAffinity": ([{}], [[]]),
    f"{O}affinity.podAffinity": ([{}], [[]]),
    f"{O}affinity.podAntiAffinity": ([{}], [[]]),
    f"{O}tolerations": ([[], [{"key": "t"}]], [{"key": "t"}, ["t"]]),
    f"{O}serviceAccount": ([{"create": False, "name": "robot"}], ["robot"]),
    f"{O}serviceAccount.create": ([False], ["no"]),
    f"{O}serviceAccount.name": (["robot"], [1]),
    f"{O}logging": ([{}], ["json"]),
    f"{O}logging.stdoutEncoder": (["console"], ["text"]),
    f"{O}logging.fileEncoder": (["console"], ["text"]),
    f"{O}logging.baseDir": (["/logs"], [1]),
    f"{O}logging.fileName": (["o.log"], [1]),
    f"{O}logging.sizeLimit": (["1Gi"], [1]),
    f"{O}batchScheduler": ([{"name": ""}], ["volcano"]),
    f"{O}batchScheduler.enabled": ([True], ["yes"]),
    f"{O}batchScheduler.name": (["volcano", ""], ["slurm"]),
    f"{O}featureGates": (
        [[], [{"name": "RayCronJob", "enabled": True}]],
        [
            {"RayCronJob": True},
            ["RayCronJob"],
            [{"name": "RayCronJobs", "enabled": True}],
            [{"name": "RayCronJob"}],
            [{"name": "RayCronJob", "enabled": "yes"}],
            [{"name": "RayCronJob", "enabled": True, "default": True}],
        ],
    ),
    f"{O}metrics": ([{"enabled": True}], [True]),
    f"{O}metrics.enabled": ([False], ["no"]),
    f"{O}metrics.serviceMonitor": ([{"enabled": True}], [True]),
    f"{O}operatorCommand": (["/manager"], ["", ["/manager"]]),
    f"{O}useKubernetesProxy": ([True], ["yes"]),
    f"{O}leaderElectionEnabled": ([False], ["no"]),
    f"{O}reconcileConcurrency": ([2, 20], [1, "many", 2.5]),
    f"{O}kubeClient": ([{"qps": 400, "burst": 800}], [{"qbs": 400}, 400]),
    f"{O}kubeClient.qps": ([100, 400.5], [20, "400"]),
    f"{O}kubeClient.burst": ([100, 800], [50, 800.5]),
    f"{O}rbacEnable": ([False], ["no"]),
    f"{O}crNamespacedRbacEnable": ([False], ["no"]),
    f"{O}singleNamespaceInstall": ([True], ["yes"]),
    f"{O}watchNamespace": ([[], ["rag"]], ["rag", [""], [1]]),
    f"{O}resources": (
        [{"requests": AMOUNTS, "limits": AMOUNTS}],
        ["small", {"requests": AMOUNTS}, {"limits": AMOUNTS}],
    ),
    f"{O}resources.requests": (
        [AMOUNTS, {"cpu": "50m", "memory": "64Mi"}],
        ["1", {"cpu": "1"}, {**AMOUNTS, "cpu": "one"}, {**AMOUNTS, "cpu": True}],
    ),
    f"{O}resources.limits": (
        [AMOUNTS, *({**AMOUNTS, "cpu": cpu} for cpu in ("500m", "1500m", "0.5", ".75", "2", "1.5", "16", 0.5, 2))],
        [
            {"cpu": "1"},
            {"cpu": "1", "memory": "lots"},
            {"cpu": "1", "memory": 5},
            *({**AMOUNTS, "cpu": cpu} for cpu in ("100m", "499m", "0.4", 0.1, 0, "lots")),
        ],
    ),
    f"{O}env": (
        [[SWITCH], [{"name": "X", "value": "y"}, SWITCH]],
        [SWITCH, [], [{"name": "X"}], [SWITCH, "X"], [SWITCH, {"value": "y"}]],
    ),
    f"{O}livenessProbe": ([{"periodSeconds": 5}], [5]),
    f"{O}readinessProbe": (
        [{}],
        [{name: value} for name in PROBE for value in (-1, "five")] + [{"periodSeconds": 0}, {"failureThreshold": 0}],
    ),
    f"{O}podSecurityContext": ([{}, {"runAsNonRoot": True, "fsGroup": 1}], [[]]),
    f"{O}podSecurityContext.runAsNonRoot": ([True], [False]),
    f"{O}securityContext": ([{"allowPrivilegeEscalation": False}], ["restricted"]),
    f"{O}securityContext.allowPrivilegeEscalation": ([False], [True]),
    f"{O}securityContext.privileged": ([False], [True]),
    f"{O}securityContext.runAsNonRoot": ([True], [False]),
    f"{O}service": ([{"type": "ClusterIP", "port": 9090}], [8080]),
    f"{O}service.type": (["ClusterIP", "NodePort"], ["Headless"]),
    f"{O}service.port": ([9090], [0, "8080"]),
}


def with_value(path: str, value: Any) -> dict[str, Any]:
    """Our values with another one at a path."""
    values: dict[str, Any] = deepcopy(VALUES)
    keys = [path] if "." not in path else path.split(".")
    here = values
    for key in keys[:-1]:
        here = here.setdefault(key, {})
    here[keys[-1]] = value
    return values


def wrong(values: dict[str, Any]) -> list[str]:
    """Where values break the schema, as dotted paths."""
    return [".".join(map(str, error.absolute_path)) for error in Draft7Validator(SCHEMA).iter_errors(values)]


def rules(schema: dict[str, Any], before: str = "") -> Iterator[str]:
    """The path of every property that a schema describes."""
    for name, below in schema.get("properties", {}).items():
        yield f"{before}{name}"
        yield from rules(below, f"{before}{name}.")


def test_the_schema_is_one_and_takes_our_values() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert wrong(VALUES) == []


def test_no_other_section_is_taken() -> None:
    assert wrong(with_value("networkpolicy", {})) == [""]
    assert wrong("values") == [""]  # type: ignore[arg-type]
    assert wrong({**VALUES, "kuberay-operator": []}) == ["kuberay-operator"]


def test_every_rule_has_cases() -> None:
    described = {rule for rule in rules(SCHEMA) if rule != "kuberay-operator"}
    assert described == set(CASES)


def test_every_key_of_upstream_has_a_rule() -> None:
    facts = yaml.safe_load(UPSTREAM.read_text())
    keys = {key.partition(".")[0] for key in [*facts["fixed"], *facts["open"]]}
    assert keys == set(SCHEMA["properties"]["kuberay-operator"]["properties"])


@pytest.mark.parametrize("path", CASES)
def test_a_rule_takes_the_good_and_refuses_the_bad(path: str) -> None:
    good, bad = CASES[path]
    for value in good:
        assert wrong(with_value(path, value)) == [], value
    for value in bad:
        assert any(place.startswith(path) for place in wrong(with_value(path, value))), value


def test_rules_over_two_keys() -> None:
    alone = with_value(f"{O}leaderElectionEnabled", False)
    assert wrong(alone) == []
    two = deepcopy(alone)
    two["kuberay-operator"]["replicas"] = 2
    assert wrong(two) == [f"{O}leaderElectionEnabled"]
    watched = with_value("podMonitor.enabled", True)
    assert wrong(watched) == []
    watched["kuberay-operator"]["metrics"] = {"enabled": False}
    assert wrong(watched) == [f"{O}metrics.enabled"], "nothing to read"


@pytest.mark.parametrize("missing", ["kuberay-operator", "networkPolicy", "podMonitor"])
def test_a_section_is_needed(missing: str) -> None:
    assert wrong({key: value for key, value in VALUES.items() if key != missing}) == [""]


@pytest.mark.parametrize("missing", ["image", "replicas", "resources", "env"])
def test_what_the_operator_must_be_told(missing: str) -> None:
    values = deepcopy(VALUES)
    del values["kuberay-operator"][missing]
    assert wrong(values) == ["kuberay-operator"]


def test_the_gates_are_the_operator_s(module: Path) -> None:
    """An unknown gate would end the operator at its start."""
    source = (module / "pkg/features/features.go").read_text()
    gates = SCHEMA["properties"]["kuberay-operator"]["properties"]["featureGates"]["items"]["properties"]["name"][
        "enum"
    ]
    assert set(gates) == set(re.findall(r'featuregate\.Feature = "(\w+)"', source))
