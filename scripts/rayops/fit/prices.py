"""overlays/prices.yaml: node pools with what they hold and cost, and what an environment may spend."""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, ValidationError

from rayops.errors import RayopsError
from rayops.fit.amounts import Requests, quantity

# Where a repository keeps them; the first that is there.
FILES = ("overlays/prices.yaml", "prices.yaml")


def _quantities(value: object) -> Requests:
    if not isinstance(value, Mapping):
        raise ValueError("no mapping of resources to quantities")
    return {str(name): quantity(each) for name, each in value.items()}


class Strict(BaseModel):
    """A misspelt field is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pool(Strict):
    """Equal nodes. allocatable: what kubectl describe node shows, not what the machine has.

    labels: what pods select; taints: keys that a pod must tolerate; maximum: most nodes, none: as many as asked.
    """

    name: str
    labels: dict[str, str] = {}
    taints: tuple[str, ...] = ()
    allocatable: Annotated[Requests, BeforeValidator(_quantities)]
    price_per_hour: NonNegativeFloat
    maximum: NonNegativeInt | None = None


class Budget(Strict):
    """What an environment may cost in a month, in the file's currency. at: of which size (min, start, max, surge)."""

    month: NonNegativeFloat
    at: str = Field(default="max", pattern="^(min|start|max|surge)$")


class Prices(Strict):
    """The whole file. source: where the figures come from, or that they are examples."""

    currency: str
    date: date
    source: str
    pools: tuple[Pool, ...]
    budgets: dict[str, Budget] = {}

    def budget(self, place: str) -> tuple[str, Budget] | None:
        """The budget of a source such as `overlays/prod/rag`: of the first part of its path with one, else of `*`."""
        for part in (*place.split("/"), "*"):
            if part in self.budgets:
                return part, self.budgets[part]
        return None


def find_prices(root: Path) -> Prices | None:
    """The prices of a repository; None where it has none. RayopsError where they cannot be read."""
    for name in FILES:
        if (root / name).is_file():
            return _kept(root / name, name, (root / name).stat().st_mtime_ns)
    return None


@lru_cache(maxsize=16)
def _kept(file: Path, name: str, changed: int) -> Prices:  # noqa: ARG001 - read again where it has changed
    return read_prices(file, name)


def read_prices(file: Path, name: str = "") -> Prices:
    """A price file. RayopsError, in one line with the field, where it is missing or wrong. name: for messages."""
    name = name or str(file)
    try:
        loaded: Any = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RayopsError(f"{name}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise RayopsError(f"{name} is not YAML: {' '.join(str(error).split())}") from error
    try:
        return Prices.model_validate(loaded)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in error.errors())
        raise RayopsError(f"{name}: {faults}", hint="scripts/rayops/fit/prices.py says what each field is") from error
