"""The typed application builder that serve.yaml names: `apps.gateway.app:build_app`.

No `from __future__ import annotations` here: Serve reads the annotation of `args` to validate the arguments.
"""

from typing import Any

from apps.gateway.deployments import Ingress, Limiter
from apps.gateway.settings import GatewayArgs


def build_app(args: GatewayArgs) -> Any:
    """Return the Serve application for `args`."""
    return Ingress.bind(args, Limiter.bind())
