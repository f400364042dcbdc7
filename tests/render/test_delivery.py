"""Argo CD and Flux bring each environment in order, bring all of it, and let nothing through that they should not."""

import os
import re
import subprocess
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import lupa.lua51 as lua
import pytest
import yaml

from rayops.paths import ROOT
from rayops.render import Obj, of_kind, one, render
from rayops.render.crds import crds_of
from tests.render import delivery
from tests.render.conftest import is_job, kustomizations
from tests.render.delivery import ARGOCD, ENVIRONMENTS, FLUX, applications, flux_kustomizations, wave
from tests.render.schemas import write_crd_schemas
from tests.tooling import tool

Rendered = Callable[[Path], list[Obj]]
HEALTH = ROOT / "base/delivery/health"
STAGES = ["platform", "crds", "operator", "pipelines"]
# What an environment does without a person: automated, prune, selfHeal. Flux knows only prune.
POLICY = {"dev": (True, True, False), "staging": (True, True, True), "prod": (False, False, False)}
BATCH = "-batch"


@pytest.fixture(params=ENVIRONMENTS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def argocd(name: str, rendered: Rendered) -> list[Obj]:
    return rendered(Path(ARGOCD.format(name)))


@pytest.fixture
def flux(name: str, rendered: Rendered) -> list[Obj]:
    return rendered(Path(FLUX.format(name)))


@pytest.fixture(scope="session")
def settings(rendered: Rendered) -> Obj:
    """Argo CD's ConfigMap, the same in each environment but for its URL."""
    return one(rendered(Path(ARGOCD.format("prod"))), "ConfigMap", "argocd-cm")


@pytest.fixture(scope="session")
def folders() -> set[str]:
    """Every folder of the repository that holds a file, relative to its root."""
    top = ("apps", "base", "charts", "overlays", "scripts", "tests")
    files = [file for part in top for file in (ROOT / part).rglob("*") if "__pycache__" not in file.parts]
    return {str(file.relative_to(ROOT)) for file in files if file.is_dir()}


def values(name: str) -> dict[str, str]:
    lines = (ROOT / "overlays" / name / "delivery/settings/delivery.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def services(name: str) -> set[str]:
    """The folders of an environment that are one pipeline and no job."""
    found = [file.parent.relative_to(ROOT) for file in (ROOT / "overlays" / name).glob("*/sizing.env")]
    return {str(folder) for folder in found if not is_job(folder)}


# Everything is brought, nothing else.


def test_the_generator_takes_every_pipeline_and_nothing_else(name: str, argocd: list[Obj], folders: set[str]) -> None:
    (generator,) = one(argocd, "ApplicationSet")["spec"]["generators"]
    assert delivery.generated(generator["git"]["directories"], folders) == services(name)


def test_a_job_is_told_by_its_name(folders: set[str]) -> None:
    """The generator cannot look into a folder, so the name of a job's folder ends in -batch, and only a job's."""
    for folder in folders:
        if (ROOT / folder / "sizing.env").exists() and Path(folder).parts[0] == "overlays":
            assert is_job(Path(folder)) == folder.endswith(BATCH), folder


@pytest.mark.parametrize(
    ("folder", "taken"),
    [
        ("overlays/dev/rag", True),
        ("overlays/dev/a-batch", False),
        ("overlays/dev/platform", False),
        ("overlays/dev/delivery", False),
        ("overlays/dev/rag/patches", False),
        ("overlays/prod/rag", False),
        ("overlays/dev", False),
    ],
)
def test_patterns_of_folders(folder: str, taken: bool, rendered: Rendered) -> None:
    (generator,) = one(rendered(Path(ARGOCD.format("dev"))), "ApplicationSet")["spec"]["generators"]
    assert bool(delivery.generated(generator["git"]["directories"], [folder])) == taken


def test_flux_lists_every_pipeline_and_nothing_else(name: str, flux: list[Obj]) -> None:
    listed = delivery.labelled(flux_kustomizations(flux).values(), rayops_io__delivers="pipeline")
    assert {obj["spec"]["path"].removeprefix("./") for obj in listed} == services(name)
    assert all(obj["spec"]["path"].endswith(f"/{obj['metadata']['name']}") for obj in listed)


def test_an_environment_does_not_contain_its_delivery(name: str, rendered: Rendered) -> None:
    groups = {obj["apiVersion"] for obj in rendered(Path("overlays") / name)}
    assert not [group for group in groups if "fluxcd.io" in group or "argoproj.io" in group]


def test_every_folder_that_is_named_is_there(name: str, argocd: list[Obj], flux: list[Obj]) -> None:
    """But for those of KubeRay's repository, which its module stands for."""
    own = values(name)["repository"]
    found = [spec["source"] for key, spec in applications(argocd).items() if key != "pipelines"]
    paths = [source["path"] for source in found if source["repoURL"] == own]
    paths += [obj["spec"]["path"] for key, obj in flux_kustomizations(flux).items() if key != "crds"]
    assert len(paths) >= 6
    assert not [path for path in paths if not (ROOT / path).is_dir()]


def test_the_crds_are_where_both_look(module: Path, argocd: list[Obj], flux: list[Obj]) -> None:
    path = applications(argocd)["crds"]["source"]["path"]
    assert flux_kustomizations(flux)["crds"]["spec"]["path"] == f"./{path}"
    found = [yaml.safe_load(file.read_text()) for file in (module / Path(path).relative_to("ray-operator")).iterdir()]
    assert {crd["spec"]["names"]["kind"] for crd in found} == {"RayCluster", "RayService", "RayJob", "RayCronJob"}
    project = one(argocd, "AppProject", "platform")
    assert delivery.refused_by(project, found) == []


# In order.


def out_of_order(objects: list[Obj]) -> list[str]:
    """Stages whose wave is not above that of the stage before, settings and projects before all."""
    first = max(wave(obj) for obj in objects if obj["kind"] in {"AppProject", "ConfigMap"})
    waves = {obj["metadata"]["name"]: wave(obj) for obj in objects if obj["kind"].startswith("Application")}
    found, before = [], first
    for stage in STAGES:
        if waves[stage] <= before:
            found.append(stage)
        before = waves[stage]
    return found


def test_waves_are_strictly_ordered(argocd: list[Obj]) -> None:
    assert out_of_order(argocd) == []
    assert one(argocd, "Application", "root")["metadata"]["annotations"]["argocd.argoproj.io/hook"] == "Skip"


@pytest.mark.parametrize(("stage", "moved"), [("operator", "-20"), ("platform", "-50"), ("crds", "1")])
def test_a_stage_in_the_wrong_wave_is_found(stage: str, moved: str, rendered: Rendered) -> None:
    objects = deepcopy(rendered(Path(ARGOCD.format("prod"))))
    one(objects, "Application", stage)["metadata"]["annotations"][delivery.WAVE] = moved
    assert out_of_order(objects)


def needs(name: str, known: dict[str, Obj]) -> list[str]:
    """What Flux waits for before a Kustomization, the nearest first. Fails on a circle and on one that is not there."""
    (one_before,) = known[name]["spec"].get("dependsOn", [{}])
    if not one_before:
        return []
    before = needs(one_before["name"], known)
    assert name not in before
    return [one_before["name"], *before]


def test_flux_goes_by_the_same_stages(flux: list[Obj]) -> None:
    known = flux_kustomizations(flux)
    for stage, obj in known.items():
        if obj["metadata"].get("labels"):
            assert needs(stage, known) == ["operator", "crds", "platform"]
    waited = [stage for stage, obj in known.items() if obj["spec"].get("wait")]
    assert set(known) - set(waited) == {"delivery"}, "a stage that does not wait is ready at once"


def test_objects_that_come_first_inside_a_pipeline(name: str, rendered: Rendered) -> None:
    """Of the objects themselves: namespace, default-deny and quota, then rights, then Secrets, then the RayService."""
    for folder in services(name):
        objects = rendered(Path(folder))
        assert wave(one(objects, "Namespace")) == -30 < wave(one(objects, "RayService")) == 0


# What happens without a person.


def test_who_syncs_prunes_and_heals(name: str, argocd: list[Obj], flux: list[Obj]) -> None:
    automated, prune, heal = POLICY[name]
    for key, spec in applications(argocd).items():
        pruned = prune and key != "crds"
        assert spec["syncPolicy"]["automated"] == {"enabled": automated, "prune": pruned, "selfHeal": heal}, key
    for key, obj in flux_kustomizations(flux).items():
        assert obj["spec"]["prune"] == (prune and key != "crds"), key


def test_a_wrong_revision_deletes_nothing(argocd: list[Obj]) -> None:
    policy = one(argocd, "ApplicationSet")["spec"]["syncPolicy"]
    assert policy == {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True}


def server_side(objects: list[Obj]) -> set[str]:
    return {
        key
        for key, spec in applications(objects).items()
        if "ServerSideApply=true" in spec["syncPolicy"].get("syncOptions", [])
    }


def test_only_crds_are_applied_server_side_and_they_are_never_deleted(argocd: list[Obj], flux: list[Obj]) -> None:
    assert server_side(argocd) == {"crds"}
    assert {"Prune=false", "Delete=false"} < set(applications(argocd)["crds"]["syncPolicy"]["syncOptions"])
    assert flux_kustomizations(flux)["crds"]["spec"]["deletionPolicy"] == "Orphan"
    assert applications(argocd)["operator"]["source"]["helm"]["skipCrds"] is True


def test_server_side_apply_elsewhere_is_found(rendered: Rendered) -> None:
    objects = deepcopy(rendered(Path(ARGOCD.format("prod"))))
    applications(objects)["operator"]["syncPolicy"]["syncOptions"].append("ServerSideApply=true")
    assert server_side(objects) == {"crds", "operator"}


# What a project lets through.


def test_a_pipeline_may_bring_what_it_is_made_of(name: str, argocd: list[Obj], rendered: Rendered) -> None:
    project = one(argocd, "AppProject", "pipelines")
    for folder in services(name):
        assert delivery.refused_by(project, rendered(Path(folder))) == []


def test_a_project_allows_nothing_that_no_component_brings(rendered: Rendered) -> None:
    """Each kind stands in a manifest of base; the two that are only looked at are said to be so."""
    files = [
        file for part in ("components", "platform", "rayservice") for file in (ROOT / "base" / part).rglob("*.yaml")
    ]
    brought = {kind for file in files for kind in re.findall(r"^kind: (\w+)", file.read_text(), re.MULTILINE)}
    listed = one(rendered(Path(ARGOCD.format("prod"))), "AppProject", "pipelines")["spec"]["namespaceResourceWhitelist"]
    assert {entry["kind"] for entry in listed} - brought - {"RayCluster", "Pod"} == set()


@pytest.mark.parametrize(
    ("kind", "namespace"),
    [
        (("v1", "Secret"), "rag"),
        (("ray.io/v1", "RayService"), "kuberay-system"),
        (("ray.io/v1", "RayService"), "kube-system"),
        (("gateway.networking.k8s.io/v1", "HTTPRoute"), "ingress"),
        (("gateway.networking.k8s.io/v1", "Gateway"), "rag"),
        (("rbac.authorization.k8s.io/v1", "Role"), "rag"),
        (("rbac.authorization.k8s.io/v1", "ClusterRole"), None),
        (("argoproj.io/v1alpha1", "Application"), "argocd"),
    ],
)
def test_a_pipeline_may_not_bring(kind: tuple[str, str], namespace: str | None, rendered: Rendered) -> None:
    project = one(rendered(Path(ARGOCD.format("prod"))), "AppProject", "pipelines")
    metadata = {"name": "x", **({"namespace": namespace} if namespace else {})}
    assert delivery.refused_by(project, [{"apiVersion": kind[0], "kind": kind[1], "metadata": metadata}])


def test_no_pipeline_touches_the_namespace_of_another_s_guardrails(rendered: Rendered) -> None:
    project = one(rendered(Path(ARGOCD.format("prod"))), "AppProject", "pipelines")
    for taken in ("kube-system", "argocd", "kuberay-system", "ingress", "default"):
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": taken}}
        assert delivery.refused_by(project, [namespace]) == [f"Namespace /{taken}"]


def test_children_are_only_looked_at(rendered: Rendered) -> None:
    """RayCluster and Pod are allowed so that Argo CD shows them; none is in Git."""
    for overlay in kustomizations("overlays", "Kustomization"):
        assert not {obj["kind"] for obj in rendered(overlay)} & {"RayCluster", "Pod", "ReplicaSet"}, overlay


def test_the_platform_may_bring_what_it_is_made_of(name: str, argocd: list[Obj], rendered: Rendered) -> None:
    project = one(argocd, "AppProject", "platform")
    assert delivery.refused_by(project, rendered(Path(f"overlays/{name}/platform"))) == []
    assert delivery.refused_by(project, argocd) == []
    assert "RayService rag/rag" in delivery.refused_by(project, rendered(Path("overlays/prod/rag")))


# What is ignored.


def test_the_operator_writes_nothing_that_git_has(pipeline: Path, service: Obj, settings: Obj) -> None:
    """So a RayService needs no rule, and none hides a change."""
    live = delivery.written_back(service)
    assert delivery.drift(service, live) == []
    assert "resource.customizations.ignoreDifferences.ray.io_RayService" not in settings["data"]
    live["spec"]["serveService"]["spec"]["ports"][0]["port"] = 1
    assert delivery.drift(service, live) == [".spec.serveService.spec.ports[0].port"]


def test_what_the_operator_drops_from_a_job_is_ignored(job: Path, rendered: Rendered, settings: Obj) -> None:
    (found,) = of_kind(rendered(job), "RayJob")
    rules = delivery.ignore_rules(settings, "RayJob")
    live = delivery.written_back(found)
    assert delivery.drift(found, live) == [".spec.suspend"], "the rule is needed"
    assert delivery.drift(delivery.without(found, rules), delivery.without(live, rules)) == []


def test_what_the_autoscaler_writes_is_ignored(service: Obj, settings: Obj) -> None:
    cluster = {"spec": service["spec"]["rayClusterConfig"]}
    live = deepcopy(cluster)
    for group in live["spec"]["workerGroupSpecs"]:
        group.update(replicas=7, scaleStrategy={"workersToDelete": ["a"]})
    rules = delivery.ignore_rules(settings, "RayCluster")
    assert delivery.drift(cluster, live)[0] == ".spec.workerGroupSpecs[0].replicas"
    assert delivery.drift(delivery.without(cluster, rules), delivery.without(live, rules)) == []
    live["spec"]["workerGroupSpecs"][0]["maxReplicas"] = 99
    assert delivery.drift(delivery.without(cluster, rules), delivery.without(live, rules)), "the bounds are Git's"


def test_ignored_fields_are_respected_when_syncing(argocd: list[Obj]) -> None:
    assert "RespectIgnoreDifferences=true" in applications(argocd)["pipelines"]["syncPolicy"]["syncOptions"]


# Health.


@pytest.mark.parametrize("kind", ["RayService", "RayCluster", "RayJob"])
def test_argo_cd_has_the_rule_as_it_stands(kind: str, settings: Obj) -> None:
    text = settings["data"][f"resource.customizations.health.ray.io_{kind}"]
    assert text == (HEALTH / f"{kind.lower()}.lua").read_text()


def test_flux_has_the_rule_as_it_stands_wherever_ray_objects_are(flux: list[Obj]) -> None:
    written = yaml.safe_load((HEALTH / "healthcheckexprs.yaml").read_text())["spec"]["healthCheckExprs"]
    assert {rule["kind"] for rule in written} == {"RayService", "RayCluster", "RayJob", "HTTPRoute"}
    for obj in flux_kustomizations(flux).values():
        has_ray = bool(obj["metadata"].get("labels"))
        assert obj["spec"].get("healthCheckExprs") == (written if has_ray else None), obj["metadata"]["name"]


def application(health: str | None, sync: str = "Synced", compared: str = "main", wanted: str = "main") -> Obj:
    status = {
        "health": {"status": health} if health else {},
        "sync": {"status": sync, "comparedTo": {"source": {"targetRevision": compared}}},
    }
    return {"spec": {"source": {"targetRevision": wanted}}, "status": status}


@pytest.mark.parametrize(
    ("obj", "verdict"),
    [
        (application("Healthy"), "Healthy"),
        (application("Degraded"), "Degraded"),
        (application("Degraded", "OutOfSync"), "Degraded"),
        (application("Healthy", "OutOfSync"), "Progressing"),
        (application("Healthy", compared="v1", wanted="v2"), "Progressing"),
        (application("Missing", "OutOfSync"), "Missing"),
        (application(None), "Progressing"),
        ({"spec": {"source": {"targetRevision": "main"}}}, "Progressing"),
    ],
)
def test_a_wave_waits_until_an_application_is_synced_and_healthy(obj: Obj, verdict: str, settings: Obj) -> None:
    runtime = lua.LuaRuntime()
    runtime.globals().obj = runtime.table_from(obj, recursive=True)
    result = runtime.execute(settings["data"]["resource.customizations.health.argoproj.io_Application"])
    assert result["status"] == verdict


def test_children_of_a_rayservice_are_not_pruned(settings: Obj) -> None:
    """KubeRay copies labels to the RayCluster: tracked by label, Argo CD would take it for one that left Git."""
    assert settings["data"]["application.resourceTrackingMethod"] == "annotation"
    assert "resource.exclusions" not in settings["data"], "it would replace Argo CD's own list"


# Settings, and what must not be in Git.


def test_every_setting_is_read_and_every_environment_has_them_all(name: str) -> None:
    read = "".join(file.read_text() for file in (ROOT / "base/delivery").rglob("*.yaml"))
    assert set(values(name)) == set(values("dev"))
    assert [key for key in values(name) if f"data.{key}}}" not in read] == []
    assert values(name)["environment"] == name


def test_nothing_is_left_to_fill_in(argocd: list[Obj], flux: list[Obj]) -> None:
    for text in delivery.strings([*argocd, *flux]):
        assert "delivery.env" not in text
        assert not re.search(r"\bENVIRONMENT\b|\bVERSION\b|from health", text), text


def test_chart_and_crds_go_together(name: str) -> None:
    chart = yaml.safe_load((ROOT / "charts/kuberay-platform/Chart.yaml").read_text())
    (operator,) = chart["dependencies"]
    if values(name)["chartVersion"] == chart["version"]:
        assert values(name)["kuberayRevision"] == f"v{operator['version']}"


def test_the_first_apply_of_argo_cd_is_settings_projects_and_root(argocd: list[Obj]) -> None:
    first = delivery.labelled(argocd, rayops_io__bootstrap="true")
    assert {(obj["kind"], obj["metadata"]["name"]) for obj in first} == {
        ("ConfigMap", "argocd-cm"),
        ("ConfigMap", "argocd-notifications-cm"),
        ("AppProject", "platform"),
        ("AppProject", "pipelines"),
        ("Application", "root"),
    }


def leaks(objects: list[Obj]) -> list[str]:
    """Secrets, URLs with a password, and hosts that are neither an example nor KubeRay's own repository."""
    found = [f"Secret {obj['metadata']['name']}" for obj in of_kind(objects, "Secret")]
    for text in delivery.strings(objects):
        for host in re.findall(r"\b(?:https?|oci|ssh)://([^/\s'\"]+)(?=/|$)", text):
            known = re.fullmatch(r"([\w.-]+\.)?example\.com|kubernetes\.default\.svc", host)
            if not known and "github.com/ray-project/kuberay" not in text:
                found.append(host)
    return found


def test_no_secret_and_no_real_host(argocd: list[Obj], flux: list[Obj]) -> None:
    assert leaks([*argocd, *flux]) == []


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "Secret", "metadata": {"name": "a"}},
        {"kind": "GitRepository", "metadata": {"name": "a"}, "spec": {"url": "https://git.acme.io/ray.git"}},
        {"kind": "GitRepository", "metadata": {"name": "a"}, "spec": {"url": "https://u:p@git.example.com/ray.git"}},
    ],
)
def test_a_secret_or_a_real_host_is_found(bad: Obj) -> None:
    assert leaks([bad])


