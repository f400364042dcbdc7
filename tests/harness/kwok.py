"""Simulated nodes: KWOK keeps them Ready, the cluster's own scheduler binds pods to them.

with controller(kube) as nodes:
    nodes.add([node("a", {"cpu": "4"}, {"case": "1"})])
    outcome = nodes.schedule(namespace, pods)     # {pod's name: node's name, or None}

KWOK is built from its pinned Go module (scripts/tools/kwok) and runs beside the cluster, as a process. Its nodes have a
taint that only pods of these tests tolerate, and no label kubernetes.io/os, so that kube-proxy stays away.
"""

import re
import secrets
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from rayops.cluster import gobuild
from rayops.kube import Kube, Obj, Timeout, eventually
from rayops.kube.objects import NODE, POD
from rayops.paths import CACHE, TOOLS, content_hash

TAINT = "kwok.x-k8s.io/node"
LABEL = "rayops-test/simulated"
LOG = CACHE / "logs" / "kwok.log"
_WIDTH = 8


def program() -> Path:
    """KWOK's controller, built into the cache when it is not there."""
    folder = CACHE / "kwok" / content_hash(TOOLS / "kwok")
    if not (folder / "kwok").exists():
        gobuild.build("kwok", ["sigs.k8s.io/kwok/cmd/kwok"], folder, name="kwok.unfinished")
        (folder / "kwok.unfinished").rename(folder / "kwok")
    return folder / "kwok"


def stages() -> list[Path]:
    """KWOK's own files that make nodes Ready and pods run, from its module."""
    folder = gobuild.archive_directory("kwok", "sigs.k8s.io/kwok") / "kustomize" / "stage"
    names = ("node/fast/node-initialize", "node/heartbeat-with-lease/node-heartbeat-with-lease")
    return [*(folder / f"{name}.yaml" for name in names), *sorted((folder / "pod" / "fast").glob("pod-*.yaml"))]


def node(name: str, room: Mapping[str, str], labels: Mapping[str, str]) -> Obj:
    """A node with room for pods: resources by Kubernetes' names; a thousand pods unless `pods` says how many."""
    space = {"pods": "1000", **room}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {TAINT: "fake"},
            "labels": {LABEL: "true", "kubernetes.io/hostname": name, **labels},
        },
        "spec": {"taints": [{"key": TAINT, "value": "fake", "effect": "NoSchedule"}]},
        "status": {"allocatable": space, "capacity": space},
    }


def pod(name: str, requests: Mapping[str, str], selector: Mapping[str, str], **spec: Any) -> Obj:
    """A pod that runs nothing and may go to simulated nodes with these labels."""
    asks = dict(requests)
    container: Obj = {"name": "none", "image": "none", "resources": {"requests": asks, "limits": asks}}
    container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    tolerations = [{"key": TAINT, "operator": "Exists"}, *spec.pop("tolerations", [])]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {LABEL: "true", **spec.pop("labels", {})}},
        "spec": {
            "containers": [container],
            "nodeSelector": {LABEL: "true", **selector},
            "tolerations": tolerations,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            **spec,
        },
    }


