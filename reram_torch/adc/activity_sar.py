"""A SAR ADC that is told how many word-lines are driven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reram_torch._support.checks import check_int
from reram_torch.adc.base import MAX_BITS, AdcDesign, Words, full_bits, register_adc
from reram_torch.adc.trees import Tree, balanced, grid_levels


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
        most = self.largest or highest
        return balanced(grid_levels(full_bits(-most if lowest < 0 else 0, most), 1, lowest))

    def words(self, lowest: int, highest: int) -> Words:
        """None: the counter of driven word-lines says all."""
        del lowest, highest
        return Words(0, 0)

    def by_activity(
        self, highest: int, each: int
    ) -> tuple[tuple[int, ...], tuple[AdcDesign, ...]] | None:
        """Buckets of driven word-lines that take equally many comparisons."""
        if self.largest:
            return None
        edges, designs, first = [0], [], 1
        while first * each <= highest:
            last = ((1 << (first * each).bit_length()) - 1) // each
            edges.append(first)
            designs.append(ActivitySAR(min(last * each, highest)))
            first = last + 1
        return tuple(edges), tuple(designs)
