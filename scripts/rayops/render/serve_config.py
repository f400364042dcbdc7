"""The Serve config inside a RayService, and Ray's own opinion of it."""

from typing import Any

import yaml

from rayops.errors import RayopsError
from rayops.render.objects import Obj, name_of


def serve_config(service: Obj) -> dict[str, Any]:
    """The Serve config of a RayService as a mapping. RayopsError where it is not YAML or not a mapping."""
    try:
        config = yaml.safe_load(service["spec"].get("serveConfigV2") or "")
    except yaml.YAMLError as error:
        raise RayopsError(f"{name_of(service)}: serveConfigV2 is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise RayopsError(f"{name_of(service)}: serveConfigV2 is empty or no mapping")
    return config


def validate_serve_config(service: Obj) -> dict[str, Any]:
    """The Serve config once Ray's own schema has accepted it. RayopsError naming the fields where it has not.

    Imports Ray, which only the development environment has.
    """
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    config = serve_config(service)
    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise RayopsError(f"{name_of(service)}: serveConfigV2: {faults}") from error
    return config
