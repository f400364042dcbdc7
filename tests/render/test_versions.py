"""A version that is written in two places is the same in both: versions.env is the one that counts."""

import re
from pathlib import Path

import yaml

from rayops.paths import ROOT
from rayops.render import Obj
from rayops.versions import pin

PINNED_MODULES = {
    "sigs.k8s.io/kind": "KIND_VERSION",
    "helm.sh/helm/v3": "HELM_VERSION",
    "sigs.k8s.io/kustomize/kustomize/v5": "KUSTOMIZE_VERSION",
    "github.com/yannh/kubeconform": "KUBECONFORM_VERSION",
    "github.com/rhysd/actionlint": "ACTIONLINT_VERSION",
    "github.com/zegl/kube-score": "KUBE_SCORE_VERSION",
    "github.com/ray-project/kuberay/ray-operator": "KUBERAY_VERSION",
    "k8s.io/kubernetes": "KUBERNETES_VERSION",
    "github.com/argoproj/argo-cd/v3": "ARGOCD_VERSION",
    "github.com/fluxcd/kustomize-controller": "KUSTOMIZE_CONTROLLER_VERSION",
    "github.com/traefik/traefik/v3": "TRAEFIK_VERSION",
    "sigs.k8s.io/kwok": "KWOK_VERSION",
}


def test_rayservice_and_image_run_the_pinned_ray(service: Obj) -> None:
    assert service["spec"]["rayClusterConfig"]["rayVersion"] == pin("RAY_VERSION")


def test_every_lock_file_has_the_pinned_ray() -> None:
    found: dict[str, str] = {}
    for file in [*ROOT.glob("scripts/requirements/*.txt"), *ROOT.glob("apps/images/*/*.txt")]:
        ray = re.search(r"^ray(?:\[[^]]*\])?==(\S+)", file.read_text(), re.MULTILINE)
        if ray:
            found[str(file.relative_to(ROOT))] = ray[1]
    assert found
    assert set(found.values()) == {pin("RAY_VERSION")}, found


def test_chart_depends_on_the_pinned_operator() -> None:
    chart = yaml.safe_load((ROOT / "charts/kuberay-platform/Chart.yaml").read_text())
    (dependency,) = chart["dependencies"]
    assert dependency["version"] == pin("KUBERAY_VERSION")
    assert dependency["repository"] == pin("OPERATOR_CHART_REPOSITORY")


def test_chart_runs_the_pinned_operator_image() -> None:
    values = yaml.safe_load((ROOT / "charts/kuberay-platform/values.yaml").read_text())["kuberay-operator"]["image"]
    assert f"{values['repository']}:{values['tag']}" == pin("OPERATOR_IMAGE")


def test_go_modules_hold_the_pinned_tools() -> None:
    required: dict[str, set[str]] = {}
    for file in sorted(Path(ROOT / "scripts/tools").rglob("go.mod")):
        for module, version in re.findall(r"^\t?(?:require )?(\S+/\S+) v(\S+)", file.read_text(), re.MULTILINE):
            if module in PINNED_MODULES:
                required.setdefault(module, set()).add(version)
    # Another module may pull an older one along (kubectl brings its own kustomize); the pinned one must be there.
    for module, name in PINNED_MODULES.items():
        assert pin(name) in required.get(module, set()), f"{module}: {required.get(module)} is not {name}"


def test_kuberay_is_asked_in_the_version_that_is_installed() -> None:
    """Exactly: an older one beside it would answer for another operator."""
    text = (ROOT / "scripts/tools/kuberay-ask/go.mod").read_text()
    assert re.findall(r"ray-project/kuberay/ray-operator v(\S+)", text) == [pin("KUBERAY_VERSION")]
