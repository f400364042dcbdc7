"""Rules of an environment over rendered objects. Each returns what is wrong, in words; nothing, where all is well."""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from rayops.paths import ROOT
from rayops.render import Obj, asks_of, of_kind, pod_specs, serve_config

# KubeRay's Job that takes a dead cluster's keys out of Redis (rayservice and raycluster controllers of 1.6.2).
CLEANUP = {"requests.cpu": Decimal("0.2"), "requests.memory": Decimal(256 * 2**20), "pods": Decimal(1)}
MOST_SPARE = Decimal("1.5")
# Ports that run code or hold a cluster's state: dashboard, Ray Client, GCS, the nodes' agent.
INSIDE_ONLY = {8265, 10001, 6379, 52365, "dashboard", "client", "gcs-server"}
SIZES = re.compile(
    r"\.resources\.(requests|limits)\.|\.(min|max)?[rR]eplicas$|\.rayStartParams\.(num-cpus|object-store-memory)$"
    r"|\.autoscalerOptions\.idleTimeoutSeconds$|^ResourceQuota \S+\.spec\.hard\."
)
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}")


def cluster_of(obj: Obj) -> dict[str, Any]:
    """The cluster of a RayService or RayJob."""
    found: dict[str, Any] = obj["spec"].get("rayClusterConfig") or obj["spec"]["rayClusterSpec"]
    return found


def deployments_of(service: Obj) -> list[dict[str, Any]]:
    """The deployments of all applications of a RayService."""
    return [each for application in serve_config(service)["applications"] for each in application["deployments"]]


def replicas(deployment: dict[str, Any]) -> tuple[int, int]:
    """Fewest and most."""
    scaling = deployment.get("autoscaling_config")
    if scaling:
        return scaling["min_replicas"], scaling["max_replicas"]
    return deployment["num_replicas"], deployment["num_replicas"]


# --- staging and prod


def differences(one: list[Obj], other: list[Obj], names: tuple[str, str]) -> list[str]:
    """Where two environments render to something else than sizes, digests and their own names."""
    sides = ({_title(obj): obj for obj in objects} for objects in (one, other))
    first, second = sides
    found = [f"only one has {title}" for title in first.keys() ^ second.keys()]
    for title in first.keys() & second.keys():
        found += _differing(title, first[title], second[title], names)
    return sorted(found)


def _title(obj: Obj) -> str:
    return f"{obj['kind']} {obj['metadata']['name']}"


