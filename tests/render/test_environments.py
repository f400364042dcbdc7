"""Environments: prod is staging with bigger numbers, nothing in them is alone, and quotas hold what an upgrade asks."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from rayops import environments
from rayops.paths import ROOT
from rayops.render import Obj, app_serve_file, components_of, images, of_kind, one, pod_specs
from tests.render import rules

Rendered = Callable[[Path], list[Obj]]
Change = Callable[[list[Obj]], None]

PRODUCTION = [
    "components/autoscaling",
    "components/pod-security",
    "components/disruption",
    "components/high-throughput",
    "components/gcs-fault-tolerance",
    "components/token-auth",
    "components/network-policy",
    "components/monitoring",
    "components/spread",
    "components/priority",
    "components/http-route",
    "components/external-secrets",
    "platform/quota",
    "platform/rbac",
    "profiles/production",
]
SHARED = ("dev", "staging", "prod")
REPLICATED = ("staging", "prod")
PIPELINES = sorted(file.parent.name for file in (ROOT / "overlays/prod").glob("*/sizing.env"))
# A second overlay of llm: a model over two hosts, which has no stand-in. It runs the same file everywhere.
ONLY_WITH_GPUS = {"llm-70b"}
SERVICES = [name for name in PIPELINES if name != "embeddings-batch"]
both = pytest.mark.parametrize("environment_name", REPLICATED)
each_pipeline = pytest.mark.parametrize("name", PIPELINES)
each_service = pytest.mark.parametrize("name", SERVICES)


def overlay(environment: str, name: str) -> Path:
    return Path("overlays", environment, name)


def changed(objects: list[Obj], change: Change) -> list[Obj]:
    copy = deepcopy(objects)
    change(copy)
    return copy


# --- prod is staging with bigger numbers


def test_every_environment_has_every_pipeline() -> None:
    apps = {file.parent.name.replace("_", "-") for file in (ROOT / "apps").glob("*/app.py")}
    for environment in ("local", *SHARED):
        there = {file.parent.name for file in (ROOT / "overlays" / environment).glob("*/sizing.env")}
        assert there == apps | {"embeddings-batch"} | ONLY_WITH_GPUS - missing_in(environment), environment
    assert set(PIPELINES) == apps | {"embeddings-batch"} | ONLY_WITH_GPUS


def missing_in(environment: str) -> set[str]:
    return ONLY_WITH_GPUS if environment == "local" else set()


@each_pipeline
def test_staging_and_prod_take_the_same_components_in_the_same_order(name: str) -> None:
    staging, prod = (components_of(ROOT / overlay(environment, name)) for environment in REPLICATED)
    assert staging == prod
    assert len(staging) == len(set(staging))
    if name in SERVICES:
        assert staging[: len(PRODUCTION)] == [f"base/{part}" for part in PRODUCTION]
    else:
        assert "base/profiles/production-batch" in staging


@each_pipeline
def test_they_render_alike_but_for_sizes_digests_and_their_names(name: str, rendered: Rendered) -> None:
    staging, prod = (rendered(overlay(environment, name)) for environment in REPLICATED)
    assert not rules.differences(staging, prod, REPLICATED)
    assert staging != prod


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda objects: objects.pop(), "only one has"),
        (lambda objects: _service(objects)["spec"].update(excludeHeadPodFromServeSvc=False), "excludeHeadPod"),
        (lambda objects: _head(objects).update(priorityClassName="other"), "priorityClassName"),
        (lambda objects: _head(objects).pop("affinity"), "affinity: only one has it"),
        (lambda objects: _head(objects)["containers"][0].update(image="x@sha256:" + "1" * 64), "image"),
        (lambda objects: _head(objects)["containers"][0]["env"].append({"name": "A", "value": "b"}), "env"),
        (lambda objects: _service(objects)["spec"].update(serveConfigV2="applications: []"), "serveConfigV2"),
    ],
)
def test_another_difference_is_seen(change: Change, cause: str, rendered: Rendered) -> None:
    staging, prod = (rendered(overlay(environment, "rag")) for environment in REPLICATED)
    (fault,) = rules.differences(staging, changed(prod, change), REPLICATED)
    assert cause in fault


def test_another_digest_is_no_difference(rendered: Rendered) -> None:
    staging, prod = (rendered(overlay(environment, "rag")) for environment in REPLICATED)

    def promote(objects: list[Obj]) -> None:
        container = _head(objects)["containers"][0]
        container["image"] = container["image"].partition("@")[0] + "@sha256:" + "1" * 64

    assert not rules.differences(staging, changed(prod, promote), REPLICATED)


@each_pipeline
def test_prod_has_no_smaller_number_than_staging(name: str, rendered: Rendered) -> None:
    staging, prod = (rules.peak(rendered(overlay(environment, name))) for environment in REPLICATED)
    assert all(prod[resource] >= staging[resource] for resource in staging)
    assert prod["requests.cpu"] > staging["requests.cpu"]


def test_what_the_environments_share_differs_by_their_names_only() -> None:
    for folder in ("environment", "platform"):
        files = sorted((ROOT / "overlays/staging" / folder).rglob("*.yaml"))
        assert files
        for file in files:
            twin = ROOT / "overlays/prod" / file.relative_to(ROOT / "overlays/staging")
            staging, prod = (rules.DIGEST.sub("", each.read_text()) for each in (file, twin))
            assert staging.replace("staging", "prod") == prod


# --- what everything in a shared environment has


def test_every_pod_says_of_which_environment_it_is(pipeline: Path, rendered: Rendered) -> None:
    assert_labelled(rendered(pipeline), pipeline)


def test_every_pod_of_a_job_says_of_which_environment_it_is(job: Path, rendered: Rendered) -> None:
    assert_labelled(rendered(job), job)


def assert_labelled(objects: list[Obj], folder: Path) -> None:
    found = list(templates(objects))
    assert found
    for template in found:
        labels = template["metadata"]["labels"]
        assert labels["environment"] == folder.parts[1]
        assert labels["app.kubernetes.io/part-of"] == folder.name


def templates(node: Any) -> Any:
    """Every pod template below a node: what has metadata and a spec with containers."""
    if isinstance(node, dict):
        if "containers" in (node.get("spec") or {}) and "kind" not in node:
            yield node
        for value in node.values():
            yield from templates(value)
    elif isinstance(node, list):
        for value in node:
            yield from templates(value)


def test_the_head_takes_no_requests(service: Obj) -> None:
    assert service["spec"]["excludeHeadPodFromServeSvc"] is True


@pytest.mark.parametrize("environment_name", SHARED)
@each_pipeline
def test_nothing_leads_in_but_the_route_to_serve(environment_name: str, name: str, rendered: Rendered) -> None:
    assert not rules.exposures(rendered(overlay(environment_name, name)))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda objects: _service(objects)["spec"]["serveService"]["spec"].update(type="NodePort"), "is a NodePort"),
        (lambda objects: objects.append(_dashboard(8265, "dashboard")), "leads to 8265"),
        (lambda objects: objects.append(_dashboard(80, "dashboard")), "leads to 80"),
        (lambda objects: objects.append(_dashboard(80, 10001)), "leads to 80"),
        (lambda objects: one(objects, "HTTPRoute")["spec"]["rules"].append(_route(8265)), "leads to port 8265"),
    ],
)
def test_a_way_to_the_dashboard_is_seen(change: Change, cause: str, rendered: Rendered) -> None:
    (fault,) = rules.exposures(changed(rendered(overlay("prod", "rag")), change))
    assert cause in fault


def test_local_has_ways_in_that_others_must_not_have(rendered: Rendered) -> None:
    assert rules.exposures(rendered(overlay("local", "rag")))


@pytest.mark.parametrize("environment_name", SHARED)
def test_the_platform_of_a_shared_environment_has_its_classes_and_roles(
    environment_name: str, rendered: Rendered
) -> None:
    objects = rendered(Path("overlays", environment_name, "platform"))
    names = {(obj["kind"], obj["metadata"]["name"]) for obj in objects}
    assert names >= {("ClusterRole", role) for role in ("ray-app-team", "ray-platform", "ray-reader")}
    assert names >= {("PriorityClass", each) for each in ("ray-serving", "ray-batch")}
    assert {obj["metadata"].get("namespace", "ingress") for obj in objects} == {"ingress"}, "once in a cluster"


@both
@each_pipeline
def test_images_are_digests_each_pipeline_has_its_own(environment_name: str, name: str, rendered: Rendered) -> None:
    folder = overlay(environment_name, name)
    for image in images(rendered(folder)):
        assert rules.DIGEST.search(image), image
    own = {entry["name"] for entry in yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text())["images"]}
    assert own == {f"registry.example.com/ray/{image}" for image in ("pipeline", "pipeline-gpu")}


# --- guards of staging and prod


@both
@each_service
def test_a_service_is_guarded(environment_name: str, name: str, rendered: Rendered) -> None:
    objects = rendered(overlay(environment_name, name))
    service = one(objects, "RayService")
    budget, cluster = one(objects, "PodDisruptionBudget")["spec"], rules.cluster_of(service)
    assert budget["minAvailable"] == 1
    assert budget["selector"]["matchLabels"]["app.kubernetes.io/part-of"] == name
    assert cluster["gcsFaultToleranceOptions"]["redisAddress"] == "gcs-redis:6379"
    assert cluster["authOptions"]["mode"] == "token"
    assert one(objects, "NetworkPolicy", "default-deny")["spec"]["podSelector"] == {}
    assert {each["metadata"]["name"] for each in of_kind(objects, "ExternalSecret")} >= {"ray-auth", "gcs-redis"}
    assert {each["metadata"]["name"] for each in of_kind(objects, "RoleBinding")} == {"app-team", "platform", "readers"}
    assert one(objects, "HTTPRoute", name)["spec"]["hostnames"] == [f"ai.{environment_name}.example.com"]
    for place, spec in pod_specs(service):
        assert spec["priorityClassName"] == "ray-serving", place
        if place == "head":
            assert "podAntiAffinity" in spec["affinity"]
        else:
            keys = {constraint["topologyKey"] for constraint in spec["topologySpreadConstraints"]}
            assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}, place


@both
def test_a_job_waits_for_services_and_is_guarded(environment_name: str, rendered: Rendered) -> None:
    objects = rendered(overlay(environment_name, "embeddings-batch"))
    job = one(objects, "RayJob")
    classes = {place: spec.get("priorityClassName") for place, spec in pod_specs(job)}
    assert classes == {"head": "ray-batch", "cpu": "ray-batch", "gpu": "ray-batch", "submitter": None}
    assert rules.cluster_of(job)["authOptions"]["mode"] == "token"
    assert "gcsFaultToleranceOptions" not in rules.cluster_of(job)
    kinds = {obj["kind"] for obj in objects}
    assert kinds >= {"ResourceQuota", "NetworkPolicy", "RoleBinding", "ExternalSecret"}
    assert not kinds & {"Ingress", "PrometheusRule", "PodDisruptionBudget"}


# --- quota


@pytest.mark.parametrize("environment_name", SHARED)
@each_pipeline
def test_the_quota_holds_the_peak_and_not_much_more(environment_name: str, name: str, rendered: Rendered) -> None:
    assert not rules.quota_faults(rendered(overlay(environment_name, name)))


def test_the_peak_is_two_clusters_redis_and_the_job_that_empties_it(rendered: Rendered) -> None:
    """Worked out by hand from overlays/staging/text-analysis/sizing.env."""
    assert {
        name: float(value) for name, value in rules.peak(rendered(overlay("staging", "text-analysis"))).items()
    } == {
        "requests.cpu": 2 * (1 + 0.1 + 3 * 2 + 3 * 4) + 0.05 + 0.2,
        "requests.memory": (2 * (4 * 1024 + 256 + 3 * 4 * 1024 + 3 * 16 * 1024) + 64 + 256) * 2**20,
        "requests.nvidia.com/gpu": 2 * 3,
        "pods": 2 * (1 + 3 + 3) + 1 + 1,
        "persistentvolumeclaims": 1,
    }


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda objects: _hard(objects).update({"requests.cpu": "14"}), "requests.cpu: 14 for a peak"),
        (lambda objects: _hard(objects).update({"requests.memory": "54Gi"}), "requests.memory: 54Gi"),
        (lambda objects: _hard(objects).update({"pods": 9}), "pods: 9 for a peak of 10"),
        (lambda objects: _hard(objects).update({"requests.nvidia.com/gpu": 1}), "gpu: 1 for a peak of 0"),
        (lambda objects: _hard(objects).pop("persistentvolumeclaims"), "persistentvolumeclaims has no quota"),
        (lambda objects: _groups(objects)[1].update(maxReplicas=1), "requests.nvidia.com/gpu: 0 for a peak of 2"),
        (lambda objects: objects.remove(one(objects, "ResourceQuota")), "0 quotas"),
    ],
)
def test_a_quota_too_small_or_too_large_is_seen(change: Change, cause: str, rendered: Rendered) -> None:
    faults = rules.quota_faults(changed(rendered(overlay("staging", "rag")), change))
    assert cause in " ".join(faults)


# --- replicas


@both
@each_service
def test_no_deployment_and_no_worker_is_alone(environment_name: str, name: str, rendered: Rendered) -> None:
    service = one(rendered(overlay(environment_name, name)), "RayService")
    assert not rules.replica_faults(service, rules.single_replicas())


def test_every_exception_is_one(rendered: Rendered) -> None:
    for pipeline, deployment in rules.single_replicas():
        service = one(rendered(overlay("prod", pipeline)), "RayService")
        alone = rules.replica_faults(service, rules.single_replicas() - {(pipeline, deployment)})
        assert any(fault.startswith(f"{deployment}: ") for fault in alone), "not in Git any more: out of the table"


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda objects: _configure(objects, "Sentiment", num_replicas=1), "Sentiment: 1 replica"),
        (lambda objects: _configure(objects, "Sentiment", max_replicas_per_node=2), "may all be on one worker"),
        (lambda objects: _configure(objects, "Ingress", max_replicas_per_node=None), "may all be on one worker"),
        (lambda objects: _groups(objects)[1].update(maxReplicas=2), "Summary: 6 replicas, 2 on each of 2 workers"),
        (lambda objects: _groups(objects)[0].update(minReplicas=1), "group cpu: 1 worker"),
        (lambda objects: _groups(objects)[1]["rayStartParams"].update({"num-cpus": "2"}), "2.5 Ray CPUs asked of 2"),
    ],
)
def test_what_would_be_a_gap_is_seen(change: Change, cause: str, rendered: Rendered) -> None:
    objects = changed(rendered(overlay("prod", "text-analysis")), change)
    (fault,) = rules.replica_faults(_service(objects), ())
    assert cause in fault


@both
@each_service
def test_there_is_room_for_the_successor_of_a_drained_worker(
    environment_name: str, name: str, rendered: Rendered
) -> None:
    cpu = rules.cluster_of(one(rendered(overlay(environment_name, name)), "RayService"))["workerGroupSpecs"][0]
    assert cpu["maxReplicas"] > cpu["minReplicas"]


@each_service
def test_staging_and_prod_run_what_dev_runs_but_more_of_it(name: str) -> None:
    """`replicated` repeats the Serve config of dev: nothing in it may drift by itself."""
    if name in ONLY_WITH_GPUS:
        files = {app_serve_file(name, environment, ROOT) for environment in SHARED}
        assert len(files) == 1
        return
    app = ROOT / "apps" / name.replace("-", "_")
    plain, replicated = (
        yaml.safe_load((folder / "serve.yaml").read_text())
        for folder in (app / "gpu" if (app / "gpu").is_dir() else app, app / "replicated")
    )
    for config in (plain, replicated):
        (application,) = config["applications"]
        application["args"] = {
            key: each for key, each in application["args"].items() if key not in MAY_DIFFER.get(name, set())
        }
        for deployment in application["deployments"]:
            for number in ("num_replicas", "max_replicas_per_node"):
                deployment.pop(number, None)
            for number in ("min_replicas", "max_replicas"):
                deployment.get("autoscaling_config", {}).pop(number, None)
            if deployment["name"] in MAY_DIFFER.get(name, set()):
                deployment["ray_actor_options"].pop("num_gpus", None)
    assert plain == replicated


def test_llm_s_engine_differs_by_the_router_only() -> None:
    plain, replicated = (
        yaml.safe_load((ROOT / "apps/llm" / variant / "serve.yaml").read_text())["applications"][0]["args"]["engine"]
        for variant in ("gpu", "replicated")
    )
    assert replicated.pop("router")["router"].endswith(".PrefixCacheAffinityRouter")
    assert plain == replicated


# Arguments, and deployments by their GPU, in which staging and prod differ from dev; the file's head says why.
MAY_DIFFER: dict[str, set[str]] = {
    "document-intelligence": {"ner", "classifier", "Ner", "Classifier"},
    "embeddings": set(),
    "gateway": set(),
    "hello": set(),
    "llm": {"engine"},
    "rag": {"store"},
    "support-assistant": {"feedback"},
    "text-analysis": set(),
}


@both
def test_replicas_of_a_store_with_one_writer_are_read_only(environment_name: str, rendered: Rendered) -> None:
    service = one(rendered(overlay(environment_name, "rag")), "RayService")
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    assert application["args"]["store"] == {"kind": "lancedb", "read_only": True}


@both
def test_feedback_outlives_its_replica(environment_name: str, rendered: Rendered) -> None:
    service = one(rendered(overlay(environment_name, "support-assistant")), "RayService")
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    file = Path(application["args"]["feedback"]["path"])
    for place, spec in pod_specs(service):
        mounts = [
            Path(mount["mountPath"]) for mount in spec["containers"][0]["volumeMounts"] if mount["name"] == "shared"
        ]
        assert any(file.is_relative_to(mount) for mount in mounts), place


# --- drift


def placed(environment: str, **changes: Any) -> environments.Placed:
    facts: dict[str, Any] = {
        "pipeline": "rag",
        "environment": environment,
        "head": "1 CPU, 4Gi",
        "groups": {},
        "quota": {},
        "capabilities": ("spread", "quota"),
        "versions": {"pipeline": "sha256:" + "1" * 64, "redis": "sha256:" + "2" * 64},
    }
    return environments.Placed(**(facts | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "same"),
        ({"versions": {"pipeline": environments.NOT_YET, "redis": "sha256:" + "2" * 64}}, "1 digest behind"),
        ({"versions": {"pipeline": environments.NOT_YET, "redis": environments.NOT_YET}}, "2 digests behind"),
        ({"capabilities": ("quota",)}, "component differs: no spread"),
        ({"capabilities": ("spread", "quota", "grpc")}, "component differs: grpc"),
        ({"capabilities": ("spread",), "versions": {"pipeline": environments.NOT_YET}}, "1 digest behind; component"),
    ],
)
def test_drift_is_told_in_digests_and_components(changes: dict[str, Any], said: str) -> None:
    assert environments.drift(placed("prod", **changes), placed("staging")).startswith(said)


def test_a_tag_cannot_be_told_from_a_digest() -> None:
    dev = placed("dev", versions={"pipeline": "dev", "redis": "dev"})
    assert environments.drift(placed("staging"), dev) == "dev runs a tag"
    assert environments.drift(dev, None) == "-"


def test_versions_are_short_and_zeros_are_nothing() -> None:
    assert environments.version(["dev", "dev"]) == "`dev`"
    assert environments.version(["sha256:" + "ab" * 32]) == "`abababababab`"
    assert environments.version([environments.NOT_YET]) == "nothing promoted"


# --- ways into rendered objects


def _service(objects: list[Obj]) -> Obj:
    return one(objects, "RayService")


def _head(objects: list[Obj]) -> dict[str, Any]:
    found: dict[str, Any] = rules.cluster_of(_service(objects))["headGroupSpec"]["template"]["spec"]
    return found


def _groups(objects: list[Obj]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = rules.cluster_of(_service(objects))["workerGroupSpecs"]
    return found


def _hard(objects: list[Obj]) -> dict[str, Any]:
    found: dict[str, Any] = one(objects, "ResourceQuota")["spec"]["hard"]
    return found


def _configure(objects: list[Obj], deployment: str, **values: Any) -> None:
    spec = _service(objects)["spec"]
    config = yaml.safe_load(spec["serveConfigV2"])
    (found,) = (each for each in config["applications"][0]["deployments"] if each["name"] == deployment)
    found.update(values)
    spec["serveConfigV2"] = yaml.safe_dump({**config, "applications": config["applications"]})
    for name in [name for name, value in values.items() if value is None]:
        del found[name]
        spec["serveConfigV2"] = yaml.safe_dump(config)


def _dashboard(port: int, target: int | str) -> Obj:
    return {
        "kind": "Service",
        "metadata": {"name": "dashboard"},
        "spec": {"selector": {}, "ports": [{"name": "http", "port": port, "targetPort": target}]},
    }


def _route(port: int) -> dict[str, Any]:
    return {"backendRefs": [{"name": "rag-head-svc", "port": port}]}
