"""GPUs that are only advertised: enough for scheduling, placement and autoscaling; no program can compute on them."""

import base64
import contextlib
import json
from collections.abc import Iterator

from rayops import proc
from rayops.kube import GPU_RESOURCE, Kube, Timeout, dig, equals, eventually
from rayops.kube.objects import NODE, name_of


def worker_nodes(kube: Kube) -> list[str]:
    """Names of the nodes that pods may be scheduled on."""
    nodes = kube.list(NODE)
    taints = {name_of(node): [t.get("effect") for t in dig(node, "spec", "taints", default=[])] for node in nodes}
    return [name for name, effects in taints.items() if "NoSchedule" not in effects]


@contextlib.contextmanager
def advertised_gpus(kube: Kube, count: int) -> Iterator[str]:
    """One node has `count` GPUs while the block runs; its name."""
    node = worker_nodes(kube)[0]
    kube.advertise_gpus(node, count)
    try:
        eventually(
            lambda: kube.get(NODE, node),
            lambda found: dig(found, "status", "allocatable", GPU_RESOURCE),
            equals(str(count)),
            Timeout.SHORT,
            f"node {node} has {count} GPUs to give",
        )
        yield node
    finally:
        kube.advertise_gpus(node, 0)


# ONNX Runtime that says it has CUDA and computes on the CPU. Compiled files in the image are unchecked: its own goes.
SHIM = """
_OnCpu = InferenceSession


def get_available_providers():
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]


class InferenceSession(_OnCpu):
    def __init__(self, *arguments, providers=None, **options):
        super().__init__(*arguments, providers=["CPUExecutionProvider"], **options)

    def get_providers(self):
        return get_available_providers()
"""
PATCH = """
import base64, importlib.util, pathlib, sys
file = pathlib.Path(importlib.util.find_spec("onnxruntime").origin)
file.write_text(file.read_text() + base64.b64decode(sys.argv[1]).decode())
[compiled.unlink() for compiled in (file.parent / "__pycache__").glob("__init__.*")]
"""


def stand_in_image(base: str, reference: str) -> str:
    """The image `pipeline-gpu` for nodes that only advertise GPUs; its reference.

    Everything runs as in the pipeline image; where a deployment asks ONNX Runtime for CUDA, it is told that it has it,
    and gets the CPU. So Serve configs with `device: cuda` run unchanged, and nothing is proven about a real GPU.
    """
    shim = base64.b64encode(SHIM.encode()).decode()
    lines = [
        f"FROM {base}",
        "USER 0:0",
        f"RUN {json.dumps(['/srv/venv/bin/python', '-c', PATCH, shim])}",
        "USER 1000:1000",
    ]
    proc.run(["docker", "build", "--tag", reference, "-"], stdin="\n".join(lines) + "\n", env={"DOCKER_BUILDKIT": "0"})
    return reference
