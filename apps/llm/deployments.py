"""The deployments of the own server."""

from typing import Any

from starlette.types import ASGIApp

from apps.common.serving import IngressReplica, deployment, late_ingress
from apps.llm.replicas import LlmEngineReplica
from apps.llm.service import HandleEngines, Service
from apps.llm.settings import IngressSettings, LlmArgs
from apps.llm.stats import IngressStats


class LlmIngress(IngressReplica):
    """HTTP in front of the engines; without Serve's wrapping, so that it can be used with any handle."""

    live = IngressSettings

    def __init__(self, args: LlmArgs, engine: Any):
        self.limits = args.limits
        self.service = Service(args, HandleEngines(engine))

    def configure(self, settings: IngressSettings) -> None:
        """Take live settings."""
        self.service.settings = settings

    async def own_stats(self) -> IngressStats:
        """Return what this replica holds; the others are asked the same by the one that answers `GET /stats`."""
        return self.service.own_stats()

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.llm.ingress import build_asgi

        # Outside of Serve (echo_request_id) there is no other replica, and nobody who would know it.
        peers = _nobody if echo_request_id else _own_deployment
        return build_asgi(self.service, self.limits, peers, echo_request_id)


def _own_deployment() -> Any:
    """Return a handle of the deployment that this replica is one of."""
    from ray import serve

    place = serve.get_replica_context().replica_id.deployment_id
    return serve.get_deployment_handle(place.name, place.app_name)


def _nobody() -> None:
    return None


LlmEngine = deployment(name="LlmEngine")(LlmEngineReplica)
Ingress = deployment(name="Ingress")(late_ingress(LlmIngress))
