"""What every rendered RayService must be, whatever its environment and its pipeline."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rayops.paths import ROOT
from rayops.render import Obj, containers, of_kind, one, pod_specs

Rendered = Callable[[Path], list[Obj]]
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
WAIT = "wait-gcs"


def cluster(service: Obj) -> dict[str, Any]:
    found: dict[str, Any] = service["spec"]["rayClusterConfig"]
    return found


def cpus(amount: str) -> float:
    return float(amount[:-1]) / 1000 if amount.endswith("m") else float(amount)


def octets(amount: str) -> float:
    return float(amount[:-2]) * UNITS[amount[-2:]]


def env_of(container: Obj) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container.get("env", [])}


def ray_containers(service: Obj) -> list[Obj]:
    return [spec["containers"][0] for _, spec in pod_specs(service)]


def test_nothing_runs_on_the_head(service: Obj) -> None:
    assert cluster(service)["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert service["spec"]["excludeHeadPodFromServeSvc"] is True


def test_groups_keep_their_order_and_their_names_apart(service: Obj) -> None:
    names = [group["groupName"] for group in cluster(service)["workerGroupSpecs"]]
    assert names[:2] == ["cpu", "gpu"]
    assert len(names) == len(set(names)), names


def test_gpu_group_asks_for_gpus_and_for_their_nodes(pipeline: Path, service: Obj) -> None:
    gpu = cluster(service)["workerGroupSpecs"][1]["template"]["spec"]
    (number,) = re.findall(r"^gpuGpus=(\d+)$", (ROOT / pipeline / "sizing.env").read_text(), re.MULTILINE)
    resources = gpu["containers"][0]["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == resources["requests"]["nvidia.com/gpu"] == number
    assert gpu["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert gpu["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]


def test_kuberay_finds_the_head_ports_by_name(service: Obj) -> None:
    ports = {port["name"]: port["containerPort"] for port in ray_containers(service)[0]["ports"]}
    grpc = {port["name"]: port["port"] for port in service["spec"]["serveService"]["spec"]["ports"][1:]}
    assert ports == {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080, "serve": 8000, **grpc}


def test_serve_environment_is_the_same_on_head_and_workers(service: Obj) -> None:
    tuned = [
        {name: value for name, value in env_of(container).items() if name.startswith("RAY_SERVE_")}
        for container in ray_containers(service)
    ]
    assert all(env == tuned[0] for env in tuned)
    both = {tuned[0].get("RAY_SERVE_ENABLE_HA_PROXY"), tuned[0].get("RAY_SERVE_THROUGHPUT_OPTIMIZED")}
    assert both == {"1"}, "one without the other leaves workers without a listener"


def test_no_environment_variable_twice(service: Obj) -> None:
    for place, container in containers(service):
        names = [entry["name"] for entry in container.get("env", [])]
        assert len(names) == len(set(names)), place


def test_pods_pass_the_restricted_standard(pipeline: Path, rendered: Rendered) -> None:
    service = one(rendered(pipeline), "RayService")
    for place, spec in pod_specs(service):
        assert spec["securityContext"]["runAsNonRoot"] is True, place
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, place
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), place
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "projected", "secret", "csi", "persistentVolumeClaim", "ephemeral"}
    contexts = [(place, container.get("securityContext")) for place, container in containers(service)]
    if cluster(service).get("enableInTreeAutoscaling"):
        contexts.append(("head/autoscaler", cluster(service)["autoscalerOptions"]["securityContext"]))
    for place, context in contexts:
        assert context == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}, place
    labels = one(rendered(pipeline), "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_only_an_autoscaled_head_holds_a_token(service: Obj) -> None:
    scaled = bool(cluster(service).get("enableInTreeAutoscaling"))
    tokens = {place: spec["automountServiceAccountToken"] for place, spec in pod_specs(service)}
    assert tokens.pop("head") is scaled
    assert not any(tokens.values())


def test_requests_lie_below_limits_and_objects_below_memory(service: Obj) -> None:
    config = cluster(service)
    for group in [config["headGroupSpec"], *config["workerGroupSpecs"]]:
        resources = group["template"]["spec"]["containers"][0]["resources"]
        requests, limits = resources["requests"], resources["limits"]
        assert cpus(requests["cpu"]) <= cpus(limits["cpu"])
        assert octets(requests["memory"]) <= octets(limits["memory"])
        assert int(group["rayStartParams"]["object-store-memory"]) < octets(limits["memory"]) / 3
        assert "resources" not in group, "KubeRay refuses a resources map beside num-cpus"


def test_every_worker_waits_for_the_head_by_itself(service: Obj) -> None:
    for place, spec in pod_specs(service):
        if place == "head":
            continue
        wait = [container for container in spec["initContainers"] if container["name"] == WAIT]
        assert len(wait) == 1
        assert "${FQ_RAY_IP}/6379" in wait[0]["command"][-1]
        assert wait[0]["image"] == spec["containers"][0]["image"], "a second image would have to be pulled"


def test_drain_fits_into_the_grace_period(service: Obj) -> None:
    for place, spec in pod_specs(service):
        container = spec["containers"][0]
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [""])[-1]
        sleep = sum(int(seconds) for seconds in re.findall(r"sleep (\d+)", hook))
        drain = float(env_of(container)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
        assert sleep + drain <= spec["terminationGracePeriodSeconds"] - 5, place
        assert (sleep > 0 and drain > 0) is (place != "head")


def test_budget_counts_the_workers_of_any_cluster(pipeline: Path, rendered: Rendered) -> None:
    service = one(rendered(pipeline), "RayService")
    budget = one(rendered(pipeline), "PodDisruptionBudget")["spec"]
    assert isinstance(budget["minAvailable"], int)
    assert "maxUnavailable" not in budget, "RayCluster has no scale subresource to take a share of"
    groups = cluster(service)["workerGroupSpecs"]
    for group in groups:
        carried = {**group["template"]["metadata"]["labels"], "ray.io/node-type": "worker"}
        assert budget["selector"]["matchLabels"].items() <= carried.items()
    head = cluster(service)["headGroupSpec"]["template"]["metadata"]["labels"]
    assert not budget["selector"]["matchLabels"].items() <= {**head, "ray.io/node-type": "head"}.items()


def test_dashboard_door_leads_to_the_head(pipeline: Path, rendered: Rendered) -> None:
    head = cluster(one(rendered(pipeline), "RayService"))["headGroupSpec"]["template"]
    for door in (each for each in of_kind(rendered(pipeline), "Service") if each["metadata"]["name"] == "dashboard"):
        carried = {**head["metadata"]["labels"], "ray.io/node-type": "head"}
        assert door["spec"]["selector"].items() <= carried.items()