def _differing(place: str, one: Any, other: Any, names: tuple[str, str]) -> Iterator[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one.keys() | other.keys():
            if key in one and key in other:
                yield from _differing(f"{place}.{key}", one[key], other[key], names)
            else:
                yield f"{place}.{key}: only one has it"
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differing(f"{place}.{number}", left, right, names)
    elif one != other and not SIZES.search(place) and _plain(place, one, names[0]) != _plain(place, other, names[1]):
        yield f"{place}: {one!r} and {other!r}"


def _plain(place: str, value: Any, environment: str) -> str:
    """A value without the environment's name, digests, and the width of a job."""
    text = re.sub(rf"\b{environment}\b", "ENVIRONMENT", DIGEST.sub("@DIGEST", str(value)))
    return re.sub(r"--concurrency \d+", "--concurrency N", text) if place.endswith("spec.entrypoint") else text


# --- quota


def peak(objects: list[Obj]) -> dict[str, Decimal]:
    """What a namespace asks at most: two whole clusters of a service (one of a job), and what stands beside them."""
    total = dict.fromkeys(("requests.cpu", "requests.memory", "requests.nvidia.com/gpu", "pods"), Decimal(0))
    total["persistentvolumeclaims"] = Decimal(len(of_kind(objects, "PersistentVolumeClaim")))
    for obj in objects:
        for times, pod in _pods(obj):
            _add(total, pod, times)
        spec = obj.get("spec") or {}
        total["persistentvolumeclaims"] += len(spec.get("volumeClaimTemplates") or []) * spec.get("replicas", 1)
    return total


def _pods(obj: Obj) -> Iterator[tuple[int, dict[str, Decimal]]]:
    spec = obj.get("spec") or {}
    if obj["kind"] not in ("RayService", "RayJob"):
        for _, pod in pod_specs(obj) if obj["kind"] != "PodTemplate" else ():
            yield int(spec.get("replicas", spec.get("parallelism", 1))), _requests(pod)
        return
    cluster = cluster_of(obj)
    clusters = 2 if obj["kind"] == "RayService" else 1
    # A replica of a group is one pod, or several hosts.
    most = {
        group["groupName"]: int(group["maxReplicas"]) * int(group.get("numOfHosts") or 1)
        for group in cluster["workerGroupSpecs"]
    }
    for place, pod in pod_specs(obj):
        asks = _requests(pod)
        if place == "head" and cluster.get("enableInTreeAutoscaling"):
            beside = _of_container(cluster["autoscalerOptions"]["resources"])
            asks = {name: asks.get(name, Decimal(0)) + beside.get(name, Decimal(0)) for name in asks | beside}
            asks["pods"] = Decimal(1)
        yield (1 if place == "submitter" else clusters * most.get(place, 1)), asks
    if "gcsFaultToleranceOptions" in cluster:
        yield 1, CLEANUP


def _requests(pod: Obj) -> dict[str, Decimal]:
    """What the scheduler counts for a pod: the sum of its containers, or one init container where that is more."""
    running: dict[str, Decimal] = {}
    for container in pod["containers"]:
        for name, value in _of_container(container["resources"]).items():
            running[name] = running.get(name, Decimal(0)) + value
    for container in pod.get("initContainers") or []:
        for name, value in _of_container(container["resources"]).items():
            running[name] = max(running.get(name, Decimal(0)), value)
    return {**running, "pods": Decimal(1)}


def _of_container(resources: dict[str, Any]) -> dict[str, Decimal]:
    return {f"requests.{name}": parse_quantity(value) for name, value in resources["requests"].items()}


def _add(total: dict[str, Decimal], pod: dict[str, Decimal], times: int) -> None:
    for name, value in pod.items():
        total[name] = total.get(name, Decimal(0)) + times * value


def quota_faults(objects: list[Obj]) -> list[str]:
    """Where the quota does not hold the peak, or holds more than half as much again."""
    quotas = of_kind(objects, "ResourceQuota")
    if len(quotas) != 1:
        return [f"{len(quotas)} quotas"]
    hard = quotas[0]["spec"]["hard"]
    found = []
    for name, needed in peak(objects).items():
        if name not in hard:
            found += [f"{name} has no quota"] if needed else []
        elif not needed <= parse_quantity(hard[name]) <= MOST_SPARE * needed:
            found.append(f"{name}: {hard[name]} for a peak of {needed}")
    return found


# --- replicas


def single_replicas() -> set[tuple[str, str]]:
    """(pipeline, deployment) of the table of exceptions in overlays/README.md; each has a reason."""
    section = (
        (ROOT / "overlays/README.md").read_text().partition("## One replica, all the same")[2].partition("\n## ")[0]
    )
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert all(len(row) == 4 and len(row[3]) > 30 for row in cells), "an exception has a reason"
    return {(row[0], row[1]) for row in cells}


def replica_faults(service: Obj, allowed: Iterable[tuple[str, str]]) -> list[str]:
    """Where a lost worker, a drained one or a rolling change would be a gap."""
    name, groups = service["metadata"]["name"], {g["groupName"]: g for g in cluster_of(service)["workerGroupSpecs"]}
    found = []
    alone = [each for each in deployments_of(service) if (name, each["name"]) in set(allowed)]
    deployments = [each for each in deployments_of(service) if each not in alone]
    for each in deployments:
        least, most = replicas(each)
        group = groups[asks_of(each).workers]
        apart = _on_one_worker(each, group)
        if least < 2:
            found.append(f"{each['name']}: {least} replica")
        elif least <= apart:
            found.append(f"{each['name']}: {least} replicas may all be on one worker (max_replicas_per_node)")
        if most > apart * group["maxReplicas"]:
            found.append(f"{each['name']}: {most} replicas, {apart} on each of {group['maxReplicas']} workers")
    # A group that only an exception runs on has as few workers as that one has replicas.
    theirs = {asks_of(each).workers for each in alone} - {asks_of(each).workers for each in deployments}
    serving = [group for name, group in groups.items() if group["maxReplicas"] and name not in theirs - {"cpu", "gpu"}]
    found += [f"group {each['groupName']}: {each['minReplicas']} worker" for each in serving if each["minReplicas"] < 2]
    return found + _crowded(deployments, groups["gpu"])


def _on_one_worker(deployment: dict[str, Any], group: dict[str, Any]) -> int:
    """How many replicas one worker may hold. Serve keeps those with a placement group apart by nothing but its GPUs."""
    most = int(deployment.get("max_replicas_per_node", replicas(deployment)[1]))
    asks = asks_of(deployment)
    if "placement_group_bundles" not in deployment or not asks.gpus:
        return most
    there = group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]
    return min(most, int(float(there) // asks.gpus))


def _crowded(deployments: list[dict[str, Any]], group: dict[str, Any]) -> list[str]:
    """Ray puts replicas without a GPU on GPU workers too: those that need one must find CPUs there all the same."""
    if not group["maxReplicas"]:
        return []
    most = sum(asks_of(each).cpus * _on_one_worker(each, group) for each in deployments)
    there = int(group["rayStartParams"]["num-cpus"])
    return [f"group gpu: {most:g} Ray CPUs asked of {there}"] if most > there else []


# --- ways in


def exposures(objects: list[Obj]) -> list[str]:
    """Services and routes that lead in past the ingress, or to a port that nobody outside may reach."""
    found = []
    services = [(name, spec) for obj in objects for name, spec in _services(obj)]
    for name, spec in services:
        if spec.get("type", "ClusterIP") != "ClusterIP":
            found.append(f"Service {name} is a {spec['type']}")
        for port in spec.get("ports") or []:
            ends = {port["port"], port.get("targetPort", port["port"])}
            redis = name == "gcs-redis" and spec["selector"] == {"app.kubernetes.io/name": "gcs-redis"}
            if ends & INSIDE_ONLY and not redis:
                found.append(f"Service {name} leads to {port['port']}")
    routes = [obj for obj in objects if obj["kind"] in ("Ingress", "HTTPRoute", "GRPCRoute", "TCPRoute")]
    for obj in routes:
        found += [f"{_title(obj)} leads to port {port}" for port in _backends(obj) if port not in (8000, 9000)]
    return found


def _services(obj: Obj) -> Iterator[tuple[str, dict[str, Any]]]:
    if obj["kind"] == "Service":
        yield obj["metadata"]["name"], obj["spec"]
    if obj["kind"] == "RayService":
        yield f"{obj['metadata']['name']}-serve-svc", obj["spec"]["serveService"]["spec"]


def _backends(node: Any) -> Iterator[Any]:
    """The ports of all backends below a node: `port: {number: 8000}` of an Ingress, `port: 8000` of a route."""
    if isinstance(node, dict):
        if "port" in node and "name" in node:
            port = node["port"]
            yield port.get("number", port.get("name")) if isinstance(port, dict) else port
        for value in node.values():
            yield from _backends(value)
    elif isinstance(node, list):
        for value in node:
            yield from _backends(value)
