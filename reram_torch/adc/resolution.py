"""The window of an ADC: the thresholds that it has to make, and the resolution that these ask for.

All searches of an array's sums are made by the same ADC. Its digital-to-analog converter makes
thresholds that are evenly spaced: it needs 2^b - 1 of them to hold those of all its searches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reram_torch.adc.base import AdcDesign


@dataclass(frozen=True)
class Window:
    """Thresholds of an ADC: a sum v is told to be below t, or not.

    Attributes:
        first: the lowest threshold.
        last: the highest.
        step: the smallest distance that the ADC has to make, in sums; 0 of a single threshold.
    """

    first: int
    last: int
    step: int

    @property
    def bits(self) -> int:
        """Of a plain ADC that can make these thresholds: log2 of full scale over step, rounded up.

        A uniform search of b bits asks for b.
        """
        spans = -(-(self.last - self.first) // self.step) if self.step else 0
        return (spans + 1).bit_length()

    @property
    def code_bits(self) -> int:
        """Of codes of single sums that hold them: a code is a threshold less one."""
        low, high = self.first - 1, self.last - 1
        if low >= 0:
            return max(high.bit_length(), 1)
        return 1 + max((-low - 1).bit_length(), max(high, 0).bit_length())


def window_of(designs: Iterable[AdcDesign], lowest: int, highest: int) -> Window | None:
    """The window that searches of some sums share; None if they make no comparison.

    Args:
        designs: of one ADC.
        lowest: the smallest sum.
        highest: the largest.
    """
    each = [_thresholds(design, lowest, highest) for design in dict.fromkeys(designs)]
    every = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *each]))
    if not len(every):
        return None
    return Window(int(every[0]), int(every[-1]), _step(every))


def _step(thresholds: np.ndarray) -> int:
    """The largest distance that the thresholds, rising, are multiples of.

    Sums may be rounded upwards, or away from zero: then T lies on the grid if sums of T and more
    are told apart, and -T if those of -T and less are, by a threshold 1 - T.
    """
    away = np.where(thresholds > 0, thresholds, thresholds - 1)
    return max(int(np.gcd.reduce(np.diff(each), initial=0)) for each in (thresholds, away))


@lru_cache(maxsize=4096)
def _thresholds(design: AdcDesign, lowest: int, highest: int) -> np.ndarray:
    return np.unique(np.asarray(design.thresholds(lowest, highest), dtype=np.int64))
