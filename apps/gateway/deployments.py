"""The deployments. Each replica imports what it needs when it starts, so that every process stays small."""

from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from apps.common.serving import IngressReplica, Replica, deployment, late_ingress
from apps.gateway.settings import GatewayArgs, IngressSettings

if TYPE_CHECKING:
    from apps.gateway.rates import Verdict


class LimiterReplica(Replica):
    """Counts requests and tokens of all keys, for all replicas of the Ingress: there is one, or keys would get more."""

    def __init__(self) -> None:
        from apps.common.gate import ProxyGate

        with ProxyGate.around_loading():
            from apps.gateway.rates import Rates

            self._rates = Rates()

    async def admit(self, name: str, requests: int | None, tokens: int | None) -> "Verdict":
        """Count a request of a key, unless it is over a limit of its minute."""
        return await self._rates.admit(name, requests, tokens)

    async def spend(self, name: str, tokens: int, amount: int) -> bool:
        """Book tokens on a key whose limit is `amount`."""
        await self._rates.spend(name, tokens, amount)
        return True


class GatewayIngress(IngressReplica):
    """HTTP in front; without Serve's wrapping, so that it can be used with any handle."""

    live = IngressSettings

    def __init__(self, args: GatewayArgs, limiter: Any):
        from apps.gateway.gateway import Gateway

        self.gateway = Gateway(args, limiter)

    def configure(self, settings: IngressSettings) -> None:
        """Take new routes."""
        self.gateway.configure(settings)

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.gateway.ingress import build_asgi

        return build_asgi(self.gateway, echo_request_id)


Limiter = deployment(name="Limiter")(LimiterReplica)
Ingress = deployment(name="Ingress")(late_ingress(GatewayIngress))
