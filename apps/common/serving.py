"""Ray Serve's decorators with types, so that what they decorate stays checked."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, TypeVar, cast

from ray import serve
from starlette.types import ASGIApp

from apps.common.settings import Arguments

Owner = TypeVar("Owner")
Item = TypeVar("Item")
Result = TypeVar("Result")
BatchMethod = Callable[[Owner, list[Item]], Awaitable[list[Result]]]
ItemMethod = Callable[[Owner, Item], Awaitable[Result]]


def deployment(**options: Any) -> Callable[[type], Any]:
    """Return `serve.deployment(**options)`; the result has `bind` and `options`."""
    return cast("Callable[[type], Any]", serve.deployment(**options))


def late_ingress(cls: type) -> type:
    """Make `cls` an HTTP ingress whose method `__serve_build_asgi_app__` returns the ASGI application."""
    return cast("type", serve.ingress()(cls))


def batched(
    *, size: Callable[[list[Item]], int], max_size: int, wait_s: float, in_flight: int = 1
) -> Callable[[BatchMethod[Owner, Item, Result]], ItemMethod[Owner, Item, Result]]:
    """Return a decorator that gathers calls until `size` of them reaches `max_size` or `wait_s` seconds have passed.

    At most `in_flight` batches run at the same time; the next one is gathered meanwhile.
    """
    decorator = serve.batch(
        max_batch_size=max_size, batch_wait_timeout_s=wait_s, max_concurrent_batches=in_flight, batch_size_fn=size
    )
    return cast("Callable[[BatchMethod[Owner, Item, Result]], ItemMethod[Owner, Item, Result]]", decorator)


class Reconfigurable:
    """Base of every replica: takes its live settings from `user_config`."""

    live: ClassVar[type[Arguments] | None] = None

    def reconfigure(self, config: dict[str, Any]) -> None:
        """Check `user_config` and hand it to `configure`; requests in flight keep what they read.

        Raises:
            pydantic.ValidationError: an unknown name, or a value out of bounds; Serve shows it.
            TypeError: this deployment has no live settings.
        """
        if self.live is None:
            raise TypeError(f"{type(self).__name__} takes no user_config")
        self.configure(self.live(**config))

    def configure(self, settings: Any) -> None:
        """Take settings of the class that `live` names."""
        raise NotImplementedError


class Replica(Reconfigurable):
    """Base of the deployments behind an ingress."""

    async def ready(self) -> str:
        """Return "ok": this replica was constructed and takes calls. Override it to look deeper."""
        return "ok"


class IngressReplica(Reconfigurable):
    """Base of the ingresses: one ASGI application, built when the replica starts."""

    def asgi(self, *, echo_request_id: bool) -> ASGIApp:
        """Return the application; `echo_request_id` is for servers other than Ray Serve, which echoes it itself."""
        raise NotImplementedError

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the ASGI application of this replica."""
        return self.asgi(echo_request_id=False)
