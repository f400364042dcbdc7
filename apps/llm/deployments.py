"""The deployments. Each replica imports what it needs when it starts, so that every process stays small."""

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp

from apps.common.calls import call, readiness
from apps.common.serving import IngressReplica, Replica, deployment, late_ingress
from apps.common.settings import LimitArgs
from apps.llm.settings import IngressSettings

if TYPE_CHECKING:
    from apps.llm.normalizer import Normalised


class NormalizerReplica(Replica):
    """Loads the language model once and does the work, away from the event loop."""

    def __init__(self) -> None:
        from apps.common.gate import ProxyGate

        with ProxyGate.around_loading():
            from apps.llm.normalizer import Normalizer

            self._normalizer = Normalizer()

    async def normalise(self, text: str) -> "Normalised":
        """Return the text's normal form, counts and language."""
        return await asyncio.to_thread(self._normalizer.normalise, text)


class LlmIngress(IngressReplica):
    """HTTP in front; without Serve's wrapping, so that it can be used with any handle."""

    live = IngressSettings

    def __init__(self, limits: LimitArgs, normalizer: Any):
        self.limits = limits
        self.normalizer = normalizer
        self.settings = IngressSettings()

    def configure(self, settings: IngressSettings) -> None:
        """Take live settings."""
        self.settings = settings

    async def normalise(self, text: str) -> "Normalised":
        """Ask the Normalizer; the call moves to another replica when its own goes away."""
        found: Normalised = await call(self.normalizer.normalise.remote, text)
        return found

    async def ready(self, timeout_s: float) -> dict[str, str]:
        """Return "ok", or what is wrong, for each deployment behind this one."""
        return await readiness({"normalizer": self.normalizer}, timeout_s)

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the ASGI application of this replica."""
        from apps.llm.ingress import build_asgi

        return build_asgi(self, echo_request_id)


Normalizer = deployment(name="Normalizer")(NormalizerReplica)
Ingress = deployment(name="Ingress")(late_ingress(LlmIngress))
