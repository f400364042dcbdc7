"""Replications of one scenario, and what they say together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rayops.simulate.engine import Load, Run, simulate
from rayops.simulate.model import Pipeline
from rayops.simulate.stats import Estimate, change, estimate

HOUR = 3600.0


@dataclass(frozen=True)
class Effort:
    """How long and how often. seconds: measured in one replication, after `warmup` seconds; seeds: seed, seed + 1, …"""

    seconds: float = 2400.0
    warmup: float = 480.0
    replications: int = 6
    seed: int = 1


@dataclass(frozen=True)
class Measured:
    """A scenario with its runs. price: of a GPU-hour. rate: documents a second that were offered, on average."""

    name: str
    rate: float
    price: float
    runs: tuple[Run, ...] = field(repr=False)

    def each(self, value: Callable[[Run], float]) -> Estimate:
        """Mean and interval of a value of a run."""
        return estimate([value(run) for run in self.runs])

    @property
    def gpus(self) -> Estimate:
        """GPUs held."""
        return self.each(lambda run: run.gpus)

    @property
    def busy(self) -> Estimate:
        """Share of the GPUs held with at least one job."""
        return self.each(lambda run: run.busy)

    @property
    def per_s(self) -> Estimate:
        """Documents answered a second."""
        return self.each(lambda run: run.per_s)

    @property
    def refused(self) -> Estimate:
        """Share of the documents that got a 503."""
        return self.each(lambda run: run.refused / run.arrived if run.arrived else 0.0)

    @property
    def cost(self) -> Estimate:
        """Price of the GPUs held, per 1,000 documents answered."""
        return self.each(lambda run: run.gpus / run.per_s / HOUR * 1000 * self.price if run.per_s else 0.0)

    def latency(self, share: float) -> Estimate:
        """A quantile of the latency in seconds."""
        return self.each(lambda run: run.quantile(share))

    def compared(self, base: "Measured", share: float) -> Estimate:
        """Relative change of a quantile against another scenario that saw the same documents."""
        values, before = ([run.quantile(share) for run in each.runs] for each in (self, base))
        return change(values, before)

    def as_json(self) -> dict[str, object]:
        """All of it as numbers: [mean, half of the 95 % interval]."""
        estimates = {name: getattr(self, name) for name in ("gpus", "busy", "per_s", "refused", "cost")}
        estimates |= {f"p{share:.0%}"[:-1] + "_s": self.latency(share) for share in (0.5, 0.95, 0.99)}
        numbers = {name: [_rounded(each.mean), _rounded(each.half)] for name, each in estimates.items()}
        return {"name": self.name, "offered_per_s": _rounded(self.rate), **numbers}


def measure(name: str, pipeline: Pipeline, load: Load, effort: Effort, price: float) -> Measured:
    """Run all replications."""
    run = partial(simulate, pipeline, load, seconds=effort.seconds, warmup=effort.warmup)
    seeds: Sequence[int] = range(effort.seed, effort.seed + effort.replications)
    return Measured(name, load.rate, price, tuple(run(seed=seed) for seed in seeds))


def _rounded(number: float) -> float | None:
    """Six significant digits; JSON has no word for what is not a number."""
    return None if number != number else float(f"{number:.6g}")
