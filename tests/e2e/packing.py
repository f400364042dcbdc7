"""Random services for test_49_packing: as an object of KubeRay, and, apart from it, as nodes and pods."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from rayops.kube import Obj
from tests.harness.kwok import node, pod

MIB = 2**20
# What a node has beyond its worker, for the daemons of the cluster; less than the smallest step of any replica.
SPARE = {"cpu": 0.05, "memory": 64}
TIERS = ("gold", "iron")


@dataclass(frozen=True)
class Group:
    """Workers of one kind. memory: MiB. where: how the object says its resources."""

    name: str
    workers: int
    cpus: float
    memory: int
    gpus: int
    disks: int
    tier: str
    hosts: int
    where: str


@dataclass(frozen=True)
class Deployment:
    """bundles: (CPUs, MiB, GPUs, disks) of each piece. strategy: "" for one without a placement group."""

    name: str
    replicas: int
    bundles: tuple[tuple[float, int, float, int], ...]
    strategy: str
    per_worker: int
    tier: str


@dataclass(frozen=True)
class Case:
    """A service. number: its place among the cases of a seed."""

    number: int
    groups: tuple[Group, ...]
    deployments: tuple[Deployment, ...]

    def service(self) -> Obj:
        """As a RayService."""
        head = {"rayStartParams": {"num-cpus": "0"}, "template": {"spec": {"containers": [{"name": "ray"}]}}}
        cluster = {"headGroupSpec": head, "workerGroupSpecs": [_group(each) for each in self.groups]}
        application = {"name": "a", "import_path": "a:b", "deployments": [_deployment(d) for d in self.deployments]}
        config = yaml.safe_dump({"applications": [application]})
        return {
            "apiVersion": "ray.io/v1",
            "kind": "RayService",
            "metadata": {"name": f"case-{self.number}"},
            "spec": {"serveConfigV2": config, "rayClusterConfig": cluster},
        }

    def nodes(self) -> Iterator[Obj]:
        """A node for each worker, in the order of groups; none for the head: it has no CPU, and every replica asks."""
        limits = {f"rayops-test/{each.name}": each.per_worker for each in self.deployments if each.per_worker}
        for group in self.groups:
            for number in range(group.workers * group.hosts):
                room = {
                    **limits,
                    "cpu": group.cpus + SPARE["cpu"],
                    "memory": group.memory + SPARE["memory"],
                    "rayops-test/gpu": group.gpus * 100,
                    "rayops-test/disk": group.disks,
                }
                yield self._node(f"{group.name}-{number}", room, group.tier)

    def _node(self, name: str, room: dict[str, float], tier: str) -> Obj:
        labels = {"case": str(self.number), "tier": tier, "worker": name}
        return node(f"c{self.number}-{name}", _quantities(room), labels)

    def pods(self, seed: int) -> list[Obj]:
        """A pod for each piece that lies on one worker, in a random order. Bundles under STRICT_PACK are one."""
        made = [self._pod(*piece) for each in self.deployments for piece in pieces(each)]
        random.Random(seed).shuffle(made)  # noqa: S311 - no secret
        return made

    def _pod(self, each: Deployment, replica: int, part: int, bundle: tuple[float, int, float, int]) -> Obj:
        cpus, memory, gpus, disks = bundle
        asks = {"cpu": cpus, "memory": memory, "rayops-test/gpu": round(gpus * 100), "rayops-test/disk": disks}
        asks |= {f"rayops-test/{each.name}": 1} if each.per_worker else {}
        selector = {"case": str(self.number), **({"tier": each.tier} if each.tier else {})}
        group = f"c{self.number}-{each.name}-{replica}"
        spec: dict[str, Any] = {"labels": {"replica": group}}
        if each.strategy == "STRICT_SPREAD":
            apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"replica": group}}}
            spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
        return pod(f"{group}-{part}", _quantities(asks), selector, **spec)


def pieces(each: Deployment) -> Iterator[tuple[Deployment, int, int, tuple[float, int, float, int]]]:
    """(deployment, replica, piece, what it asks) of all that lies on one worker."""
    for replica in range(each.replicas):
        if each.strategy == "STRICT_PACK":
            yield each, replica, 0, tuple(sum(column) for column in zip(*each.bundles, strict=True))
        else:
            for part, bundle in enumerate(each.bundles):
                yield each, replica, part, bundle


def cases(seed: int, count: int) -> list[Case]:
    """Cases of which about half fit: replicas are drawn until they ask for about what the workers have."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    return [_case(draw, number) for number in range(count)]


def _case(draw: random.Random, number: int) -> Case:
    # kube-scheduler sums GPUs: fractions only where a worker has one device, whole ones where it has more.
    fractions = draw.random() < 0.5
    groups = tuple(_random_group(draw, f"g{each}", fractions=fractions) for each in range(draw.choice([1, 2, 2, 3])))
    return Case(number, groups, random_deployments(draw, groups, fractions=fractions))


