"""A SAR ADC that is told how many word-lines are driven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reram_torch._support.checks import check_int
from reram_torch.adc.base import (
    MAX_BITS,
    AdcDesign,
    ByActivity,
    Words,
    full_bits,
    register_adc,
)
from reram_torch.adc.trees import Tables, Tree
from reram_torch.adc.uniform import UniformSAR


@register_adc
@dataclass(frozen=True)
class ActivitySAR(AdcDesign):
    """A plain SAR ADC that makes no more comparisons than the driven word-lines can ask for.

    With n of them, each adding `each` at most, sums are at most n * each: it makes
    ceil(log2(n * each + 1)) comparisons, one more where sums can be negative, and none at all where
    nothing is driven. It is lossless, needs no calibration and stores nothing; a counter of driven
    word-lines serves all bit-lines of an array. Given alone to a layer it becomes one design for
    each number of comparisons.

    Args:
        largest: the largest sum that it has to tell, 0: that of the arrays.
    """

    largest: int = 0

    kind: ClassVar[str] = "activity_sar"

    def __post_init__(self) -> None:
        check_int("ActivitySAR.largest", self.largest, 0, 1 << MAX_BITS)

    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree of a plain SAR that reaches `largest`, for sums within it."""
        return self._plain(lowest, highest).tree(lowest, highest)

    def tables(self, lowest: int, highest: int) -> Tables:
        """See `AdcDesign`: those of that plain SAR."""
        return self._plain(lowest, highest).tables(lowest, highest)

    def thresholds(self, lowest: int, highest: int) -> Sequence[int] | np.ndarray:
        """See `AdcDesign`: those of that plain SAR."""
        return self._plain(lowest, highest).thresholds(lowest, highest)

    def _plain(self, lowest: int, highest: int) -> UniformSAR:
        most = self.largest or highest
        bits = full_bits(-most if lowest < 0 else 0, most)
        return UniformSAR(min(bits, MAX_BITS))  # larger sums are recovered, not told

    def words(self, lowest: int, highest: int) -> Words:
        """None: the counter of driven word-lines says all."""
        del lowest, highest
        return Words(0, 0)

    def by_activity(self, rows: int, each: np.ndarray) -> ByActivity | None:
        """Buckets of driven word-lines that take equally many comparisons."""
        if self.largest:
            return None
        reach = {int(e): _alike(rows, int(e)) for e in np.unique(each)}
        edges = sorted({0}.union(*reach.values()))
        designs: dict[AdcDesign, int] = {}
        index = np.full((len(edges), *each.shape), -1)
        for bucket, edge in enumerate(edges[1:], 1):
            for e, groups in reach.items():
                last = next(last for first, last in groups.items() if first <= edge <= last)
                design = ActivitySAR(min(last * e, 1 << MAX_BITS))
                index[bucket][each == e] = designs.setdefault(design, len(designs))
        return ByActivity(tuple(edges), tuple(designs), index)


def _alike(rows: int, each: int) -> dict[int, int]:
    """First and last of the numbers of driven word-lines whose sums take equally many bits."""
    groups, first = {}, 1
    while first <= rows:
        last = min(((1 << (first * each).bit_length()) - 1) // each, rows)
        groups[first] = last
        first = last + 1
    return groups
