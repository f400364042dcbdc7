"""What a company sets in its copy of this repository, and the objects that it then gives to its GitOps controllers.

They are those of overlays/<env>/delivery, for the environment `local` of one pipeline: the smallest that there is.
"""

import shutil

import yaml

from rayops.kube import Obj
from rayops.kube.objects import name_of
from rayops.render import render
from tests.harness.delivery.repository import URL, Commit, Repository

PIPELINE = "hello"
ENVIRONMENT = "overlays/local"
OVERLAY = f"{ENVIRONMENT}/{PIPELINE}"
SOURCE = "ray"
DELIVERY = f"{ENVIRONMENT}/delivery"
# What staging says, for an environment that has no folder for its delivery yet.
SETTINGS = {"environment": "local", "repository": URL, "revision": "main"}
SETTINGS |= {"automated": "true", "prune": "true", "selfHeal": "true", "interval": "30s"}
# The Applications beside the pipelines' need what this cluster lacks: KubeRay's own repository, tags of this one.
ARGOCD_KINDS = {"ConfigMap", "AppProject", "ApplicationSet"}


def set_values(repository: Repository, image: str) -> Commit:
    """The commit on top: one pipeline, its image by a tag of its content, room for a second worker, the repository."""
    for folder in (repository.folder / ENVIRONMENT).iterdir():
        if folder.is_dir() and folder.name not in {PIPELINE, "environment"}:
            shutil.rmtree(folder)
    (repository.folder / ENVIRONMENT / "kustomization.yaml").unlink(missing_ok=True)
    name, _, tag = image.rpartition(":")

    def pin(component: Obj) -> None:
        for entry in component["images"]:
            entry.update(newName=name, newTag=tag)

    repository.edit(f"{ENVIRONMENT}/environment/images/kustomization.yaml", pin)
    repository.replace(f"{OVERLAY}/sizing.env", "^cpuMax=.*$", "cpuMax=2")
    shutil.copytree(repository.folder / "overlays/staging/delivery", repository.folder / DELIVERY)
    for key, value in SETTINGS.items():
        repository.replace(f"{DELIVERY}/settings/delivery.env", f"^{key}=.*$", f"{key}={value}")
    pipelines = repository.folder / DELIVERY / "flux" / "pipelines.yaml"
    mine = [entry for entry in yaml.safe_load_all(pipelines.read_text()) if name_of(entry) == PIPELINE]
    mine[0]["spec"]["path"] = f"./{OVERLAY}"
    pipelines.write_text(yaml.safe_dump_all(mine))
    return repository.commit("One pipeline, its image, its repository")


def argocd(repository: Repository) -> list[Obj]:
    """Settings and health rules, projects, and the ApplicationSet: an Application for each pipeline's folder."""
    objects = render(repository.folder / DELIVERY / "argocd")
    return [obj for obj in objects if obj["kind"] in ARGOCD_KINDS]


def flux(repository: Repository) -> list[Obj]:
    """The source and the pipeline's Kustomization, which here waits for no operator: Helm has installed it."""
    objects = render(repository.folder / DELIVERY / "flux")
    (source,) = (obj for obj in objects if obj["kind"] == "GitRepository" and name_of(obj) == SOURCE)
    (pipeline,) = (obj for obj in objects if obj["kind"] == "Kustomization" and name_of(obj) == PIPELINE)
    del pipeline["spec"]["dependsOn"]
    return [source, pipeline]
