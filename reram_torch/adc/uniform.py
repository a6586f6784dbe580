"""The plain SAR ADC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from reram_torch._support.checks import check_int
from reram_torch.adc.base import MAX_BITS, AdcDesign, check_step, full_bits, register_adc
from reram_torch.adc.trees import Tree, balanced, grid_levels


@register_adc
@dataclass(frozen=True)
class UniformSAR(AdcDesign):
    """A plain SAR ADC: `2**bits` levels `step` apart, `bits` comparisons for every conversion.

    Levels run from 0 upwards, or, for encodings whose sums can be negative, from -2^(bits-1) * step
    to (2^(bits-1) - 1) * step. With an even step those but 0 decode to half a unit less: that is
    the middle of the sums that round to them, ties upwards. Sums beyond the last level saturate.
    The ISAAC baseline is 8 bits with step 1 (Shafiee et al., ISCA 2016).

    Args:
        bits: resolution, 1 to 16.
        step: distance of two levels, a power of two.
    """

    bits: int = 8
    step: int = 1

    kind: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        check_int("UniformSAR.bits", self.bits, 1, MAX_BITS)
        check_step("UniformSAR.step", self.step)

    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree for sums from `lowest` to `highest`."""
        del highest
        return balanced(grid_levels(self.bits, self.step, lowest))

    @classmethod
    def candidates(cls, lowest: int, highest: int) -> list[AdcDesign]:
        """Every number of bits and step that is not finer than the sums ask for."""
        steps = [1 << shift for shift in range(full_bits(lowest, highest))]
        most = {step: full_bits(lowest, highest, step) for step in steps}
        return [
            cls(bits, step)
            for bits in range(1, most[1] + 1)
            for step in steps
            if bits <= most[step]
        ]
