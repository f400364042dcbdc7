"""Means with confidence intervals over independent replications."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

# Student's t, two-sided 95 %, by degrees of freedom from 1.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120)
Z95 = 1.96


@dataclass(frozen=True)
class Estimate:
    """A mean over replications and half the width of its 95 % confidence interval; not a number with fewer than two."""

    mean: float
    half: float

    def text(self, digits: int = 1, scale: float = 1.0) -> str:
        """12.3 ± 0.4."""
        mean = f"{self.mean * scale:.{digits}f}"
        return mean if math.isnan(self.half) else f"{mean} ± {self.half * scale:.{digits}f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of one value per replication."""
    if len(values) < 2:
        return Estimate(fmean(values), math.nan)
    degrees = len(values) - 1
    quantile = T95[degrees - 1] if degrees <= len(T95) else Z95 + 2.4 / degrees
    return Estimate(fmean(values), quantile * stdev(values) / math.sqrt(len(values)))


def change(values: Sequence[float], before: Sequence[float]) -> Estimate:
    """Relative change, pair by pair: replication i of both sees the same documents."""
    return estimate([value / base - 1 for value, base in zip(values, before, strict=True)])