def random_deployments(draw: random.Random, groups: tuple[Group, ...], *, fractions: bool) -> tuple[Deployment, ...]:
    """Deployments that together ask for about the CPUs of the groups."""
    room = sum(each.cpus * each.workers * each.hosts for each in groups) * draw.uniform(0.5, 1.05)
    deployments: list[Deployment] = []
    while len(deployments) < 5:
        made = _random_deployment(draw, f"d{len(deployments)}", groups, fractions=fractions)
        room -= made.replicas * sum(bundle[0] for bundle in made.bundles)
        if room < 0 and deployments:
            break
        deployments.append(made)
    return tuple(deployments)


def _random_group(draw: random.Random, name: str, *, fractions: bool) -> Group:
    return Group(
        name=name,
        workers=draw.choice([1, 1, 2, 3]),
        cpus=draw.choice([1, 2, 4]),
        memory=draw.choice([2048, 4096, 8192]),
        gpus=draw.choice([0, 0, 1]) if fractions else draw.choice([0, 0, 1, 2, 4]),
        disks=draw.choice([0, 0, 2]),
        tier=draw.choice(TIERS),
        hosts=draw.choice([1, 1, 1, 1, 2]),
        where=draw.choice(["limits", "requests", "params", "resources"]),
    )


def _random_deployment(draw: random.Random, name: str, groups: tuple[Group, ...], *, fractions: bool) -> Deployment:
    def bundle() -> tuple[float, int, float, int]:
        cpus = draw.choice([0.1, 0.2, 0.5, 0.5, 1, 1, 2])
        gpus = draw.choice([0.25, 0.5, 0.5, 1]) if fractions else draw.choice([1, 1, 2])
        wants_gpu = draw.random() < 0.25 and any(each.gpus for each in groups)
        wants_disk = draw.random() < 0.1 and any(each.disks for each in groups)
        memory = draw.choice([0, 0, 0, 256, 1024, 1536])
        return (cpus, memory, gpus if wants_gpu else 0, 1 if wants_disk else 0)

    tier = draw.choice([each.tier for each in groups]) if draw.random() < 0.2 else ""
    replicas = draw.randint(1, 4)
    if draw.random() < 0.7:
        return Deployment(name, replicas, (bundle(),), "", draw.choice([0, 0, 1, 2]), tier)
    strategy = draw.choice(["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"])
    return Deployment(name, min(replicas, 2), tuple(bundle() for _ in range(draw.randint(2, 3))), strategy, 0, tier)


def _group(each: Group) -> Obj:
    """Its resources where the group says them: four ways that KubeRay reads."""
    memory = f"{each.memory}Mi"
    container: Obj = {"cpu": str(each.cpus), "memory": memory}
    gpus = {"nvidia.com/gpu": str(each.gpus)} if each.gpus else {}
    group: Obj = {
        "groupName": each.name,
        "replicas": each.workers,
        "minReplicas": each.workers,
        "maxReplicas": each.workers,
        "numOfHosts": each.hosts,
        "labels": {"tier": each.tier},
        "rayStartParams": {"resources": f"'{{\"disk\": {each.disks}}}'"} if each.disks else {},
    }
    resources: Obj = {"limits": {**container, **gpus}}
    if each.where == "requests":
        resources = {"requests": {"cpu": str(each.cpus)}, "limits": {"memory": memory, **gpus}}
    elif each.where == "params":
        flags = {"num-cpus": str(each.cpus), "num-gpus": str(each.gpus), "memory": str(each.memory * MIB)}
        group["rayStartParams"] = {**group["rayStartParams"], **flags}
        resources = {"limits": {"cpu": "64", "memory": "1Ti", "nvidia.com/gpu": "7"}}
    elif each.where == "resources":
        group["rayStartParams"] = {}
        group["resources"] = {"CPU": str(each.cpus), "memory": memory, "GPU": str(each.gpus), "disk": str(each.disks)}
        resources = {"limits": {"cpu": "64", "memory": "1Ti"}}
    group["template"] = {"spec": {"containers": [{"name": "ray", "resources": resources}]}}
    return group


def _deployment(each: Deployment) -> Obj:
    made: Obj = {"name": each.name, "num_replicas": each.replicas}
    if each.per_worker:
        made["max_replicas_per_node"] = each.per_worker
    selector = {"tier": each.tier} if each.tier else {}
    if each.strategy:
        made["placement_group_strategy"] = each.strategy
        made["placement_group_bundles"] = [
            {"CPU": cpus, "memory": memory * MIB, "GPU": gpus, "disk": disks}
            for cpus, memory, gpus, disks in each.bundles
        ]
        if selector:
            made["placement_group_bundle_label_selector"] = [selector for _ in each.bundles]
        return made
    ((cpus, memory, gpus, disks),) = each.bundles
    options: Obj = {"num_cpus": cpus, "num_gpus": gpus, "memory": memory * MIB, "resources": {"disk": disks}}
    made["ray_actor_options"] = options | ({"label_selector": selector} if selector else {})
    return made


