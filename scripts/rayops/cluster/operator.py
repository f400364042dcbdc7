"""The KubeRay operator: charts/kuberay-platform installed by Helm, its CRDs by server-side apply.

Where the chart repository or the image registry cannot be reached, both are made from the operator's pinned Go module:
an equivalent chart (rayops.render.operator_chart) and the same program as an image.
"""

import json
import tempfile
from pathlib import Path

import yaml

from rayops import proc
from rayops.cluster import gobuild, node_image, rootfs, tools
from rayops.cluster.kind import KindCluster
from rayops.errors import RayopsError
from rayops.paths import CACHE, ROOT, TOOLS, content_hash
from rayops.versions import pin

NAMESPACE = "kuberay-system"
RELEASE = "kuberay"
CHART = ROOT / "charts" / "kuberay-platform"
MODULE = "github.com/ray-project/kuberay/ray-operator"
# The folder of scripts/tools that holds the Go module of each pinned version.
CURRENT, PREVIOUS = "KUBERAY_VERSION", "KUBERAY_PREVIOUS_VERSION"
PINNED = {CURRENT: "kuberay-operator", PREVIOUS: "kuberay-operator-previous"}
LOG = CACHE / "logs" / "operator.log"
DOCKERFILE = node_image.FILES / "operator.Dockerfile"
INSTALL_TIMEOUT = "180s"


def ensure_image(*, offline: bool, version: str = CURRENT) -> tuple[str, str]:
    """The operator's image and what was done for it; the official name when its registry answers. version: a pin."""
    official = f"{pin('OPERATOR_IMAGE').rpartition(':')[0]}:v{pin(version)}"
    if not offline and node_image.registry_answers(official):
        return official, ""
    source = content_hash(TOOLS / PINNED[version], DOCKERFILE)
    reference = f"local/kuberay-operator:v{pin(version)}-{source}"
    if rootfs.image_exists(reference):
        return reference, ""
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        context = Path(folder)
        gobuild.build(PINNED[version], [MODULE], context, name="manager")
        proc.run(
            ["docker", "build", "--quiet", "-t", reference, "-f", str(DOCKERFILE), context],
            log=LOG,
            env={"DOCKER_BUILDKIT": "0"},
        )
    return reference, f"{reference} built"


def ensure_chart(*, offline: bool, chart: Path | None = None, version: str = CURRENT) -> str:
    """The operator's chart of a pinned version below charts/ of our chart. Returns what was done."""
    folder = chart or CHART
    if not offline and node_image.repository_answers(f"{pin('OPERATOR_CHART_REPOSITORY')}index.yaml"):
        proc.run([tools.path("helm"), "dependency", "build", folder, "--skip-refresh"], log=LOG)
        return "operator chart downloaded"
    from rayops.render.operator_chart import package_operator_chart

    package_operator_chart(gobuild.module_directory(PINNED[version], MODULE), pin(version), folder / "charts")
    return "operator chart packaged from its Go module"


def install(
    cluster: KindCluster, image: str, values: Path | None, *, chart: Path | None = None, version: str = CURRENT
) -> str:
    """CRDs, then `helm upgrade --install`; "" when this is installed and runs. values: the environment's file.

    chart: a copy of ours that depends on another pinned version.
    """
    folder = chart or CHART
    wanted = content_hash(folder, image, *([values] if values else []))
    if _installed(cluster) == wanted and _runs(cluster):
        return ""
    if image.startswith("local/") and not cluster.has_image(image):
        cluster.load(image)
    _apply_crds(cluster, folder / "charts" / f"kuberay-operator-{pin(version)}.tgz")
    repository, _, tag = image.rpartition(":")
    command: list[str | Path] = [tools.path("helm"), "upgrade", "--install", RELEASE, folder, "--skip-crds"]
    command += ["--namespace", NAMESPACE, "--create-namespace", "--kubeconfig", cluster.kubeconfig]
    command += [*(["--values", str(values)] if values else []), "--description", wanted]
    command += ["--set", f"kuberay-operator.image.repository={repository},kuberay-operator.image.tag={tag}"]
    command += ["--wait", "--timeout", INSTALL_TIMEOUT]
    try:
        proc.run(command, log=LOG)
    except RayopsError as error:
        raise RayopsError(f"the operator was not installed: {error.message}", evidence=LOG) from error
    return f"KubeRay {pin(version)} in {NAMESPACE}"


def _runs(cluster: KindCluster) -> bool:
    """Helm knows what it installed, not whether somebody deleted it since."""
    from rayops.kube import Kube
    from rayops.kube.objects import DEPLOYMENT, dig

    found = Kube.connect(cluster.kubeconfig).find(DEPLOYMENT, "kuberay-operator", NAMESPACE)
    return bool(found and dig(found, "status", "availableReplicas", default=0))


def _apply_crds(cluster: KindCluster, archive: Path) -> None:
    from rayops.kube import Kube

    documents = yaml.load_all(proc.run([tools.path("helm"), "show", "crds", archive]), Loader=_loader())
    Kube.connect(cluster.kubeconfig).apply([document for document in documents if document])


def _loader() -> type:
    """The C loader where PyYAML has it: the CRDs are four megabytes."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _installed(cluster: KindCluster) -> str | None:
    query = ["history", RELEASE, "--namespace", NAMESPACE, "--kubeconfig", str(cluster.kubeconfig), "-o", "json"]
    try:
        history = json.loads(proc.run([tools.path("helm"), *query], timeout=30))
    except RayopsError:
        return None
    last = history[-1] if history else {"status": "absent"}
    return str(last["description"]) if last["status"] == "deployed" else None
