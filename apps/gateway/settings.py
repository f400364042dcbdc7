"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`)."""

from pydantic import Field

from apps.common.settings import Arguments, PipelineArgs


class GatewayArgs(PipelineArgs):
    """Arguments of `apps.gateway.app:build_app`: those that every pipeline has."""


class IngressSettings(Arguments):
    """Live settings of the Ingress; `revision` is only shown, so that a change is visible."""

    revision: str = Field(default="1", max_length=100)
