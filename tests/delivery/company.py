"""What a company sets in its copy of this repository, and the objects that it then gives to its GitOps controllers.

They are those of overlays/<env>/delivery, here for an environment `local` with one pipeline, the smallest there is.
"""

import shutil
from pathlib import Path

import yaml

from rayops.kube import Obj
from rayops.kube.objects import labels_of, name_of
from rayops.render import render
from rayops.versions import pin
from tests.harness.delivery.repository import IN_CLUSTER, Commit, Repository

PIPELINE = "hello"
ENVIRONMENT = "overlays/local"
OVERLAY = f"{ENVIRONMENT}/{PIPELINE}"
DELIVERY = f"{ENVIRONMENT}/delivery"
BOOTSTRAP = "rayops.io/bootstrap"
# What staging says, for an environment that has no folder for its delivery.
SETTINGS = {
    "environment": "local",
    "repository": f"{IN_CLUSTER}/rayops.git",
    "revision": "main",
    "kuberayRepository": f"{IN_CLUSTER}/kuberay.git",
    "interval": "30s",
}
# Of Flux's: what kustomize-controller alone can bring. The operator's stage needs helm-controller.
FLUX_OBJECTS = {("GitRepository", "ray"), ("GitRepository", "kuberay")}
FLUX_OBJECTS |= {("Kustomization", name) for name in ("platform", "crds", PIPELINE)}


def set_values(repository: Repository, image: str, operator_image: str, operator_chart: Path) -> Commit:
    """The commit on top: one pipeline, images by their content, room for a second worker, where everything comes from.

    operator_chart: the folder of KubeRay's packaged chart, which `helm dependency build` fetches elsewhere.
    """
    _keep_one_pipeline(repository.folder)
    name, _, tag = image.rpartition(":")
    images = f"{ENVIRONMENT}/environment/images/kustomization.yaml"
    repository.edit(images, lambda k: [entry.update(newName=name, newTag=tag) for entry in k["images"]])
    repository.replace(f"{OVERLAY}/sizing.env", "^cpuMax=.*$", "cpuMax=2")
    for folder in ("delivery", "platform"):
        shutil.copytree(repository.folder / "overlays/staging" / folder, repository.folder / ENVIRONMENT / folder)
    # No controller of the Gateway API runs here, so the platform would never be healthy; test_45_one_host.py has one.
    repository.edit(f"{ENVIRONMENT}/platform/kustomization.yaml", lambda platform: platform.pop("components"))
    for key, value in SETTINGS.items():
        repository.replace(f"{DELIVERY}/settings/delivery.env", f"^{key}=.*$", f"{key}={value}")
    name, _, tag = operator_image.rpartition(":")
    where = {"repository": name, "tag": tag}
    repository.edit(
        f"{ENVIRONMENT}/operator-values.yaml", lambda values: values["kuberay-operator"].update(image=where)
    )
    shutil.copytree(operator_chart, repository.folder / "charts/kuberay-platform/charts", dirs_exist_ok=True)
    repository.git("add", "--force", "charts/kuberay-platform/charts")
    pipelines = repository.folder / DELIVERY / "flux" / "pipelines.yaml"
    mine = [entry for entry in yaml.safe_load_all(pipelines.read_text()) if name_of(entry) == PIPELINE]
    mine[0]["spec"]["path"] = f"./{OVERLAY}"
    pipelines.write_text(yaml.safe_dump_all(mine))
    return repository.commit("One pipeline, its images, its repository", tag=f"kuberay-platform-{chart_version()}")


def kuberay(repository: Repository, crds: Path) -> Commit:
    """KubeRay's repository at the tag that we follow, as far as we read it: its CRDs."""
    shutil.copytree(crds, repository.folder / "ray-operator/config/crd/bases")
    return repository.commit("Custom resource definitions", tag=f"v{pin('KUBERAY_VERSION')}")


def argocd(repository: Repository) -> list[Obj]:
    """What a person applies once: settings with the health rules, projects, and the Application of all the others."""
    objects = render(repository.folder / DELIVERY / "argocd")
    return [obj for obj in objects if labels_of(obj).get(BOOTSTRAP) == "true"]


def flux(repository: Repository) -> list[Obj]:
    """Sources, platform, CRDs and the pipeline, which follows the CRDs where it follows the operator elsewhere."""
    objects = render(repository.folder / DELIVERY / "flux")
    mine = [obj for obj in objects if (obj["kind"], name_of(obj)) in FLUX_OBJECTS]
    (pipeline,) = (obj for obj in mine if name_of(obj) == PIPELINE)
    assert pipeline["spec"]["dependsOn"] == [{"name": "operator"}]
    pipeline["spec"]["dependsOn"] = [{"name": "crds"}]
    return mine


def chart_version() -> str:
    """The version of our chart, which its tag bears."""
    from rayops.cluster.operator import CHART

    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def _keep_one_pipeline(checkout: Path) -> None:
    for folder in (checkout / ENVIRONMENT).iterdir():
        if folder.is_dir() and folder.name not in {PIPELINE, "environment"}:
            shutil.rmtree(folder)
    (checkout / ENVIRONMENT / "kustomization.yaml").unlink(missing_ok=True)
