"""Ray's own schema accepts the Serve config, its builder can be imported, and what it asks for fits the workers."""

import importlib
import inspect
from typing import Any

import pytest
import yaml

from rayops.errors import RayopsError
from rayops.paths import app_folder
from rayops.render import Obj, pod_specs, serve_config, validate_serve_config


def bounds(deployment: dict[str, Any]) -> tuple[int, int]:
    scaling = deployment.get("autoscaling_config")
    if scaling:
        return scaling["min_replicas"], scaling["max_replicas"]
    return deployment["num_replicas"], deployment["num_replicas"]


def asked(deployment: dict[str, Any], resource: str) -> float:
    return float(deployment.get("ray_actor_options", {}).get(resource, 1 if resource == "num_cpus" else 0))


def test_ray_accepts_it(service: Obj) -> None:
    assert validate_serve_config(service)["applications"]


def test_ray_refuses_a_misspelt_field(service: Obj) -> None:
    text = service["spec"]["serveConfigV2"].replace("num_replicas", "num_replica", 1)
    with pytest.raises(RayopsError, match=r"applications\.0\.deployments\.0.*num_replica"):
        validate_serve_config({**service, "spec": {"serveConfigV2": text}})


def test_builder_is_importable(service: Obj) -> None:
    for application in serve_config(service)["applications"]:
        module, name = application["import_path"].split(":")
        builder = getattr(importlib.import_module(module), name)
        assert callable(builder)
        (parameter,) = inspect.signature(builder).parameters.values()
        parameter.annotation.model_validate(application.get("args", {}))


def test_names_and_prefix_are_the_app_s(service: Obj) -> None:
    """What the overlay runs is called as the app calls it, whichever variant of the app that is."""
    (application,) = serve_config(service)["applications"]
    app = yaml.safe_load((app_folder(service["metadata"]["name"]) / "serve.yaml").read_text())
    (original,) = app["applications"]
    for key in ("name", "route_prefix", "import_path"):
        assert application[key] == original[key], key
    assert application["name"] == service["metadata"]["name"]
    assert application["route_prefix"] == "/", "clients, samples and probes ask for the app's own paths"
    assert names(application) == names(original)


def names(application: dict[str, Any]) -> set[str]:
    return {deployment["name"] for deployment in application["deployments"]}


def test_replicas_fit_the_groups(service: Obj) -> None:
    """Each replica fits one worker, all at rest fit the workers at rest, all at most fit the workers at most."""
    cpu, gpu = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][:2]
    deployments = [each for application in serve_config(service)["applications"] for each in application["deployments"]]
    size = int(cpu["rayStartParams"]["num-cpus"])
    plain = [each for each in deployments if not asked(each, "num_gpus")]
    assert all(asked(each, "num_cpus") <= size for each in plain)
    for index, count in ((0, cpu["minReplicas"]), (1, cpu["maxReplicas"])):
        total = sum(asked(each, "num_cpus") * bounds(each)[index] for each in plain)
        assert total <= size * count, f"{total} CPUs asked of {count} workers of {size}"
    most_gpus = sum(asked(each, "num_gpus") * bounds(each)[1] for each in deployments)
    gpus = int(gpu["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
    assert most_gpus <= gpu["maxReplicas"] * gpus
    for each in deployments:
        if asked(each, "num_gpus"):
            assert asked(each, "num_gpus") <= gpus, f"{each['name']} fits no GPU worker"
            assert asked(each, "num_cpus") <= int(gpu["rayStartParams"]["num-cpus"])


def test_load_brings_a_second_worker(service: Obj) -> None:
    """Otherwise the autoscaler of this overlay never has anything to do.

    Where replicas are kept apart, one worker more is the place of a drained one's successor.
    """
    cpu = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    apart = "max_replicas_per_node" in service["spec"]["serveConfigV2"]
    if cpu["maxReplicas"] - cpu["minReplicas"] <= (1 if apart else 0):
        return
    deployments = [each for application in serve_config(service)["applications"] for each in application["deployments"]]
    most = sum(asked(each, "num_cpus") * bounds(each)[1] for each in deployments if not asked(each, "num_gpus"))
    assert most > int(cpu["rayStartParams"]["num-cpus"]) * cpu["minReplicas"]


def test_config_of_no_mapping_is_refused() -> None:
    for text, cause in (("", "empty or no mapping"), ("a: [", "is not YAML"), ("application: []", "no list of app")):
        with pytest.raises(RayopsError, match=cause):
            serve_config({"kind": "RayService", "metadata": {"name": "x"}, "spec": {"serveConfigV2": text}})


def test_place_names() -> None:
    cluster = {"kind": "RayCluster", "spec": {"headGroupSpec": {"template": {"spec": {}}}, "workerGroupSpecs": []}}
    assert [place for place, _ in pod_specs(cluster)] == ["head"]
