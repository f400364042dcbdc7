"""Ray Serve's decorators with types, so that what they decorate stays checked."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from ray import serve

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
    *, size: Callable[[list[Item]], int], max_size: int, wait_s: float
) -> Callable[[BatchMethod[Owner, Item, Result]], ItemMethod[Owner, Item, Result]]:
    """Return a decorator that gathers calls until `size` of them reaches `max_size` or `wait_s` seconds have passed."""
    decorator = serve.batch(max_batch_size=max_size, batch_wait_timeout_s=wait_s, batch_size_fn=size)
    return cast("Callable[[BatchMethod[Owner, Item, Result]], ItemMethod[Owner, Item, Result]]", decorator)
