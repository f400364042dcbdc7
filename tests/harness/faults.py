"""What can go wrong on purpose."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rayops.kube import Kube, Obj, Timeout, equals, eventually
from rayops.kube.objects import DEPLOYMENT, POD, name_of
from tests.harness.getters import pods
from tests.harness.selectors import ready_pods, uids

OPERATOR_NAMESPACE = "kuberay-system"
OPERATOR_LABELS = {"app.kubernetes.io/name": "kuberay-operator"}


def kill_pod(kube: Kube, pod: Obj) -> None:
    """Delete a pod at once, without its grace period: what the loss of a machine looks like to the others."""
    kube.delete(POD, name_of(pod), pod["metadata"]["namespace"], grace_s=0)


def delete_pod(kube: Kube, pod: Obj) -> None:
    """Delete a pod with its grace period: what a drain does."""
    kube.delete(POD, name_of(pod), pod["metadata"]["namespace"])


def operator_pods(kube: Kube) -> Callable[[], list[Obj]]:
    """Getter: the pods of the KubeRay operator."""
    return pods(kube, OPERATOR_NAMESPACE, OPERATOR_LABELS)


def restart_operator(kube: Kube) -> None:
    """Delete the operator's pods and wait until others are ready."""
    look = operator_pods(kube)
    before = look()
    if not before:
        raise LookupError(f"no KubeRay operator in namespace {OPERATOR_NAMESPACE}")
    for pod in before:
        delete_pod(kube, pod)
    eventually(
        look,
        lambda found: (uids(found) & uids(before), ready_pods(found)),
        lambda state: not state[0] and state[1] > 0,
        Timeout.MEDIUM,
        "another operator pod ready",
    )


@contextmanager
def without_operator(kube: Kube) -> Iterator[None]:
    """No operator looks at anything inside the block; after it one is ready again."""
    look = operator_pods(kube)
    (deployment,) = kube.list(DEPLOYMENT, OPERATOR_NAMESPACE, labels=OPERATOR_LABELS)

    def scale(replicas: int) -> None:
        kube.patch(DEPLOYMENT, name_of(deployment), OPERATOR_NAMESPACE, {"spec": {"replicas": replicas}})

    scale(0)
    try:
        eventually(look, len, equals(0), Timeout.MEDIUM, "no operator pod left")
        yield
    finally:
        scale(1)
        eventually(look, ready_pods, equals(1), Timeout.MEDIUM, "an operator pod ready")
