"""Pods that `rayops.kuberay` predicts against pods that the operator created: both as the API server completes them.

A predicted pod is created as a dry run, so that admission gives it what it gave the live one: defaults, the volume of
the service account's token, tolerations. What is random in either is written the same way.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from rayops.kube import Kube, Obj
from rayops.kube.objects import POD, RAY_CLUSTER, dig, name_of

# What rayops.kuberay writes for a child's random end and for UIDs.
SUFFIX, UID = "-xxxxx", "00000000-0000-0000-0000-000000000000"
TOKEN_VOLUME = re.compile(r"kube-api-access-[a-z0-9]{5}")
# The operator's own marks that tell apart the pods of a group.
PLACE = ("ray.io/group", "ray.io/worker-group-replica-index", "ray.io/replica-host-index")
REPLICA = "ray.io/worker-group-replica-name"


def as_created(kube: Kube, pod: Obj, cluster: Obj, parent: str) -> Obj:
    """A predicted pod as the API server would store it in the live cluster's place. parent: the object's own name."""
    text = json.dumps(pod).replace(UID, str(cluster["metadata"]["uid"])).replace(f"{parent}{SUFFIX}", name_of(cluster))
    asked: Obj = json.loads(text)
    asked["metadata"]["name"] += "-predicted"
    path = f"/api/v1/namespaces/{dig(asked, 'metadata', 'namespace')}/pods"
    created: Obj = kube.json("POST", path, body=asked, query={"dryRun": "All", "fieldValidation": "Strict"})
    return created


def comparable(pod: Obj) -> Obj:
    """Labels, annotations and spec, without what differs from pod to pod: node, token volume, replica's name."""
    meta = pod["metadata"]
    labels = {key: "one" if key == REPLICA else value for key, value in (meta.get("labels") or {}).items()}
    spec = {key: value for key, value in pod["spec"].items() if key != "nodeName"}
    written = {"labels": labels, "annotations": meta.get("annotations") or {}, "spec": spec}
    found: Obj = json.loads(TOKEN_VOLUME.sub("kube-api-access", json.dumps(written)))
    return found


def place(pod: Obj) -> tuple[str, ...]:
    """Which pod of its cluster this is."""
    return tuple(str(dig(pod, "metadata", "labels", key, default="")) for key in PLACE)


def differences(kube: Kube, namespace: str, parent: str, predicted: Sequence[Obj]) -> list[str]:
    """Each field in which a predicted pod and the live one in its place differ, and each pod that only one side has."""
    (cluster,) = kube.list(RAY_CLUSTER, namespace)
    live = {place(pod): pod for pod in kube.list(POD, namespace, labels={"ray.io/cluster": name_of(cluster)})}
    asked = {place(pod): as_created(kube, pod, cluster, parent) for pod in predicted}
    found = [f"{'/'.join(key)}: only {'live' if key in live else 'predicted'}" for key in live.keys() ^ asked.keys()]
    for key in live.keys() & asked.keys():
        pair = comparable(asked[key]), comparable(live[key])
        found += [f"{'/'.join(key)}: {line}" for line in _fields(*pair, "")]
    return sorted(found)


def _fields(left: Any, right: Any, at: str) -> Iterator[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            yield from _fields(left.get(key), right.get(key), f"{at}.{key}" if at else key)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, pair in enumerate(zip(left, right, strict=True)):
            yield from _fields(*pair, f"{at}[{index}]")
    elif left != right:
        yield f"{at}: predicted {left!r}, live {right!r}"
