"""What the node image must bring so that the guardrails mean something: admission and network policies are enforced."""

import pytest

from rayops.kube import Kube, KubeError, Timeout, eventually, is_so, itself
from rayops.kube.objects import POD
from tests.harness.helpers import helper_pod, run_pods

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
PORT = 8000
FETCH = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=3).status)"


def test_pod_security_admits_a_restricted_pod_and_no_other(kube: Kube, namespace: str) -> None:
    kube.create(helper_pod("restricted", ["sleep", "60"]), namespace=namespace)
    loose = helper_pod("loose", ["sleep", "60"])
    loose["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    with pytest.raises(KubeError, match="violates PodSecurity") as caught:
        kube.create(loose, namespace=namespace)
    assert caught.value.status == 403


def test_a_network_policy_admits_the_friend_and_stops_the_stranger(kube: Kube, namespace: str) -> None:
    sleep = ["sleep", "600"]
    run_pods(
        kube,
        namespace,
        helper_pod("server", ["python", "-m", "http.server", str(PORT), "--directory", "/tmp"], {"app": "server"}),  # noqa: S108
        helper_pod("friend", sleep, {"app": "friend"}),
        helper_pod("stranger", sleep, {"app": "stranger"}),
    )
    address = kube.get(POD, "server", namespace)["status"]["podIP"]

    def reaches(pod: str) -> bool:
        return kube.exec(namespace, pod, ["python", "-c", FETCH, f"http://{address}:{PORT}/"], timeout_s=30).ok

    for pod in ("friend", "stranger"):
        eventually(lambda pod=pod: reaches(pod), itself, is_so, Timeout.SHORT, f"{pod} reaches the server")  # type: ignore[misc]
    kube.apply([_only("friend")], namespace=namespace)
    eventually(lambda: not reaches("stranger"), itself, is_so, Timeout.SHORT, "the stranger is stopped")
    assert reaches("friend")
    assert not reaches("stranger")


def _only(app: str) -> dict[str, object]:
    ingress = [{"from": [{"podSelector": {"matchLabels": {"app": app}}}], "ports": [{"port": PORT}]}]
    spec = {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"], "ingress": ingress}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "only"}, "spec": spec}
