"""Where the CRDs of every foreign kind come from: one table, from pinned Go modules, no copy in this repository.

crds("ray.io")        # objects, for a server-side apply or for schemas
crds_of(rendered)     # those of the kinds that some objects have

Most modules hold their CRDs as YAML. Some of Flux's are served without: there controller-gen, in the version that Flux
uses, makes them from the Go types, as upstream's own `make manifests` does.
"""

import functools
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from rayops import proc
from rayops.cluster import gobuild
from rayops.errors import RayopsError
from rayops.paths import BIN, CACHE, TOOLS, content_hash
from rayops.render.objects import Obj

GENERATOR = "controller-gen"
LOG = CACHE / "logs" / "crds.log"


@dataclass(frozen=True)
class Source:
    """Where a group's CRDs are. pinned: folder below scripts/tools; module: Go module; files: glob in its folder.

    Without `files`, controller-gen makes the CRDs of all packages of the module.
    """

    group: str
    pinned: str
    module: str
    files: str = ""


SOURCES = (
    Source("ray.io", "kuberay-operator", "github.com/ray-project/kuberay/ray-operator", "config/crd/bases/*.yaml"),
    # In the version that this KubeRay is built with.
    Source("gateway.networking.k8s.io", "kuberay-operator", "sigs.k8s.io/gateway-api", "config/crd/standard/*.yaml"),
    Source(
        "monitoring.coreos.com",
        "crds",
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/*.yaml",
    ),
    Source(
        "external-secrets.io",
        "crds",
        "github.com/external-secrets/external-secrets",
        "config/crds/bases/external-secrets.io_*.yaml",
    ),
    Source("argoproj.io", "argocd", "github.com/argoproj/argo-cd/v3", "manifests/crds/*-crd.yaml"),
    Source(
        "kustomize.toolkit.fluxcd.io",
        "kustomize-controller",
        "github.com/fluxcd/kustomize-controller",
        "config/crd/bases/*.yaml",
    ),
    Source("source.toolkit.fluxcd.io", "crds", "github.com/fluxcd/source-controller", "config/crd/bases/*.yaml"),
    Source("helm.toolkit.fluxcd.io", GENERATOR, "github.com/fluxcd/helm-controller/api"),
    Source("notification.toolkit.fluxcd.io", GENERATOR, "github.com/fluxcd/notification-controller/api"),
    # Two controllers share this group.
    Source("image.toolkit.fluxcd.io", GENERATOR, "github.com/fluxcd/image-reflector-controller/api"),
    Source("image.toolkit.fluxcd.io", GENERATOR, "github.com/fluxcd/image-automation-controller/api"),
)


def groups() -> list[str]:
    """The API groups that the table knows, in its order."""
    return list(dict.fromkeys(source.group for source in SOURCES))


def crds(*wanted: str) -> list[Obj]:
    """The CRDs of API groups, as objects. Raises RayopsError for a group that the table does not know."""
    for group in wanted:
        if group not in groups():
            raise RayopsError(f"no CRDs are known of {group}", hint="add its source to scripts/rayops/render/crds.py")
    return [crd for source in SOURCES if source.group in wanted for crd in read(source)]


def crds_of(objects: Iterable[Obj]) -> list[Obj]:
    """The CRDs of the kinds that objects have; Kubernetes' own kinds need none.

    Raises RayopsError for a kind that is neither Kubernetes' own nor known here.
    """
    kinds = {(obj["apiVersion"].rpartition("/")[0], obj["kind"]) for obj in objects}
    foreign = {(group, kind) for group, kind in kinds if not own_group(group)}
    found = [
        crd
        for crd in crds(*sorted({group for group, _ in foreign}))
        if (crd["spec"]["group"], crd["spec"]["names"]["kind"]) in foreign
    ]
    if missing := foreign - {(crd["spec"]["group"], crd["spec"]["names"]["kind"]) for crd in found}:
        group, kind = min(missing)
        raise RayopsError(f"no CRD of {group} has the kind {kind}", hint="is it misspelt, or of another version?")
    return found


def own_group(group: str) -> bool:
    """Whether an API group comes with Kubernetes: `apps`, `rbac.authorization.k8s.io`, the nameless one of v1."""
    return "." not in group or (group.endswith(".k8s.io") and group not in groups())


@functools.cache
def read(source: Source) -> tuple[Obj, ...]:
    """The CRDs of one source. Raises RayopsError where its module has none, or one of another group."""
    folder = gobuild.archive_directory(source.pinned, source.module)
    files = sorted(folder.glob(source.files)) if source.files else generated(source)
    found = tuple(yaml.load(file.read_text(), Loader=_Loader) for file in files)  # noqa: S506 - a safe one
    if not found or any(crd["kind"] != "CustomResourceDefinition" for crd in found):
        raise RayopsError(f"{folder}: {source.files or 'its packages'} are not the CRDs of {source.group}")
    if others := {crd["spec"]["group"] for crd in found} - {source.group}:
        raise RayopsError(f"{folder}: CRDs of {', '.join(sorted(others))}, expected only {source.group}")
    return found


def generated(source: Source) -> list[Path]:
    """The files that controller-gen makes of a module's packages, once for each content of its go.mod."""
    pinned = TOOLS / source.pinned
    target = CACHE / f"crds-{content_hash(pinned)}" / source.module.replace("/", "_")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            unfinished = Path(folder) / "crds"
            paths = [f"paths={source.module}/...", f"output:crd:dir={unfinished}"]
            environment = {"GOFLAGS": "-mod=readonly", "PATH": _path_with_go()}
            proc.run([generator(), "crd:crdVersions=v1", *paths], cwd=pinned, env=environment, log=LOG)
            if not target.exists():  # another process may have been faster
                unfinished.rename(target)
    return sorted(target.glob("*.yaml"))


def generator() -> Path:
    """controller-gen of the pinned version, built into the cache when it is not there."""
    name = f"{GENERATOR}-{content_hash(TOOLS / GENERATOR)}"
    if not (BIN / name).exists():
        gobuild.build(GENERATOR, ["sigs.k8s.io/controller-tools/cmd/controller-gen"], BIN, name=name)
    return BIN / name


def _path_with_go() -> str:
    """PATH with the Go that is used here at its front: controller-gen asks it for packages."""
    return os.pathsep.join([str(gobuild.go().parent), os.environ.get("PATH", "")])


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's C loader where it has it (the CRDs are many megabytes); a lone `=` is text, as in YAML 1.2."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_yaml_str)
