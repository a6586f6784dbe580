"""The paper's twin-range ADC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reram_torch._support.checks import check_int
from reram_torch.adc.base import (
    MAX_BITS,
    AdcDesign,
    Shown,
    Storage,
    Words,
    check_step,
    register_adc,
    sum_bits,
)
from reram_torch.adc.trees import Node, Tree, balanced, grid_code, grid_level, grid_levels


@register_adc
@dataclass(frozen=True)
class TwinRange(AdcDesign):
    """Interval-based quantization with two ranges (Zhang et al., DATE 2024, arXiv 2402.06164).

    The dense range R1 = [bias, bias + 2^n1 * step) is resolved to `step` with n1 bit cycles;
    everything else, R2, to step * 2^m with n2 bit cycles. Both on the grid of a plain ADC of their
    step (`UniformSAR`), in R1 from the code of `bias` on: where that is a multiple of the step less
    half of it, every code of R1 holds `step` sums. One comparison detects the range, two where R2
    lies on both sides of R1. The code is the flag followed by n1 or n2 bits.

    Args:
        bias: where R1 begins; negative only for encodings whose sums can be negative.
        n1: bit cycles in R1, 0 to 15 (0: a single level).
        n2: bit cycles in R2, 1 to 16.
        step: distance of two levels in R1, a power of two.
        m: log2 of how much coarser R2 is.
    """

    bias: int = 0
    n1: int = 3
    n2: int = 5
    step: int = 1
    m: int = 3

    kind: ClassVar[str] = "twin_range"

    def __post_init__(self) -> None:
        check_int("TwinRange.bias", self.bias, -(1 << MAX_BITS), 1 << MAX_BITS)
        check_int("TwinRange.n1", self.n1, 0, MAX_BITS - 1)
        check_int("TwinRange.n2", self.n2, 1, MAX_BITS)
        check_step("TwinRange.step", self.step)
        check_int("TwinRange.m", self.m, 0, MAX_BITS)

    @property
    def end(self) -> int:
        """The first sum above R1."""
        return self.bias + (self.step << self.n1)

    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree for sums from `lowest` to `highest`.

        Raises:
            ValueError: R1 does not meet [lowest, highest].
        """
        if self.bias > highest or self.end <= lowest:
            raise ValueError(
                f"TwinRange: R1 = [{self.bias}, {self.end}) lies outside the bit-line sums "
                f"{lowest} to {highest}"
            )
        first = grid_code(self.bias, self.step)
        dense = balanced([grid_level(first + k, self.step) for k in range(1 << self.n1)])
        coarse = balanced(grid_levels(self.n2, self.step << self.m, lowest))
        above = self.end <= highest
        below = self.bias > lowest
        if above and below:
            # The flag takes both comparisons, whichever the first one says.
            return Node(self.end, Node(self.bias, coarse, dense), Node(self.bias, coarse, coarse))
        if below:
            return Node(self.bias, coarse, dense)
        return Node(self.end, dense, coarse)

    def payload(self, value: int, comparisons: int) -> int:
        """Bit cycles of a sum's search, after the flag."""
        del comparisons
        return self.n1 if self.bias <= value < self.end else self.n2

    def storage(self, lowest: int, highest: int, codes: int) -> Storage:
        """The bounds of R1, its start and steps, and both numbers of bit cycles."""
        del codes
        width, shift = sum_bits(lowest, highest), sum_bits(lowest, highest).bit_length()
        bounds = int(self.bias > lowest) + int(self.end <= highest)
        return Storage(bounds, bounds * width, width + 4 * shift)

    def words(self, lowest: int, highest: int) -> Words:
        """One: where R1 begins, both numbers of bit cycles and both steps."""
        width = sum_bits(lowest, highest)
        return Words(1, width + 4 * width.bit_length())

    @property
    def shown(self) -> Shown:
        """R1, and what both ranges resolve."""
        coarse = self.step << self.m
        text = f"R1: {self.n1} bit, step {self.step}; R2: {self.n2} bit, step {coarse}"
        return Shown("R1", self.bias, self.end, text)
