"""What chips drawn at random have in common: means, deviations, intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# Student's t of 1 to 30 degrees of freedom, .975; beyond, the normal law with two terms of
# Cornish and Fisher's expansion is good to three digits.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
_Z = 1.959964


@dataclass(frozen=True)
class Spread:
    """A figure over chips.

    Attributes:
        mean: over chips.
        deviation: standard deviation from chip to chip; NaN of a single one.
        error: standard error of the mean.
        low, high: 95% interval of the mean, by Student's t.
        lowest, highest: of any chip.
        chips: how many there are.
    """

    mean: float
    deviation: float
    error: float
    low: float
    high: float
    lowest: float
    highest: float
    chips: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of a figure's values, one for each chip."""
        n, mean = len(values), statistics.fmean(values)
        deviation = statistics.stdev(values) if n > 1 else math.nan
        error = deviation / math.sqrt(n)
        away = t_quantile(n - 1) * error if n > 1 else math.nan
        return cls(mean, deviation, error, mean - away, mean + away, min(values), max(values), n)

    def __str__(self) -> str:
        return f"{self.mean:.4f} +- {self.deviation:.4f} ({self.lowest:.4f} to {self.highest:.4f})"


def t_quantile(freedom: int) -> float:
    """Student's t that 97.5% lie below, with so many degrees of freedom, at least 1."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    return _Z + (_Z**3 + _Z) / (4 * freedom) + (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / (96 * freedom**2)
