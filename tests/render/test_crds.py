"""The table of CRD sources: each is pinned and gives what it says; one place for schemas, cluster and chart."""

import subprocess
from pathlib import Path

import pytest
import yaml

from rayops.cluster import gobuild
from rayops.cluster.operator import CURRENT, MODULE, PINNED, PREVIOUS
from rayops.errors import RayopsError
from rayops.paths import TOOLS
from rayops.render import crds as table
from rayops.render import operator_crds
from rayops.render.crds import SOURCES, Source, crds, crds_of, own_group
from rayops.versions import pin
from tests.tooling import tool

# Kinds that overlays and delivery may use, by group.
KINDS = {
    "ray.io": {"RayCluster", "RayCronJob", "RayJob", "RayService"},
    "gateway.networking.k8s.io": {"Gateway", "GatewayClass", "HTTPRoute"},
    "monitoring.coreos.com": {"PodMonitor", "PrometheusRule", "ServiceMonitor"},
    "external-secrets.io": {"ClusterSecretStore", "ExternalSecret", "SecretStore"},
    "argoproj.io": {"AppProject", "Application", "ApplicationSet"},
    "kustomize.toolkit.fluxcd.io": {"Kustomization"},
    "source.toolkit.fluxcd.io": {"GitRepository", "HelmRepository", "OCIRepository"},
    "helm.toolkit.fluxcd.io": {"HelmRelease"},
    "notification.toolkit.fluxcd.io": {"Alert", "Provider"},
    "image.toolkit.fluxcd.io": {"ImagePolicy", "ImageRepository", "ImageUpdateAutomation"},
}


def test_every_group_has_its_kinds() -> None:
    assert list(KINDS) == table.groups()
    for group, kinds in KINDS.items():
        assert kinds <= {crd["spec"]["names"]["kind"] for crd in crds(group)}, group


def test_the_operator_s_crds_are_the_charts(module: Path) -> None:
    assert crds("ray.io") == operator_crds(module)


def test_generated_crds_are_upstream_s_own() -> None:
    """Shown on the one Flux module that is served both ways: with its CRD as a file, and as Go types."""
    shipped = next(source for source in SOURCES if source.group == "kustomize.toolkit.fluxcd.io")
    made = Source(shipped.group, table.GENERATOR, "github.com/fluxcd/kustomize-controller/api")
    assert table.read(made) == table.read(shipped)


def test_flux_is_of_one_release() -> None:
    """The Go types of one controller must not be newer than the CRDs of another."""
    versions = {
        source.module: gobuild.archive_directory(source.pinned, source.module).name.partition("@")[2]
        for source in SOURCES
        if "fluxcd" in source.module
    }
    assert versions["github.com/fluxcd/source-controller"] == versions["github.com/fluxcd/kustomize-controller"]


def test_crds_of_objects_are_those_of_their_kinds() -> None:
    objects = [
        {"apiVersion": "v1", "kind": "Secret"},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"},
        {"apiVersion": "ray.io/v1", "kind": "RayJob"},
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"},
    ]
    assert {crd["spec"]["names"]["kind"] for crd in crds_of(objects)} == {"RayJob", "Gateway"}


@pytest.mark.parametrize(
    ("version", "kind", "cause"),
    [
        ("example.com/v1", "Thing", r"no CRDs are known of example\.com"),
        ("ray.io/v1", "RayServce", r"no CRD of ray\.io has the kind RayServce"),
    ],
)
def test_an_unknown_kind_is_named(version: str, kind: str, cause: str) -> None:
    with pytest.raises(RayopsError, match=cause) as caught:
        crds_of([{"apiVersion": version, "kind": kind}])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("group", "own"),
    [
        ("", True),
        ("apps", True),
        ("networking.k8s.io", True),
        ("ray.io", False),
        ("gateway.networking.k8s.io", False),
        ("kueue.x-k8s.io", False),
    ],
)
def test_own_groups(group: str, own: bool) -> None:
    assert own_group(group) is own


def test_a_source_of_the_wrong_group_or_without_files_is_refused() -> None:
    with pytest.raises(RayopsError, match=r"CRDs of ray\.io, expected only example\.com"):
        table.read(Source("example.com", "kuberay-operator", MODULE, "config/crd/bases/*.yaml"))
    with pytest.raises(RayopsError, match=r"config/nowhere/\* are not the CRDs of ray\.io"):
        table.read(Source("ray.io", "kuberay-operator", MODULE, "config/nowhere/*"))


def test_a_module_that_is_not_pinned_is_refused() -> None:
    with pytest.raises(RayopsError, match=r"scripts/tools/crds/go\.mod and go\.sum do not pin example\.com/x"):
        gobuild.archive_directory("crds", "example.com/x")


def test_an_archive_with_another_checksum_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "crds"
    copy.mkdir()
    (copy / "go.mod").write_text((TOOLS / "crds/go.mod").read_text())
    (copy / "go.sum").write_text((TOOLS / "crds/go.sum").read_text().replace(" h1:", " h1:AAAA"))
    monkeypatch.setattr(gobuild, "TOOLS", tmp_path)
    with pytest.raises(RayopsError, match="failed"):
        gobuild.archive_directory("crds", "github.com/fluxcd/source-controller")


@pytest.mark.parametrize("version", [CURRENT, PREVIOUS])
def test_both_operators_are_pinned_by_a_module_of_their_own(version: str) -> None:
    folder = gobuild.archive_directory(PINNED[version], MODULE)
    assert folder.name == f"ray-operator@v{pin(version)}"


def test_the_previous_operator_is_older() -> None:
    def numbers(version: str) -> list[int]:
        return [int(part) for part in pin(version).split(".")]

    assert numbers(PREVIOUS) < numbers(CURRENT)


def test_kubeconform_knows_a_kind_of_each_group(tmp_path: Path) -> None:
    """The schemas are of use: an object of no field but a misspelt one is refused by every one of them."""
    from tests.render.schemas import write_crd_schemas

    location = str(tmp_path / "{{.Group}}" / "{{.ResourceKind}}_{{.ResourceAPIVersion}}.json")
    objects = []
    for group, kinds in KINDS.items():
        found = [crd for crd in crds(group) if crd["spec"]["names"]["kind"] in kinds]
        write_crd_schemas(found, tmp_path)
        version = next(v["name"] for v in found[0]["spec"]["versions"] if v["served"])
        kind = found[0]["spec"]["names"]["kind"]
        objects.append(
            {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": {"name": "x"}, "spec": {"mispelt": 1}}
        )
    command = [str(tool("kubeconform")), "-strict", "-output", "json", "-schema-location", location]
    done = subprocess.run(command, input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout.count("mispelt") >= len(objects), done.stdout
