"""Several intervals, each a small plain ADC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from reram_torch._support.checks import check_int
from reram_torch.adc.base import (
    MAX_BITS,
    AdcDesign,
    Storage,
    Words,
    check_halves,
    check_integers,
    check_starts,
    check_step,
    node_bits,
    register_adc,
    sum_bits,
)
from reram_torch.adc.trees import (
    ESCAPE,
    Tables,
    Tree,
    balanced,
    check_depths,
    from_depths,
    met,
    middle,
)


@register_adc
@dataclass(frozen=True)
class Intervals(AdcDesign):
    """Any number of intervals, each a small plain ADC of its own; twin range is one with two.

    A detection tree finds the interval, then as many bit cycles follow as the interval has bits.
    Interval k holds the sums from `starts[k]` to the next start and resolves them to 2^bits[k]
    levels, `steps[k]` apart; sums beyond its last level saturate there. The code is the path
    through the detection tree followed by the interval's bits.

    Args:
        starts: the first sum of each interval, rising; the first also takes all sums below.
        steps: distance of two levels, powers of two.
        bits: bit cycles, 0 to 15 (0: a single level).
        depths: comparisons that find each interval: of a binary tree's leaves, in order.
        offsets: the first level of each interval less its start, a multiple of 1/2. By default
            (step - 1) / 2: a level then is the middle of `step` sums, the first of them the start.
    """

    starts: tuple[int, ...] = (0,)
    steps: tuple[int, ...] = (1,)
    bits: tuple[int, ...] = (8,)
    depths: tuple[int, ...] = (0,)
    offsets: tuple[float, ...] | None = None

    kind: ClassVar[str] = "intervals"

    def __post_init__(self) -> None:
        names = ("starts", "steps", "bits", "depths")
        values = {name: getattr(self, name) for name in names}
        for name, value in zip(names, check_integers("Intervals", **values), strict=True):
            object.__setattr__(self, name, value)
            check_starts("Intervals", self.starts, len(value))
        for step, bits in zip(self.steps, self.bits, strict=True):
            check_step("Intervals.steps", step)
            check_int("Intervals.bits", bits, 0, MAX_BITS - 1)
        given = [middle(step) for step in self.steps] if self.offsets is None else self.offsets
        [offsets] = check_halves("Intervals", escapes=True, offsets=given)
        object.__setattr__(self, "offsets", offsets)
        if any(offset == ESCAPE and bits for offset, bits in zip(offsets, self.bits, strict=False)):
            raise ValueError("Intervals.bits must be 0 where an interval's offset is infinite")
        check_starts("Intervals", self.starts, len(offsets))
        check_depths(self.depths)

    @property
    def escapes(self) -> bool:
        """Whether the sums of an interval are recovered: one of an infinite offset."""
        assert self.offsets is not None  # since __post_init__
        return ESCAPE in self.offsets

    def levels(self, interval: int) -> list[float]:
        """The levels of one interval."""
        assert self.offsets is not None  # since __post_init__
        first = self.starts[interval] + self.offsets[interval]
        return [first + k * self.steps[interval] for k in range(1 << self.bits[interval])]

    def tree(self, lowest: int, highest: int) -> Tree:
        """The search tree for sums from `lowest` to `highest`."""
        del lowest, highest
        parts = [balanced(self.levels(k)) for k in range(len(self.starts))]
        return from_depths(self.starts, parts, self.depths)

    def _parts(self, lowest: int, highest: int) -> list[tuple[int, int]]:
        """The sums of each interval, from one up to another."""
        ends = np.clip([*self.starts[1:], highest + 1], lowest, highest + 1).tolist()
        return list(zip([lowest, *ends[:-1]], ends, strict=True))

    def tables(self, lowest: int, highest: int) -> Tables:
        """See `AdcDesign`: the nearest level of each sum's interval."""
        assert self.offsets is not None  # since __post_init__
        levels, made = [], []
        for k, (first, end) in enumerate(self._parts(lowest, highest)):
            base, step = self.starts[k] + self.offsets[k], self.steps[k]
            level = np.full(end - first, base, dtype=float)
            if self.bits[k]:
                codes = np.floor((np.arange(first, end) - base) / step + 0.5)
                level = base + step * np.clip(codes, 0, (1 << self.bits[k]) - 1)
            levels.append(level)
            made.append(np.full(end - first, self.depths[k] + self.bits[k], dtype=np.uint8))
        return Tables(lowest, np.concatenate(levels), np.concatenate(made))

    def thresholds(self, lowest: int, highest: int) -> Sequence[int] | np.ndarray:
        """See `AdcDesign`: of the detection tree, and of every interval that ends in bits."""
        assert self.offsets is not None  # since __post_init__
        found = [np.array(self.starts[1:], dtype=np.int64)]
        for k, (first, end) in enumerate(self._parts(lowest, highest)):
            codes = np.arange(1, 1 << self.bits[k])
            base, step = self.starts[k] + self.offsets[k], self.steps[k]
            if len(codes):
                between = np.ceil(base + step * (codes - 0.5)).astype(np.int64)
                found.append(met(between, first, end - 1))
        inner = found[0]
        if len(inner) and not lowest < inner[0] <= inner[-1] <= highest:
            return super().thresholds(lowest, highest)
        return np.concatenate(found)

    def payload(self, value: int, comparisons: int) -> int:
        """Bit cycles of a sum's search, after its interval is found."""
        del comparisons
        return self.bits[max(int(np.searchsorted(self.starts, value, "right")) - 1, 0)]

    def storage(self, lowest: int, highest: int, codes: int) -> Storage:
        """The detection tree's nodes; of each interval its start, a shift and its bits."""
        del codes
        n, width = len(self.starts), sum_bits(lowest, highest)
        successor = max(2 * n - 2, 1).bit_length()
        return Storage(
            n - 1,
            (n - 1) * (width + 2 * successor) * (n > 1),
            n * (width + 2 * width.bit_length()),
        )

    def words(self, lowest: int, highest: int) -> Words:
        """One for each node of the detection tree and for each interval that has bit cycles."""
        runs = sum(bits > 0 for bits in self.bits)
        return Words(max(len(self.starts) - 1 + runs, 1), node_bits(lowest, highest))
