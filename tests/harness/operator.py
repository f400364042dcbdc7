"""The KubeRay operator in another pinned version than the one that `rayops up` installs, and back."""

import shutil
from pathlib import Path

import yaml

from rayops.cluster import operator
from rayops.cluster.kind import KindCluster
from rayops.paths import ROOT
from rayops.versions import pin

VALUES = ROOT / "overlays" / "local" / "operator-values.yaml"


def previous_chart(folder: Path, *, offline: bool = False) -> Path:
    """A copy of our chart that depends on the previous pinned operator, with that dependency in it."""
    chart = folder / operator.CHART.name
    shutil.copytree(operator.CHART, chart, ignore=shutil.ignore_patterns("charts", "Chart.lock"))
    file = chart / "Chart.yaml"
    described = yaml.safe_load(file.read_text())
    (dependency,) = described["dependencies"]
    dependency["version"] = pin(operator.PREVIOUS)
    file.write_text(yaml.safe_dump(described))
    operator.ensure_chart(offline=offline, chart=chart, version=operator.PREVIOUS)
    return chart


def install_previous(cluster: KindCluster, folder: Path, *, offline: bool = False) -> str:
    """The previous operator with its own CRDs. Returns its image, which is built where no registry answers."""
    image, _ = operator.ensure_image(offline=offline, version=operator.PREVIOUS)
    chart = previous_chart(folder, offline=offline)
    operator.install(cluster, image, VALUES, chart=chart, version=operator.PREVIOUS)
    return image


def install_current(cluster: KindCluster, *, offline: bool = False) -> str:
    """The pinned operator, exactly as `rayops up` installs it. Returns its image."""
    image, _ = operator.ensure_image(offline=offline)
    operator.ensure_chart(offline=offline)
    operator.install(cluster, image, VALUES)
    return image
