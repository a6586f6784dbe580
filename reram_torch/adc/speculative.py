"""A plain SAR ADC that leaves what saturates it to be recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reram_torch._support.checks import check_int
from reram_torch.adc.base import MAX_BITS, AdcDesign, Words, check_step, register_adc
from reram_torch.adc.trees import ESCAPE, Tables, Tree, balanced, grid_levels, without
from reram_torch.adc.uniform import UniformSAR


@register_adc
@dataclass(frozen=True)
class SpeculativeSAR(AdcDesign):
    """A plain SAR ADC whose last codes mean: too large, to be recovered bit by bit.

    Its codes are those of `UniformSAR`. Sums of the last one, and of the first where they can be
    negative, are recovered from the cycle's single bits, whose sums a `UniformSAR` of the same bits
    and step converts, saturating (RAELLA: Andrulis et al., ISCA 2023). For crossbars with
    `speculation`.

    Args:
        bits: resolution, 2 to 16.
        step: distance of two levels, a power of two.
    """

    bits: int = 7
    step: int = 1

    kind: ClassVar[str] = "speculative"

    def __post_init__(self) -> None:
        why = "codes beside those at the ends"
        check_int("SpeculativeSAR.bits", self.bits, 2, MAX_BITS, why)
        check_step("SpeculativeSAR.step", self.step)

    @property
    def escapes(self) -> bool:
        """True: it leaves sums to be recovered."""
        return True

    def final(self) -> UniformSAR:
        """What converts the sums of recoveries."""
        return UniformSAR(self.bits, self.step)

    @property
    def controller(self) -> str:
        """A programmable SAR."""
        return UniformSAR.kind

    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree for sums from `lowest` to `highest`."""
        del highest
        levels = grid_levels(self.bits, self.step, lowest)
        ends = {levels[-1], levels[0]} if lowest < 0 else {levels[-1]}
        return without(balanced(levels), ends)

    def tables(self, lowest: int, highest: int) -> Tables:
        """See `AdcDesign`: the codes of a plain ADC, less those at the ends."""
        plain = self.final().tables(lowest, highest)
        levels = grid_levels(self.bits, self.step, lowest)
        out = plain.level == levels[-1]
        if lowest < 0:
            out |= plain.level == levels[0]
        return Tables(lowest, np.where(out, ESCAPE, plain.level), plain.comparisons)

    def thresholds(self, lowest: int, highest: int) -> Sequence[int] | np.ndarray:
        """See `AdcDesign`: those of a plain ADC."""
        return self.final().thresholds(lowest, highest)

    def words(self, lowest: int, highest: int) -> Words:
        """One: the bits and the step of a programmable SAR."""
        return self.final().words(lowest, highest)
