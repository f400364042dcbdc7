"""From apply to healthy and to the first answer, and the memory at rest, on the cluster of `./scripts/up`.

    .venv/bin/python -m tests.benchmarks.cold_start --runs 5 --out .evidence/cold-start.json

Each run deletes the RayService, waits until its pods are gone, and applies the overlay again; the image is on the node.
Prints one JSON object: every run, medians in seconds, memory of the node (control plane, operator, pipeline) in MB.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from rayops import pipeline, proc
from rayops.cluster import pipeline_image
from rayops.cluster.kind import KindCluster, default_name
from rayops.kube import Health, Kube
from rayops.kube.objects import POD, RAY_SERVICE
from rayops.kube.rollout import wait_healthy
from rayops.kube.wait import Timeout, equals, eventually
from rayops.paths import ROOT

REST_S = 60


def one_run(cluster: KindCluster, kube: Kube, image: str, name: str) -> dict[str, float]:
    """Seconds from apply to healthy and to the first answer, with nothing of the pipeline there before."""
    deployed = pipeline.deploy(kube, ROOT / "overlays" / "local" / name, image)
    kube.delete(RAY_SERVICE, deployed.name, deployed.namespace)
    eventually(lambda: kube.list(POD, deployed.namespace), len, equals(0), Timeout.MEDIUM, "no pods are left")
    started = time.monotonic()
    pipeline.deploy(kube, ROOT / "overlays" / "local" / name, image)
    seen: dict[str, float] = {}

    def tell(health: Health) -> None:
        seen.setdefault(health.layer.label, round(time.monotonic() - started, 1))

    wait_healthy(kube, deployed.namespace, deployed.name, tell=tell)
    healthy = time.monotonic() - started
    pipeline.first_answer(name, f"http://127.0.0.1:{cluster.host_port(deployed.node_ports['serve'])}")
    return {**seen, "healthy": round(healthy, 1), "first answer": round(time.monotonic() - started, 1)}


def memory_mb(cluster: KindCluster) -> float:
    """Memory of the node container without the page cache, as the engine counts it."""
    usage = proc.run(["docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", *cluster.nodes()]).split()[0]
    number, unit = float(usage.rstrip("GiBM")), usage[-3:]
    return round(number * (1073.741824 if unit == "GiB" else 1.048576))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pipeline", default="rag")
    parser.add_argument("--cluster", default=default_name())
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cluster = KindCluster(options.cluster)
    kube = Kube.connect(cluster.kubeconfig)
    image, _ = pipeline_image.ensure(offline=True)
    runs = [one_run(cluster, kube, image, options.pipeline) for _ in range(options.runs)]
    time.sleep(REST_S)
    result = {
        "image": image,
        "image_mb": pipeline_image.size_mb(image),
        "runs": runs,
        "healthy_median_s": statistics.median(run["healthy"] for run in runs),
        "first_answer_median_s": statistics.median(run["first answer"] for run in runs),
        "node_memory_mb": memory_mb(cluster),
    }
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
