"""The Serve config inside a RayService, and Ray's own opinion of it."""

from collections.abc import Iterator
from typing import Any

import yaml

from rayops.errors import RayopsError
from rayops.render.objects import Obj, name_of

# libyaml's where it is there: ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def serve_config(service: Obj) -> dict[str, Any]:
    """The Serve config of a RayService as a mapping. RayopsError where it is none, or lists no applications."""
    try:
        config = yaml.load(service["spec"].get("serveConfigV2") or "", Loader=_LOADER)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        raise RayopsError(f"{name_of(service)}: serveConfigV2 is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise RayopsError(f"{name_of(service)}: serveConfigV2 is empty or no mapping")
    if not isinstance(config.get("applications"), list):
        raise RayopsError(
            f"{name_of(service)}: serveConfigV2 has no list of applications", hint="see apps/hello/serve.yaml"
        )
    return config


def validate_serve_config(service: Obj) -> dict[str, Any]:
    """The Serve config once Ray's own schema has accepted it. RayopsError naming the fields where it has not.

    Also refuses fields that the schema does not know: Ray itself would ignore a misspelt one. Imports Ray, which only
    the development environment has.
    """
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    config = serve_config(service)
    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
    else:
        faults = [f"{place}: unknown field" for place in _unknown(config)]
    if faults:
        raise RayopsError(f"{name_of(service)}: serveConfigV2: {'; '.join(faults)}")
    return config


def _unknown(config: dict[str, Any]) -> Iterator[str]:
    """The places of all fields that Ray's schema does not have."""
    from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

    yield from (key for key in config if key not in ServeDeploySchema.model_fields)
    for index, application in enumerate(config["applications"]):
        place = f"applications.{index}"
        yield from (f"{place}.{key}" for key in application if key not in ServeApplicationSchema.model_fields)
        for number, deployment in enumerate(application.get("deployments") or []):
            known = DeploymentSchema.model_fields
            yield from (f"{place}.deployments.{number}.{key}" for key in deployment if key not in known)
