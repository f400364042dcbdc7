"""A checkout of three environments and two pipelines, small enough to read, and what runs in it."""

import copy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Obj = dict[str, Any]
A, B, C, ZERO = (f"sha256:{64 * digit}" for digit in "abc0")
IMAGE, GPU, REDIS = (f"registry.example.com/ray/{name}" for name in ("pipeline", "pipeline-gpu", "redis"))
CONFIG = "applications: [{name: app, route_prefix: /}]\n"
OVERLAY = """\
# The head of the file stays.
kind: Kustomization
namespace: {name}
resources: [../../../apps/{name}]
components: [../environment]

images: # what `rayops promote` moves
- {{name: {image}, digest: {digest}}} # the CPU one
- name: '{gpu}'
  digest: "{zero}"

# What follows stays too.
patches: []
"""
COMPONENT = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
LABELLED = COMPONENT + "labels: [{pairs: {extra: yes-please}}]\n"


def container(image: str) -> Obj:
    return {"name": "ray", "image": image, "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}


def ray_service(name: str, image: str = IMAGE, gpu: str = GPU) -> Obj:
    plain, with_gpu = ({"spec": {"containers": [container(each)]}} for each in (image, gpu))
    groups = [
        {"groupName": "cpu", "replicas": 1, "minReplicas": 1, "maxReplicas": 2, "template": plain},
        {"groupName": "gpu", "replicas": 0, "minReplicas": 0, "maxReplicas": 0, "template": with_gpu},
    ]
    cluster = {"headGroupSpec": {"template": plain}, "workerGroupSpecs": groups}
    spec = {"serveConfigV2": CONFIG, "rayClusterConfig": cluster}
    return {"apiVersion": "ray.io/v1", "kind": "RayService", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """The checkout, committed. dev runs tags, staging digests a, prod still nothing."""
    return Path(shutil.copytree(template, tmp_path / "checkout"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("promote") / "checkout"
    for name in ("rag", "hello"):
        for app in (f"apps/{name}", f"apps/{name}/big"):
            write(made / app / "rayservice.yaml", yaml.safe_dump(ray_service(name)))
            write(made / app / "kustomization.yaml", "resources: [rayservice.yaml]\n")
    for environment, digest in (("dev", ""), ("staging", A), ("prod", ZERO), ("qa", ZERO)):
        folder = made / "overlays" / environment
        write(folder / "kustomization.yaml", "resources: [rag, hello]\n")
        write(folder / "environment/kustomization.yaml", f"{COMPONENT}components: [images]\n")
        write(folder / "extra/kustomization.yaml", LABELLED)
        redis = {"dev": ZERO, "staging": B}.get(environment, C)
        images = f"{COMPONENT}images:\n- {{name: redis, newName: {REDIS}, digest: {redis}}}\n"
        write(folder / "environment/images/kustomization.yaml", images)
        chart = {"staging": "1.6.2"}.get(environment, "1.6.1")
        settings = f"# The operator.\nchartVersion={chart}\nkuberayRevision=v{chart}\nrevision=main\n"
        write(folder / "delivery/settings/delivery.env", settings)
        for name in ("rag", "hello"):
            text = OVERLAY.format(name=name, image=IMAGE, gpu=GPU, zero=ZERO, digest=digest)
            if environment == "dev":
                start, end = text.index("\nimages"), text.index("\n# What follows")
                text = text[:start] + f"\nimages: [{{name: {IMAGE}, newTag: dev}}]\n" + text[end:]
            write(folder / name / "kustomization.yaml", text)
            write(folder / name / "sizing.env", "a=1\n")
    for words in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "x")):
        git(made, *words)
    return made


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def git(root: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, "-C", str(root), *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def live() -> Callable[..., list[Obj]]:
    """What runs in an environment when all is well: a healthy RayService for each pipeline, and its pods."""

    def of(environment: str, digest: str = B) -> list[Obj]:
        image, gpu = {"dev": (f"{IMAGE}:dev", GPU), "staging": (f"{IMAGE}@{A}", f"{GPU}@{ZERO}")}.get(
            environment, (f"{IMAGE}@{ZERO}", f"{GPU}@{ZERO}")
        )
        found = []
        for name in ("rag", "hello"):
            service = ray_service(name, image, gpu)
            service["metadata"]["namespace"] = name
            found += [healthy(service), pod(service, digest)]
        return found

    return of


def healthy(service: Obj) -> Obj:
    made = copy.deepcopy(service)
    made["metadata"]["generation"] = 3
    application = {"status": "RUNNING", "serveDeploymentStatuses": {"D": {"status": "HEALTHY"}}}
    head = {"conditions": [{"type": "HeadPodReady", "status": "True"}]}
    active = {"rayClusterName": "c-1", "applicationStatuses": {"app": application}, "rayClusterStatus": head}
    conditions = [{"type": "Ready", "status": "True", "reason": "NonZeroServeEndpoints", "observedGeneration": 3}]
    status = {"observedGeneration": 3, "activeServiceStatus": active, "conditions": conditions, "numServeEndpoints": 1}
    return {**made, "status": status}


def pod(service: Obj, digest: str) -> Obj:
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]
    labels = {"ray.io/cluster": "c-1", "ray.io/node-type": "head"}
    state = {"name": "ray", "imageID": f"{IMAGE}@{digest}", "ready": True, "state": {"running": {}}}
    ready = [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "head", "namespace": service["metadata"]["namespace"], "labels": labels},
        "spec": head,
        "status": {"phase": "Running", "containerStatuses": [state], "conditions": ready},
    }
