"""Staging and prod on kind, as they are in Git but for what the sizes of a laptop ask: images, way in, scaled-down."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rayops import proc
from rayops.cluster import rootfs, tools
from rayops.kube import Kube, Obj, Timeout, dig, eventually
from rayops.kube.objects import NAMESPACE, POD, RAY_SERVICE, Kind, kind_of, name_of
from rayops.paths import ROOT
from rayops.pipeline import sample_of
from rayops.render import render
from tests.harness import Cluster, Load, Request, ServiceUnderTest, getters, gpu, namespaces
from tests.harness.helpers import PIPELINE_IMAGE
from tests.harness.kind import OwnCluster
from tests.harness.platform import establish, fill_secrets, give_volumes, way_in
from tests.harness.registry import ClusterRegistry

REGISTRY = "registry.example.com"
GPUS = 8
VOLUME = Kind("v1", "PersistentVolume")
# The digest that stands in Git until something is promoted.
NOT_YET = re.compile(r"sha256:0{64}")


@dataclass
class Fronted(ServiceUnderTest):
    """A RayService that is reached as users reach it: through a way in outside its namespace."""

    front: str = field(default="", kw_only=True)

    @property
    def url(self) -> str:
        """Loopback address of the way in."""
        return self.cluster.address(self.front, "way-in", "serve")

    def sample_load(self, log: Path, *, timeout_s: float = 5.0) -> Load:
        """The pipeline's sample, five times a second, each on a new connection."""
        sample, url = sample_of(self.name), self.url
        request = Request(sample.body)
        return Load(f"{url}{sample.path}", [request], log=log, rate=5, keep_alive=False, timeout_s=timeout_s)


def own(cluster: Cluster) -> OwnCluster:
    """The cluster, known to be ours: only such nodes get a registry and volumes."""
    assert isinstance(cluster, OwnCluster)
    return cluster


def push_images(registry: ClusterRegistry) -> dict[str, str]:
    """Push what staging and prod run, under the names that stand in the overlays; digest by name."""
    images = {
        "ray/pipeline": PIPELINE_IMAGE,
        "ray/pipeline-gpu": gpu.stand_in_image(PIPELINE_IMAGE, "local/pipeline-gpu:stand-in"),
        "ray/redis": rootfs.ensure("redis", ["redis-server"]),
    }
    return {f"{registry.host}/{name}": registry.push(image, name) for name, image in images.items()}


def working_tree(folder: Path, digests: dict[str, str]) -> Path:
    """A copy of what `kubectl apply -k` reads, with the digests of the registry in the place of those in Git."""
    for part in ("base", "overlays", "apps"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("*.py", "*.md", "__pycache__"))
    shutil.copytree(ROOT / "tests/e2e/scaled-down", folder / "scaled-down")
    for file in sorted((folder / "overlays").glob("*/**/kustomization.yaml")):
        pinned = [name for name in digests if re.search(rf"{re.escape(name)}\b(?!-).*digest", file.read_text())]
        if pinned and file.parts[-3 if file.parent.name != "images" else -4] in ("staging", "prod"):
            edit: list[str | Path] = [
                tools.path("kustomize"),
                "edit",
                "set",
                "image",
                *(f"{name}@{digests[name]}" for name in pinned),
            ]
            proc.run(edit, cwd=file.parent)
    return folder


def scaled_down(tree: Path, environment: str, pipeline: str) -> list[Obj]:
    """The objects of an overlay of the tree, with the one component that scales sizes down after it."""
    folder = tree / "run" / f"{environment}-{pipeline}"
    folder.mkdir(parents=True, exist_ok=True)
    resources = f"../../overlays/{environment}/{pipeline}"
    (folder / "kustomization.yaml").write_text(f"resources: [{resources}]\ncomponents: [../../scaled-down]\n")
    objects = render(folder)
    assert not NOT_YET.search(str(objects)), "an image was left without a digest"
    return objects


@contextmanager
def running(
    cluster: Cluster, kube: Kube, objects: Sequence[Obj], platform: Sequence[Obj], live: list[str]
) -> Iterator[Fronted]:
    """The overlay's objects in their own namespace, healthy and answering through a way in; all removed at the end.

    live: the namespaces whose evidence is kept when a test fails.
    """
    service = next(obj for obj in objects if obj["kind"] == "RayService")
    namespace, name = service["metadata"]["namespace"], name_of(service)
    with ExitStack() as stack:
        stack.enter_context(gpu.advertised_gpus(kube, GPUS))
        establish(kube, [*platform, *objects])
        kube.apply(platform)
        stack.callback(without_policies, kube, platform)
        kube.apply([obj for obj in objects if obj["kind"] == "Namespace"])
        stack.callback(remove, kube, namespace, name)
        live.append(namespace)
        stack.callback(live.remove, namespace)
        fill_secrets(kube, objects, namespace)
        give_volumes(kube, own(cluster).kind, objects, namespace)
        front = stack.enter_context(way_in(kube, f"{name}-serve-svc", namespace))
        found = Fronted(kube, cluster, namespace, name, list(objects), front=front)
        found.apply(objects)
        found.wait_healthy()
        yield found


def without_policies(kube: Kube, platform: Sequence[Obj]) -> None:
    """Other tests break rules on purpose, and the operator, not admission, is to refuse them."""
    for obj in platform:
        if obj["kind"].startswith("ValidatingAdmissionPolicy"):
            kube.delete(kind_of(obj), name_of(obj))


def delete_service(kube: Kube, namespace: str, name: str) -> None:
    """Delete the RayService and wait for its last pod: a Job empties Redis, which must still be there for it."""
    kube.delete(RAY_SERVICE, name, namespace)
    eventually(
        lambda: kube.list(POD, namespace, labels={"app.kubernetes.io/part-of": name}),
        lambda pods: [name_of(pod) for pod in pods if "gcs-redis" not in name_of(pod)],
        lambda left: not left,
        Timeout.LONG,
        f"the Ray pods of {namespace} are gone",
    )
    clusters = getters.ray_clusters(kube, namespace)
    eventually(clusters, len, lambda number: number == 0, Timeout.MEDIUM, f"no RayCluster in {namespace}")


def remove(kube: Kube, namespace: str, name: str) -> None:
    """Everything of a run: the RayService first, its volumes last."""
    if kube.find(RAY_SERVICE, name, namespace):
        delete_service(kube, namespace, name)
    volumes = [v for v in kube.list(VOLUME) if dig(v, "spec", "claimRef", "namespace") == namespace]
    namespaces.remove(kube, namespace)
    for volume in volumes:
        kube.delete(VOLUME, name_of(volume))
    kube.wait_gone(NAMESPACE, namespace)
