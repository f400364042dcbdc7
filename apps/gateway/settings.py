"""Typed arguments of the application (`args` in serve.yaml) and its live settings (`user_config`): the routes."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from apps.common.settings import Arguments, LimitArgs, PipelineArgs

Kind = Literal["chat", "embeddings"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", max_length=200)]
Url = Annotated[
    str, StringConstraints(pattern=r"^https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*[^/])?$")
]
# Shares are written with a few digits: 0.33 + 0.33 + 0.34.
WEIGHT_TOLERANCE = 1e-6
CODE = Path(__file__).resolve().parents[2]


class GatewayArgs(PipelineArgs):
    """Arguments of `apps.gateway.app:build_app`."""

    # An answer that is generated takes its time: the routes' own `timeout_s` is the usual bound.
    limits: LimitArgs = LimitArgs(in_flight=256, body_bytes=10_000_000, default_timeout_s=300, longest_timeout_s=600)
    keys_file: Path | None = Field(
        default=None, description="hashed API keys, from the folder above apps; without a file every key is refused"
    )
    answer_bytes: int = Field(default=64_000_000, ge=1024, description="the largest answer that is no stream")

    @property
    def keys_path(self) -> Path | None:
        """Where the file of keys is."""
        return self.keys_file and CODE / self.keys_file


class Backend(Arguments):
    """A model on a server that speaks OpenAI's protocol."""

    name: Name = Field(description="says in metrics and in x-served-by who answered; a session sticks to it")
    url: Url = Field(description="up to and with /v1, without a slash at the end")
    model: Name = Field(description="what that server calls the model")
    api_key_file: Path | None = Field(default=None, description="the key for that server; read again when it changes")


class Target(Backend):
    """A backend with its share of the requests."""

    weight: float = Field(default=1, ge=0, le=1)


class Shadow(Backend):
    """A backend that gets copies of a share of the requests; its answers are counted and thrown away."""

    share: float = Field(gt=0, le=1)


class Route(Arguments):
    """What clients may ask for, and who answers."""

    model: Name
    aliases: tuple[Name, ...] = ()
    kind: Kind = Field(description="chat: chat completions and completions")
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=16)]
    shadow: Shadow | None = None
    fallback: tuple[Name, ...] = Field(default=(), description="models that are asked in turn when the target fails")
    timeout_s: float = Field(default=120, gt=0, le=600, description="one try: a whole answer, or a stream to its end")
    first_byte_timeout_s: float = Field(default=10, gt=0, le=600, description="a stream's beginning, or vectors")

    @field_validator("targets")
    @classmethod
    def _targets_share_one(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        total = sum(target.weight for target in targets)
        if abs(total - 1) > WEIGHT_TOLERANCE:
            raise ValueError(f"the weights sum to {total:g}, not to 1")
        repeated = _repeated([target.name for target in targets])
        if repeated:
            raise ValueError(f"two targets are called {repeated!r}")
        return targets


class IngressSettings(Arguments):
    """Live settings of the Ingress: a new object is a new table of routes, whole or not at all."""

    revision: str = Field(default="1", max_length=100, description="only shown, so that a change is visible")
    shadow_in_flight: int = Field(default=8, ge=0, le=1000, description="copies at once in a replica; more are dropped")
    routes: tuple[Route, ...] = ()

    @field_validator("routes")
    @classmethod
    def _names_lead_somewhere(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        repeated = _repeated([name for route in routes for name in (route.model, *route.aliases)])
        if repeated:
            raise ValueError(f"two routes answer to {repeated!r}; a model or an alias is one route's")
        kinds = {route.model: route.kind for route in routes}
        for number, route in enumerate(routes):
            for place, name in enumerate(route.fallback):
                _check_fallback(f"{number}.fallback.{place}", route, name, kinds)
        return routes


def _check_fallback(where: str, route: Route, name: str, kinds: dict[str, Kind]) -> None:
    if name == route.model:
        raise ValueError(f"{where}: {name!r} falls back to itself")
    if name not in kinds:
        raise ValueError(f"{where}: {name!r} is no model of these routes")
    if kinds[name] != route.kind:
        raise ValueError(f"{where}: {name!r} is for {kinds[name]}, {route.model!r} for {route.kind}")


def _repeated(names: list[str]) -> str | None:
    return next((name for place, name in enumerate(names) if name in names[:place]), None)
