"""Ray's own schema accepts the Serve config, its builder can be imported, and what it asks for fits the workers."""

import importlib
import inspect
from typing import Any

import pytest
import yaml

from rayops.errors import RayopsError
from rayops.paths import ROOT
from rayops.render import Obj, asks_of, pod_specs, serve_config, validate_serve_config


def bounds(deployment: dict[str, Any]) -> tuple[int, int]:
    scaling = deployment.get("autoscaling_config")
    if scaling:
        return scaling["min_replicas"], scaling["max_replicas"]
    return deployment["num_replicas"], deployment["num_replicas"]


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
    application, *others = serve_config(service)["applications"]
    package = application["import_path"].split(".")[1]
    original, *_ = yaml.safe_load((ROOT / "apps" / package / "serve.yaml").read_text())["applications"]
    # Another application beside it, as the gateway's own model on a laptop, has a path of its own.
    assert [each["route_prefix"] for each in others] == [f"/{each['name']}" for each in others]
    for key in ("name", "route_prefix", "import_path"):
        assert application[key] == original[key], key
    # A second overlay of an app in the same environment (llm-70b) has its name as a beginning.
    assert service["metadata"]["name"].removesuffix("-70b") == application["name"]
    assert application["route_prefix"] == "/", "clients, samples and probes ask for the app's own paths"
    if engine_of(application) == engine_of(original):
        assert names(application) == names(original)


def engine_of(application: dict[str, Any]) -> str | None:
    """Another engine of llm brings deployments of its own."""
    found: str | None = application.get("args", {}).get("engine", {}).get("kind")
    return found


def names(application: dict[str, Any]) -> set[str]:
    return {deployment["name"] for deployment in application["deployments"]}


def test_replicas_fit_the_groups(service: Obj) -> None:
    """Each replica fits one worker, all at rest fit the workers at rest, all at most fit the workers at most."""
    groups = {each["groupName"]: each for each in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]}
    deployments = [each for application in serve_config(service)["applications"] for each in application["deployments"]]
    cpu, size = groups["cpu"], cpus_of(groups["cpu"])
    plain = [each for each in deployments if not asks_of(each).gpus]
    assert all(asks_of(each).cpus <= size for each in plain)
    for index, count in ((0, cpu["minReplicas"]), (1, cpu["maxReplicas"])):
        total = sum(asks_of(each).cpus * bounds(each)[index] for each in plain)
        assert total <= size * count, f"{total} CPUs asked of {count} workers of {size}"
    for name, group in groups.items():
        there = [each for each in deployments if asks_of(each).gpus and asks_of(each).workers == name]
        most = sum(asks_of(each).gpus * bounds(each)[1] for each in there)
        assert most <= group["maxReplicas"] * group.get("numOfHosts", 1) * gpus_of(group)
        for each in there:
            for cpus, gpus in asks_of(each).bundles:
                assert gpus <= gpus_of(group), f"{each['name']} fits no worker of {name}"
                assert cpus <= cpus_of(group), f"{each['name']} fits no worker of {name}"


def cpus_of(group: dict[str, Any]) -> int:
    return int(group["rayStartParams"]["num-cpus"])


def gpus_of(group: dict[str, Any]) -> int:
    return int(group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0))


def test_load_brings_a_second_worker(service: Obj) -> None:
    """Otherwise the autoscaler of this overlay never has anything to do.

    Where replicas are kept apart, one worker more is the place of a drained one's successor.
    """
    cpu = service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]
    apart = "max_replicas_per_node" in service["spec"]["serveConfigV2"]
    if cpu["maxReplicas"] - cpu["minReplicas"] <= (1 if apart else 0):
        return
    deployments = [each for application in serve_config(service)["applications"] for each in application["deployments"]]
    most = sum(asks_of(each).cpus * bounds(each)[1] for each in deployments if not asks_of(each).gpus)
    assert most > int(cpu["rayStartParams"]["num-cpus"]) * cpu["minReplicas"]


def test_config_of_no_mapping_is_refused() -> None:
    for text, cause in (("", "empty or no mapping"), ("a: [", "is not YAML"), ("application: []", "no list of app")):
        with pytest.raises(RayopsError, match=cause):
            serve_config({"kind": "RayService", "metadata": {"name": "x"}, "spec": {"serveConfigV2": text}})


def test_place_names() -> None:
    cluster = {"kind": "RayCluster", "spec": {"headGroupSpec": {"template": {"spec": {}}}, "workerGroupSpecs": []}}
    assert [place for place, _ in pod_specs(cluster)] == ["head"]
