"""Small pods for tests. The node holds no image but ours, so they run the pipeline's."""

from collections.abc import Mapping, Sequence

from rayops.kube import Kube, Obj, Timeout, equals, eventually
from rayops.kube.objects import POD
from tests.harness.selectors import ready_pods

PIPELINE_IMAGE = "local/pipeline:dev"
# The same again as another image, which its environment tells: `IDENTITY` is "next" in it.
NEXT_IMAGE = "local/pipeline:next"
IDENTITY = "RAYOPS_E2E_IMAGE"
RESTRICTED_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def helper_pod(name: str, command: Sequence[str], labels: Mapping[str, str] | None = None) -> Obj:
    """A pod that pod security `restricted` admits and that needs next to nothing."""
    container = {
        "name": "main",
        "image": PIPELINE_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "200m", "memory": "128Mi"}},
        "securityContext": RESTRICTED_CONTAINER,
    }
    spec = {
        "containers": [container],
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": dict(labels or {})}, "spec": spec}


def run_pods(kube: Kube, namespace: str, *pods: Obj) -> None:
    """Create pods and wait until all of them are ready."""
    for pod in pods:
        kube.create(pod, namespace=namespace)
    eventually(
        lambda: [kube.get(POD, pod["metadata"]["name"], namespace) for pod in pods],
        ready_pods,
        equals(len(pods)),
        Timeout.MEDIUM,
        f"{len(pods)} helper pods ready",
    )
