"""The plain SAR ADC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reram_torch._support.checks import check_int
from reram_torch.adc.base import (
    MAX_BITS,
    AdcDesign,
    Words,
    check_step,
    full_bits,
    register_adc,
)
from reram_torch.adc.trees import Leaf, Tables, Tree, balanced, grid_levels, met, middle


@register_adc
@dataclass(frozen=True)
class UniformSAR(AdcDesign):
    """A plain SAR ADC: `2**bits` levels `step` apart, `bits` comparisons for every conversion.

    Levels run from 0 upwards, or, for encodings whose sums can be negative, from -2^(bits-1) * step
    to (2^(bits-1) - 1) * step. With an even step those but 0 lie half a unit nearer to zero, in the
    middle of the sums that round to them, ties away from zero. Sums beyond the last level saturate.
    The ISAAC baseline is 8 bits with step 1 (Shafiee et al., ISCA 2016). With 0 bits nothing is
    converted: every sum is taken for the middle of the first `step` sums, or for 0 where sums can
    be negative.

    Args:
        bits: resolution, 0 to 16.
        step: distance of two levels, a power of two.
    """

    bits: int = 8
    step: int = 1

    kind: ClassVar[str] = "uniform"

    def __post_init__(self) -> None:
        check_int("UniformSAR.bits", self.bits, 0, MAX_BITS)
        check_step("UniformSAR.step", self.step)

    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree for sums from `lowest` to `highest`."""
        del highest
        if not self.bits:
            return Leaf(0 if lowest < 0 else middle(self.step))
        return balanced(grid_levels(self.bits, self.step, lowest))

    def tables(self, lowest: int, highest: int) -> Tables:
        """See `AdcDesign`: the nearest code of each sum."""
        values, first = np.arange(lowest, highest + 1), 0 if lowest >= 0 else -(1 << self.bits) // 2
        level = np.full(len(values), 0.0 if lowest < 0 else middle(self.step))
        if self.bits:
            codes = np.sign(values) * ((np.abs(values) + self.step // 2) // self.step)
            codes = np.clip(codes, first, first + (1 << self.bits) - 1)
            level = codes * self.step - np.sign(codes) * (0.5 if self.step % 2 == 0 else 0.0)
        return Tables(lowest, level, np.full(len(values), self.bits, dtype=np.uint8))

    def thresholds(self, lowest: int, highest: int) -> Sequence[int] | np.ndarray:
        """See `AdcDesign`: halfway between its levels."""
        s, codes = self.step, np.arange(1, 1 << self.bits)
        if lowest < 0:
            codes -= 1 << self.bits >> 1
        # Code k begins at k s - s / 2; a code below zero ends there, one further from zero.
        return met(codes * s - s // 2 + (codes <= 0) * (s % 2 == 0), lowest, highest)

    def words(self, lowest: int, highest: int) -> Words:
        """One: the bits and the step of a programmable SAR."""
        return Words(1, 2 * max((full_bits(lowest, highest) - 1).bit_length(), 1))

    @classmethod
    def candidates(cls, lowest: int, highest: int) -> list[AdcDesign]:
        """Every number of bits and step that is not finer than the sums ask for, and no bits."""
        steps = [1 << shift for shift in range(full_bits(lowest, highest))]
        most = {step: full_bits(lowest, highest, step) for step in steps}
        none: list[AdcDesign] = [cls(0, step) for step in steps[: 1 if lowest < 0 else None]]
        return none + [
            cls(bits, step)
            for bits in range(1, most[1] + 1)
            for step in steps
            if bits <= most[step]
        ]