class Nodes:
    """Simulated nodes of a cluster."""

    def __init__(self, kube: Kube, process: subprocess.Popen[bytes]) -> None:
        self._kube, self._process = kube, process
        self._mark = secrets.token_hex(4)  # two runs on one cluster leave each other's nodes alone

    def add(self, nodes: Sequence[Obj]) -> None:
        """Make nodes, and wait until each is Ready without the taint of a new one."""
        for each in nodes:
            each["metadata"]["labels"][LABEL] = self._mark
        _each(self._kube.create, nodes)
        eventually(
            lambda: self._kube.list(NODE, labels={LABEL: self._mark}),
            lambda there: sum(map(_usable, there)),
            lambda usable: usable >= len(nodes),
            Timeout.MEDIUM,
            "simulated nodes Ready",
            give_up=lambda _: f"KWOK has ended, see {LOG}" if self._process.poll() is not None else "",
        )

    def schedule(self, namespace: str, pods: Sequence[Obj]) -> dict[str, str | None]:
        """Make pods, in their order, and wait until the scheduler has bound each or called it unschedulable.

        It says of how many nodes none was suitable: a verdict counts only where it knew of all of them.
        """
        count = len(self._kube.list(NODE))
        for each in pods:
            each["metadata"]["labels"][LABEL] = each["spec"]["nodeSelector"][LABEL] = self._mark
        _each(lambda obj: self._kube.create(obj, namespace=namespace), pods)
        eventually(
            lambda: self._kube.list(POD, namespace, labels={LABEL: self._mark}),
            lambda there: sum(_verdict(each, count) for each in there),
            lambda judged: judged == len(pods),
            Timeout.LONG,
            f"a verdict of the scheduler on each of {len(pods)} pods",
        )
        there = self._kube.list(POD, namespace, labels={LABEL: self._mark})
        return {each["metadata"]["name"]: each["spec"].get("nodeName") for each in there}

    def clear(self, namespace: str = "") -> None:
        """Delete the pods of a namespace at once, or all simulated nodes."""
        kind, where = (POD, namespace) if namespace else (NODE, None)
        there = self._kube.list(kind, where, labels={LABEL: self._mark})
        _each(lambda obj: self._kube.delete(kind, obj["metadata"]["name"], where, grace_s=0), there)
        eventually(
            lambda: self._kube.list(kind, where, labels={LABEL: self._mark}),
            len,
            lambda left: not left,
            Timeout.MEDIUM,
            f"simulated {kind.name}s gone",
        )


@contextmanager
def controller(kube: Kube) -> Iterator[Nodes]:
    """KWOK beside a cluster for as long as the context lasts; the nodes are deleted at its end."""
    binary = program()
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kwok-") as folder, LOG.open("wb") as log:
        kubeconfig = Path(folder) / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(kube)))
        kubeconfig.chmod(0o600)
        options = [
            f"--kubeconfig={kubeconfig}",
            f"--manage-nodes-with-annotation-selector={TAINT}=fake",
            "--node-lease-duration-seconds=40",
            *(f"--config={file}" for file in stages()),
        ]
        process = subprocess.Popen([str(binary), *options], stdout=log, stderr=subprocess.STDOUT, env={"HOME": folder})
        nodes = Nodes(kube, process)
        try:
            yield nodes
        finally:
            nodes.clear()
            process.terminate()
            process.wait(timeout=30)


def _kubeconfig(kube: Kube) -> Obj:
    """The connection of a client as a file for KWOK."""
    made = kube.configuration
    user = {"client-certificate": made.cert_file, "client-key": made.key_file}
    token = (made.api_key or {}).get("authorization", "").removeprefix("Bearer ")
    user = {key: value for key, value in user.items() if value} | ({"token": token} if token else {})
    server = {"server": made.host, "certificate-authority": made.ssl_ca_cert}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "clusters": [{"name": "here", "cluster": {key: value for key, value in server.items() if value}}],
        "users": [{"name": "here", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
    }


def _each(action: Any, objects: Iterable[Obj]) -> None:
    """Several at a time; raises what the first of them raised."""
    with ThreadPoolExecutor(_WIDTH) as pool:
        list(pool.map(action, objects))


def _usable(each: Obj) -> bool:
    new = any(taint["key"].startswith("node.kubernetes.io/") for taint in each["spec"].get("taints") or [])
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in (each.get("status") or {}).get("conditions") or []
    )
    return ready and not new


def _verdict(each: Obj, count: int) -> bool:
    if each["spec"].get("nodeName"):
        return True
    conditions = (each.get("status") or {}).get("conditions") or []
    said = [c for c in conditions if c["type"] == "PodScheduled" and c.get("reason") == "Unschedulable"]
    known = [re.match(r"0/(\d+) nodes are available", each.get("message", "")) for each in said]
    return any(each and int(each[1]) >= count for each in known)
