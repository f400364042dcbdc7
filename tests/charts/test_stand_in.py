"""The stand-in for KubeRay's chart: CRDs and rules are the module's, and every value does something."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops.render import Obj, of_kind, one, operator_crds, package_operator_chart
from rayops.versions import pin

Template = Callable[..., list[Obj]]

# A changed value for every key of the stand-in, and the text that must then appear in objects of a kind.
CHANGES: dict[str, tuple[Any, str, str]] = {
    "nameOverride": ("other", "Deployment", "app.kubernetes.io/name: other"),
    "fullnameOverride": ("other", "Deployment", "name: other"),
    "componentOverride": ("other", "Deployment", "app.kubernetes.io/component: other"),
    "replicas": (3, "Deployment", "replicas: 3"),
    "image.repository": ("local/operator", "Deployment", "image: local/operator:v"),
    "image.tag": ("v0.0.1", "Deployment", ":v0.0.1"),
    "image.pullPolicy": ("Never", "Deployment", "imagePullPolicy: Never"),
    "imagePullSecrets": ([{"name": "key"}], "Deployment", "imagePullSecrets:\n      - name: key"),
    "nodeSelector": ({"disk": "ssd"}, "Deployment", "disk: ssd"),
    "labels": ({"team": "ml"}, "Deployment", "team: ml"),
    "annotations": ({"note": "x"}, "Deployment", "note: x"),
    "affinity": ({"nodeAffinity": {"x": "y"}}, "Deployment", "nodeAffinity"),
    "tolerations": ([{"key": "t"}], "Deployment", "- key: t"),
    "serviceAccount.create": (False, "ServiceAccount", ""),
    "serviceAccount.name": ("robot", "Deployment", "serviceAccountName: robot"),
    "logging.stdoutEncoder": ("console", "Deployment", "--log-stdout-encoder=console"),
    "logging.fileEncoder": ("console", "Deployment", "--log-file-encoder=console"),
    "logging.baseDir": ("/var/log/op", "Deployment", "mountPath: /var/log/op"),
    "logging.fileName": ("op.log", "Deployment", "--log-file-path=/logs/op.log"),
    "logging.sizeLimit": ("1Gi", "Deployment", "sizeLimit: 1Gi"),
    "batchScheduler.name": ("volcano", "Deployment", "--batch-scheduler=volcano"),
    "featureGates": ([{"name": "RayCronJob", "enabled": True}], "Deployment", "--feature-gates=RayCronJob=true"),
    "metrics.enabled": (False, "Deployment", "--enable-metrics=false"),
    "operatorCommand": ("/op", "Deployment", "- /op"),
    "useKubernetesProxy": (True, "Deployment", "--use-kubernetes-proxy=true"),
    "leaderElectionEnabled": (False, "Deployment", "--enable-leader-election=false"),
    "reconcileConcurrency": (7, "Deployment", "--reconcile-concurrency=7"),
    "kubeClient.qps": (102.5, "Deployment", "--qps=102.5"),
    "kubeClient.burst": (2000000, "Deployment", "--burst=2000000"),
    "rbacEnable": (False, "ClusterRole", ""),
    "crNamespacedRbacEnable": (False, "RoleBinding", "leader-election"),
    "singleNamespaceInstall": (True, "Deployment", "--watch-namespace=kuberay-system"),
    "watchNamespace": (["a", "b"], "Deployment", "--watch-namespace=a,b"),
    "env": ([{"name": "ENABLE_INIT_CONTAINER_INJECTION", "value": "maybe"}], "Deployment", "value: maybe"),
    "resources.limits": ({"cpu": "3", "memory": "3Gi"}, "Deployment", "memory: 3Gi"),
    "livenessProbe.initialDelaySeconds": (77, "Deployment", "initialDelaySeconds: 77"),
    "livenessProbe.periodSeconds": (77, "Deployment", "periodSeconds: 77"),
    "livenessProbe.failureThreshold": (77, "Deployment", "failureThreshold: 77"),
    "readinessProbe.initialDelaySeconds": (78, "Deployment", "initialDelaySeconds: 78"),
    "readinessProbe.periodSeconds": (78, "Deployment", "periodSeconds: 78"),
    "readinessProbe.failureThreshold": (78, "Deployment", "failureThreshold: 78"),
    "podSecurityContext": ({"fsGroup": 5}, "Deployment", "fsGroup: 5"),
    "securityContext": ({"runAsUser": 5}, "Deployment", "runAsUser: 5"),
    "service.type": ("NodePort", "Service", "type: NodePort"),
    "service.port": (9090, "Service", "port: 9090"),
}
# What a value needs beside it to be seen.
BESIDE: dict[str, dict[str, Any]] = {
    "logging.baseDir": {"logging": {"fileName": "op.log"}},
    "logging.fileName": {"logging": {"baseDir": "/logs"}},
    "logging.sizeLimit": {"logging": {"baseDir": "/logs", "fileName": "op.log"}},
    "crNamespacedRbacEnable": {"singleNamespaceInstall": True},
}


def members(archive: Path) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as tar:
        files = {entry.name: tar.extractfile(entry) for entry in tar.getmembers()}
        return {name: file.read().decode() for name, file in files.items() if file}


def nested(path: str, value: object, beside: dict[str, Any]) -> dict[str, Any]:
    first, _, rest = path.partition(".")
    below = beside.get(first, {})
    return {**beside, first: nested(rest, value, below) if rest else value}


def test_name_version_and_bytes_are_reproducible(archive: Path, module: Path, tmp_path: Path) -> None:
    version = pin("KUBERAY_VERSION")
    assert archive.name == f"kuberay-operator-{version}.tgz"
    chart = yaml.safe_load(members(archive)["kuberay-operator/Chart.yaml"])
    assert (chart["name"], chart["version"], chart["appVersion"]) == ("kuberay-operator", version, f"v{version}")
    assert package_operator_chart(module, version, tmp_path / "new").read_bytes() == archive.read_bytes()


def test_crds_are_the_modules(archive: Path, module: Path) -> None:
    ours = {name.rsplit("/", 1)[-1]: text for name, text in members(archive).items() if "/crds/" in name}
    theirs = {file.name: file.read_text() for file in (module / "config/crd/bases").iterdir()}
    assert ours == theirs
    kinds = {crd["spec"]["names"]["kind"] for crd in operator_crds(module)}
    assert kinds == {"RayCluster", "RayCronJob", "RayJob", "RayService"}


def test_rules_are_the_modules(module: Path, template: Template) -> None:
    def rules(file: str) -> list[Any]:
        found: list[Any] = yaml.safe_load((module / "config/rbac" / file).read_text())["rules"]
        return found

    assert one(template(), "ClusterRole")["rules"] == rules("role.yaml")
    assert one(template(), "Role")["rules"] == rules("leader_election_role.yaml")
    several = template(singleNamespaceInstall=True, watchNamespace=["a", "b"])
    assert not of_kind(several, "ClusterRole")
    roles = {role["metadata"]["namespace"]: role["rules"] for role in of_kind(several, "Role")}
    assert roles["a"] == roles["b"] == rules("role.yaml")


def test_bindings_bind_the_account_that_the_pod_runs_as(template: Template) -> None:
    for objects in (template(), template(singleNamespaceInstall=True, watchNamespace=["a"])):
        account = one(objects, "ServiceAccount")["metadata"]
        spec = one(objects, "Deployment")["spec"]["template"]["spec"]
        assert spec["serviceAccountName"] == account["name"]
        for kind in ("ClusterRoleBinding", "RoleBinding"):
            for binding in of_kind(objects, kind):
                subject = {key: binding["subjects"][0][key] for key in ("name", "namespace")}
                assert subject == {"name": account["name"], "namespace": account["namespace"]}
                one(objects, binding["roleRef"]["kind"], binding["roleRef"]["name"])


def test_selectors_hit_the_pod(template: Template) -> None:
    objects = template()
    deployment = one(objects, "Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    assert deployment["selector"]["matchLabels"].items() <= labels
    assert one(objects, "Service")["spec"]["selector"].items() <= labels


def test_every_key_has_a_case(archive: Path) -> None:
    def leaves(values: dict[str, Any], before: str = "") -> set[str]:
        found: set[str] = set()
        for key, value in values.items():
            deeper = isinstance(value, dict) and value and key not in {"securityContext", "limits"}
            found |= leaves(value, f"{before}{key}.") if deeper else {f"{before}{key}"}
        return found

    assert leaves(yaml.safe_load(members(archive)["kuberay-operator/values.yaml"])) == set(CHANGES)


@pytest.mark.parametrize("path", CHANGES)
def test_value_is_honoured(path: str, template: Template) -> None:
    value, kind, expected = CHANGES[path]
    beside = BESIDE.get(path, {})
    before = yaml.safe_dump_all(of_kind(template(**beside), kind))
    extra = {"leaderElectionEnabled": True} if path == "replicas" else {}
    after = yaml.safe_dump_all(of_kind(template(**nested(path, value, beside), **extra), kind))
    assert before != after
    assert expected in after
    assert not expected or expected not in before or kind == "RoleBinding"
