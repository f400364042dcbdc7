"""Overlays as objects: render them, look into them, rewrite what a run decides. Talks to no cluster.

objects = render(Path("overlays/local/rag"))
objects = set_image(objects, "local/pipeline", "local/pipeline:4f1c09")
service = one(objects, "RayService")
"""

from rayops.render.app import app_serve_file, read_serve_file, read_sizing
from rayops.render.asks import Asks, asks_of, bundles_of
from rayops.render.components import capabilities_of, components_of
from rayops.render.kustomize import find_kustomize, render
from rayops.render.objects import Obj, containers, images, name_of, node_ports, of_kind, one, pod_specs
from rayops.render.operator_chart import operator_crds, package_operator_chart
from rayops.render.serve_config import serve_config, validate_serve_config
from rayops.render.transforms import repository, set_image, set_namespace, set_node_port

__all__ = [
    "Asks",
    "Obj",
    "app_serve_file",
    "asks_of",
    "bundles_of",
    "capabilities_of",
    "components_of",
    "containers",
    "find_kustomize",
    "images",
    "name_of",
    "node_ports",
    "of_kind",
    "one",
    "operator_crds",
    "package_operator_chart",
    "pod_specs",
    "read_serve_file",
    "read_sizing",
    "render",
    "repository",
    "serve_config",
    "set_image",
    "set_namespace",
    "set_node_port",
    "validate_serve_config",
]
