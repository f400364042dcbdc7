"""Talk to a cluster: objects, waiting, health, evidence. Knows no tests. Importing this does not import the client.

kube = Kube.connect(kubeconfig)
kube.apply(objects)
wait_healthy(kube, "rag", "rag", tell=print)
print(probe(url + "/ask", {"question": "What is a RayService?"}).body)
"""

from rayops.kube.client import GPU_RESOURCE, Kube, server_is_local
from rayops.kube.errors import KubeError, NotFoundError, RemoteClusterError
from rayops.kube.evidence import save_evidence
from rayops.kube.forward import Forward
from rayops.kube.health import assess, judge
from rayops.kube.objects import Kind, Obj, dig
from rayops.kube.pods import ExecResult
from rayops.kube.probe import Answer, probe
from rayops.kube.rollout import look, wait_healthy
from rayops.kube.verdict import Health, Layer, Status, Verdict
from rayops.kube.wait import Timeout, WaitError, equals, eventually, is_so, itself

__all__ = [
    "GPU_RESOURCE",
    "Answer",
    "ExecResult",
    "Forward",
    "Health",
    "Kind",
    "Kube",
    "KubeError",
    "Layer",
    "NotFoundError",
    "Obj",
    "RemoteClusterError",
    "Status",
    "Timeout",
    "Verdict",
    "WaitError",
    "assess",
    "dig",
    "equals",
    "eventually",
    "is_so",
    "itself",
    "judge",
    "look",
    "probe",
    "save_evidence",
    "server_is_local",
    "wait_healthy",
]
