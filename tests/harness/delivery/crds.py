"""Custom resource definitions of the controllers, from the source archives of their Go modules."""

from pathlib import Path

import yaml

from rayops.kube import Kube, Timeout, eventually
from rayops.kube.objects import Kind, is_true, name_of

CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition")


def apply_crds(kube: Kube, *folders: Path) -> None:
    """Apply every definition of the folders (server-side: they are too large for an annotation) and wait for them."""
    files = sorted(file for folder in folders for file in folder.glob("*.yaml"))
    documents = [yaml.load(file.read_text(), Loader=yaml.CSafeLoader) for file in files]
    found = [document for document in documents if document["kind"] == CRD.name]
    kube.apply(found)
    eventually(
        lambda: [kube.get(CRD, name_of(crd)) for crd in found],
        lambda live: [name_of(crd) for crd in live if not is_true(crd, "Established")],
        lambda missing: not missing,
        Timeout.SHORT,
        "the custom resource definitions are established",
    )