# Alone, and what is only taken by choice.


def test_receivers_and_triggers_fit_together(argocd: list[Obj]) -> None:
    data = one(argocd, "ConfigMap", "argocd-notifications-cm")["data"]
    receivers = {key.rpartition(".")[2] for key in data if key.startswith("service.")}
    for key, text in data.items():
        content = yaml.safe_load(text)
        if key.startswith("trigger."):
            assert all(f"template.{each}" in data for rule in content for each in rule["send"])
        if key.startswith("template."):
            assert set(content["webhook"]) <= receivers
    for project in of_kind(argocd, "AppProject"):
        for key in project["metadata"]["annotations"]:
            if "notifications" in key:
                trigger, receiver = key.rpartition("/subscribe.")[2].split(".")
                assert f"trigger.{trigger}" in data
                assert receiver in receivers


@pytest.fixture
def choices(tmp_path: Path, kustomize: Path) -> list[Obj]:
    """Flux in prod with everything that an environment may choose."""
    (tmp_path / "pipelines.yaml").write_text((ROOT / FLUX.format("prod") / "pipelines.yaml").read_text())

    def at(path: str) -> str:
        return os.path.relpath(ROOT / path, tmp_path)

    chosen = ["", "/decryption", "/oci-source"]
    overlay = {
        "namespace": "flux-system",
        "resources": [at("overlays/prod/delivery/settings"), "pipelines.yaml"],
        "components": [at(f"base/delivery/flux{each}") for each in chosen],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return render(tmp_path, binary=kustomize)


def release(kustomize: Path) -> Obj:
    found: Obj = yaml.safe_load(
        delivery.substituted(
            yaml.safe_dump(one(render(ROOT / "base/delivery/flux/operator", binary=kustomize), "HelmRelease")),
            {"environment": "prod"},
        )
    )
    return found


def test_choices_are_valid_too(choices: list[Obj], kustomize: Path, tmp_path: Path) -> None:
    objects = [*choices, release(kustomize)]
    write_crd_schemas(crds_of(objects), tmp_path)
    where = f"{tmp_path}/{{{{.Group}}}}/{{{{.ResourceKind}}}}_{{{{.ResourceAPIVersion}}}}.json"

    def check(given: list[Obj]) -> "subprocess.CompletedProcess[str]":
        command: list[Any] = [tool("kubeconform"), "-strict", "-schema-location", where]
        return subprocess.run(command, input=yaml.safe_dump_all(given), capture_output=True, text=True, check=False)

    done = check(objects)
    assert done.returncode == 0, done.stdout
    broken = deepcopy(objects)
    one(broken, "HelmRelease")["spec"]["chart"]["spec"]["valueFiles"] = []
    assert "valueFiles" in check(broken).stdout


def test_the_release_takes_the_values_that_argo_cd_takes(kustomize: Path, rendered: Rendered) -> None:
    source = applications(rendered(Path(ARGOCD.format("prod"))))["operator"]["source"]
    own, chosen = release(kustomize)["spec"]["chart"]["spec"]["valuesFiles"]
    assert own == f"./{source['path']}/values.yaml"
    (file,) = source["helm"]["valueFiles"]
    assert os.path.normpath(Path(source["path"]) / file) == os.path.normpath(chosen)
    assert release(kustomize)["spec"]["releaseName"] == source["helm"]["releaseName"]


def test_an_oci_source_takes_the_place_of_git(choices: list[Obj]) -> None:
    assert [obj["metadata"]["name"] for obj in of_kind(choices, "OCIRepository")] == ["ray"]
    assert {obj["metadata"]["name"] for obj in of_kind(choices, "GitRepository")} == {"operator", "kuberay"}
    for key, obj in flux_kustomizations(choices).items():
        wanted = "GitRepository" if key == "crds" else "OCIRepository"
        assert obj["spec"]["sourceRef"]["kind"] == wanted, key


def test_decryption_is_of_the_pipelines_only(choices: list[Obj], flux: list[Obj]) -> None:
    for obj in flux_kustomizations(choices).values():
        assert ("decryption" in obj["spec"]) == bool(obj["metadata"].get("labels"))
    assert not [obj for obj in flux_kustomizations(flux).values() if "decryption" in obj["spec"]]


def test_images_are_automated_in_dev_only(name: str, flux: list[Obj]) -> None:
    automated = of_kind(flux, "ImageUpdateAutomation")
    assert bool(automated) == (name == "dev")
    for obj in automated:
        assert obj["spec"]["git"]["push"]["branch"] != values(name)["revision"], "by a pull request"
        path = ROOT / obj["spec"]["update"]["path"]
        marks = set(re.findall(r'"flux-system:([\w-]+):tag"', (path / "kustomization.yaml").read_text()))
        assert marks == {policy["metadata"]["name"] for policy in of_kind(flux, "ImagePolicy")}