def _quantities(asks: dict[str, float]) -> dict[str, str]:
    """cpu in cores, memory in MiB, the rest in pieces."""
    found = {}
    for name, value in asks.items():
        if name == "cpu":
            found[name] = f"{round(value * 1000)}m"
        elif value:
            found[name] = f"{round(value)}Mi" if name == "memory" else str(round(value))
    return found


def batches(found: list[Case], size: int) -> Iterator[list[Case]]:
    """So many cases at a time."""
    rest = iter(found)
    while part := list(itertools.islice(rest, size)):
        yield part


@dataclass(frozen=True)
class Fleet:
    """Worker groups on node pools.

    pools: name, CPUs, GiB, GPUs, most nodes, whether tainted. groups: name, CPUs, GiB, GPUs, pods, whether they select.
    """

    number: int
    pools: tuple[tuple[str, int, int, int, int, bool], ...]
    groups: tuple[tuple[str, int, int, int, int, bool], ...]

    def cluster(self) -> Obj:
        """The groups as a RayCluster with a head of one CPU."""
        head = {"spec": {"containers": [{"name": "ray", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}}
        groups = [
            {"groupName": name, "replicas": pods, "minReplicas": pods, "maxReplicas": pods, "template": {"spec": spec}}
            for name, pods, spec in ((group[0], group[4], self._spec(group)) for group in self.groups)
        ]
        spec = {"headGroupSpec": {"template": head}, "workerGroupSpecs": groups}
        return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": f"f{self.number}"}, "spec": spec}

    def _spec(self, group: tuple[str, int, int, int, int, bool]) -> Obj:
        _, cpus, memory, gpus, _, selects = group
        asks = {"cpu": str(cpus), "memory": f"{memory}Gi", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
        # KubeRay's own init container asks for less than any of these.
        spec: Obj = {"containers": [{"name": "ray", "resources": {"requests": asks, "limits": asks}}]}
        return spec | ({"nodeSelector": {"gpu": "yes"}, "tolerations": [_TOLERATION]} if selects else {})

    def prices(self) -> Obj:
        """The pools as a price table."""
        pools = [
            {
                "name": name,
                "labels": {"gpu": "yes"} if gpus else {},
                "taints": ["gpu"] if tainted else [],
                "allocatable": {"cpu": cpus, "memory": f"{memory}Gi", "nvidia.com/gpu": gpus},
                "price_per_hour": 1,
                "maximum": most,
            }
            for name, cpus, memory, gpus, most, tainted in self.pools
        ]
        return {"currency": "EUR", "date": "2026-01-01", "source": "a test", "pools": pools}

    def nodes(self) -> Iterator[Obj]:
        """As many nodes as each pool may have."""
        for name, cpus, memory, gpus, most, tainted in self.pools:
            for number in range(most):
                room = {"cpu": f"{cpus * 1000 + 50}m", "memory": f"{memory * 1024 + 64}Mi", "nvidia.com/gpu": str(gpus)}
                labels = {"case": f"f{self.number}", "worker": f"{name}-{number}", **({"gpu": "yes"} if gpus else {})}
                made = node(f"f{self.number}-{name}-{number}", room, labels)
                made["spec"]["taints"] += [{"key": "gpu", "effect": "NoSchedule"}] if tainted else []
                yield made

    def pods(self) -> Iterator[Obj]:
        """The head and each worker."""
        case = {"case": f"f{self.number}"}
        yield pod(f"f{self.number}-head", {"cpu": "1", "memory": "1Gi"}, case)
        for group in self.groups:
            spec = self._spec(group)
            for number in range(group[4]):
                asks = spec["containers"][0]["resources"]["requests"]
                rest = {"tolerations": spec["tolerations"]} if "tolerations" in spec else {}
                yield pod(f"f{self.number}-{group[0]}-{number}", asks, {**case, **spec.get("nodeSelector", {})}, **rest)


_TOLERATION = {"key": "gpu", "operator": "Exists"}


def fleets(seed: int, count: int) -> list[Fleet]:
    """Random groups on random pools."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    return [_fleet(draw, number) for number in range(count)]


def _fleet(draw: random.Random, number: int) -> Fleet:
    pools = [("plain", draw.choice([4, 8]), draw.choice([8, 16]), 0, draw.randint(1, 4), False)]
    if draw.random() < 0.7:
        tainted = draw.random() < 0.7
        pools.append(("gpus", draw.choice([8, 16]), 32, draw.choice([1, 2, 4]), draw.randint(1, 3), tainted))
    groups = []
    for each in range(draw.randint(1, 3)):
        gpus = draw.choice([1, 2]) if len(pools) > 1 and draw.random() < 0.4 else 0
        pods = draw.randint(1, 4)
        groups.append((f"g{each}", draw.randint(1, 4), draw.choice([1, 2, 4, 6]), gpus, pods, bool(gpus)))
    return Fleet(number, tuple(pools), tuple(groups))
