"""Which backend answers: by model or alias, by weight, the same one for the same session. No network, no clock."""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from apps.common.openai.errors import bad_request, model_not_found
from apps.gateway.settings import Backend, Kind, Route, Target

_HASH_BITS = 64


@dataclass(frozen=True, slots=True)
class Attempt:
    """One backend to ask, with the times of its route. fallback: the request was for another model."""

    route: Route
    target: Backend
    fallback: bool


class Table:
    """The routes of one `user_config`; never changed, so that a request keeps the one it began with."""

    def __init__(self, routes: Sequence[Route]):
        self.routes = tuple(routes)
        self._by_name = {name: route for route in routes for name in (route.model, *route.aliases)}

    def find(self, name: str, kind: Kind | None, allowed: "Allowed") -> Route:
        """Return the route of a model or alias.

        Args:
            name: what the client asked for.
            kind: what it wants of the model; None for any.
            allowed: the models that its key may use; others do not exist for it.

        Raises:
            PipelineError: 404 no such model for this key, 400 the model is of another kind.
        """
        route = self._by_name.get(name)
        if route is None or not allowed.has(route):
            raise model_not_found(name, [each.model for each in self.listed(allowed)])
        if kind is not None and route.kind != kind:
            raise bad_request(f"the model {route.model!r} is for {route.kind}, not for {kind}", "model")
        return route

    def listed(self, allowed: "Allowed") -> list[Route]:
        """Return the routes that a key may use."""
        return [route for route in self.routes if allowed.has(route)]

    def plan(self, route: Route, session: str | None, rng: random.Random) -> list[Attempt]:
        """Return whom to ask, in this order: the route's own choice, then those of its fallbacks; nobody twice."""
        routes = [route, *(self._by_name[name] for name in route.fallback)]
        plan: dict[tuple[str, str], Attempt] = {}
        for each in routes:
            target = choose(each, session, rng)
            plan.setdefault((target.url, target.model), Attempt(each, target, each is not route))
        return list(plan.values())


@dataclass(frozen=True, slots=True)
class Allowed:
    """The models of a key, by their own names; `*` is all."""

    models: frozenset[str]

    def has(self, route: Route) -> bool:
        """Return whether the route's model is among them."""
        return "*" in self.models or route.model in self.models


def choose(route: Route, session: str | None, rng: random.Random) -> Target:
    """Return a target by weight: always the same one for a session, any one without.

    The session's choice is weighted rendezvous hashing (Schindelhauer and Schomaker 2005; score -weight / ln(hash)): it
    depends on names and weights only, not on their order, and a new weight moves just those sessions that it must.
    """
    if len(route.targets) == 1:
        return route.targets[0]
    if session is None:
        return rng.choices(route.targets, [target.weight for target in route.targets])[0]
    return max(route.targets, key=lambda target: _score(route.model, session, target))


def _score(model: str, session: str, target: Target) -> float:
    if not target.weight:
        return -1.0
    # The model takes part, so that not the same people are the first to try everything new.
    text = f"{model}\0{session}\0{target.name}".encode("utf-8", "surrogatepass")
    number = int.from_bytes(hashlib.blake2b(text, digest_size=_HASH_BITS // 8).digest())
    return -target.weight / math.log((number + 0.5) / 2**_HASH_BITS)
