"""ADCs as binary search trees over the bit-line sum, compiled to look-up tables.

A comparator-based ADC finds a level by comparisons: an inner node of its tree is one comparison of
the bit-line sum with a threshold, a leaf is the level it decodes to. `compile_tables` turns a
design into the two tables that every backend works with. A design is a frozen dataclass that names
its hardware parameters; the tree follows from them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from reram_torch._support.checks import check_int
from reram_torch.adc.trees import Leaf, Node, _balanced, _from_depths, _grid

MAX_BITS = 16


def _check_step(name: str, value: object) -> None:
    check_int(name, value, 1, 1 << MAX_BITS)
    if value & (value - 1):
        raise ValueError(f"{name} must be a power of two (decoding is a shift), not {value!r}")


@dataclass(frozen=True)
class UniformSAR:
    """A plain SAR ADC: `2**bits` levels `step` apart, `bits` comparisons for every conversion.

    Levels run from 0 upwards, or, for encodings whose sums can be negative, from -2^(bits-1) * step
    to (2^(bits-1) - 1) * step. Sums beyond the last level saturate. The ISAAC baseline is 8 bits
    with step 1 (Shafiee et al., ISCA 2016).

    Args:
        bits: resolution, 1 to 16.
        step: distance of two levels, a power of two.
    """

    bits: int = 8
    step: int = 1

    kind = "uniform"

    def __post_init__(self) -> None:
        check_int("UniformSAR.bits", self.bits, 1, MAX_BITS)
        _check_step("UniformSAR.step", self.step)

    def tree(self, lowest: int, highest: int) -> Leaf | Node:
        """The search tree for sums from `lowest` to `highest`."""
        del highest
        return _balanced(_grid(self.bits, self.step, lowest))


@dataclass(frozen=True)
class TwinRange:
    """Interval-based quantization with two ranges (Zhang et al., DATE 2024, arXiv 2402.06164).

    The dense range R1 = [bias, bias + 2^n1 * step) is resolved to `step` with n1 bit cycles;
    everything else, R2, to step * 2^m with n2 bit cycles on the grid of a plain n2-bit ADC. One
    comparison detects the range, two where R2 lies on both sides of R1. The code is the flag
    followed by n1 or n2 bits.

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

    kind = "twin_range"

    def __post_init__(self) -> None:
        check_int("TwinRange.bias", self.bias, -(1 << MAX_BITS), 1 << MAX_BITS)
        check_int("TwinRange.n1", self.n1, 0, MAX_BITS - 1)
        check_int("TwinRange.n2", self.n2, 1, MAX_BITS)
        _check_step("TwinRange.step", self.step)
        check_int("TwinRange.m", self.m, 0, MAX_BITS)

    @property
    def end(self) -> int:
        """The first sum above R1."""
        return self.bias + (self.step << self.n1)

    def tree(self, lowest: int, highest: int) -> Leaf | Node:
        """The search tree for sums from `lowest` to `highest`.

        Raises:
            ValueError: R1 does not meet [lowest, highest].
        """
        if self.bias > highest or self.end <= lowest:
            raise ValueError(
                f"TwinRange: R1 = [{self.bias}, {self.end}) lies outside the bit-line sums "
                f"{lowest} to {highest}"
            )
        dense = _balanced([self.bias + k * self.step for k in range(1 << self.n1)])
        coarse = _balanced(_grid(self.n2, self.step << self.m, lowest))
        above = self.end <= highest
        below = self.bias > lowest
        if above and below:
            # The flag takes both comparisons, whichever the first one says.
            return Node(self.end, Node(self.bias, coarse, dense), Node(self.bias, coarse, coarse))
        if below:
            return Node(self.bias, coarse, dense)
        return Node(self.end, dense, coarse)


def _check_starts(where: str, starts: tuple[int, ...], count: int) -> None:
    if not starts or len(starts) != count:
        raise ValueError(f"{where}: starts, levels or bits, and depths must be equally many")
    if any(a >= b for a, b in itertools.pairwise(starts)):
        raise ValueError(f"{where}.starts must rise, not {list(starts)}")


def _integers(where: str, **values: object) -> tuple[tuple[int, ...], ...]:
    for name, numbers in values.items():
        if not isinstance(numbers, tuple | list):
            raise TypeError(f"{where}.{name} must be a list of whole numbers, not {numbers!r}")
        for number in numbers:
            check_int(f"{where}.{name}", number, -(1 << MAX_BITS), 1 << MAX_BITS)
    return tuple(tuple(map(int, numbers)) for numbers in values.values())


@dataclass(frozen=True)
class Intervals:
    """Any number of intervals, each a small plain ADC of its own; twin range is one with two.

    A detection tree finds the interval, then as many bit cycles follow as the interval has bits.
    Interval k holds the sums from `starts[k]` to the next start and resolves them to 2^bits[k]
    levels, `steps[k]` apart from its start; sums beyond its last level saturate there. The code is
    the path through the detection tree followed by the interval's bits.

    Args:
        starts: the first sum of each interval, rising; the first also takes all sums below.
        steps: distance of two levels, powers of two.
        bits: bit cycles, 0 to 15 (0: a single level).
        depths: comparisons that find each interval: of a binary tree's leaves, in order.
        offsets: the first level of each interval less its start (default: 0).
    """

    starts: tuple[int, ...] = (0,)
    steps: tuple[int, ...] = (1,)
    bits: tuple[int, ...] = (8,)
    depths: tuple[int, ...] = (0,)
    offsets: tuple[int, ...] | None = None

    kind = "intervals"

    def __post_init__(self) -> None:
        offsets = [0] * len(self.starts) if self.offsets is None else self.offsets
        names = ("starts", "steps", "bits", "depths", "offsets")
        values = (self.starts, self.steps, self.bits, self.depths, offsets)
        clean = _integers("Intervals", **dict(zip(names, values, strict=True)))
        for name, value in zip(names, clean, strict=True):
            object.__setattr__(self, name, value)
            _check_starts("Intervals", self.starts, len(value))
        for step, bits in zip(self.steps, self.bits, strict=True):
            _check_step("Intervals.steps", step)
            check_int("Intervals.bits", bits, 0, MAX_BITS - 1)
        self.tree(0, 0)

    def levels(self, interval: int) -> list[int]:
        """The levels of one interval."""
        first = self.starts[interval] + self.offsets[interval]
        return [first + k * self.steps[interval] for k in range(1 << self.bits[interval])]

    def tree(self, lowest: int, highest: int) -> Leaf | Node:
        """The search tree for sums from `lowest` to `highest`."""
        del lowest, highest
        parts = [_balanced(self.levels(k)) for k in range(len(self.starts))]
        return _from_depths(self.starts, parts, self.depths)


@dataclass(frozen=True)
class SearchTree:
    """Any binary search tree, by its leaves; `tree_search.optimal_trees` finds the best.

    Args:
        starts: the first sum of each leaf, rising; the first also takes all sums below. The others
            are the thresholds.
        levels: the level that each leaf decodes to.
        depths: comparisons that end in each leaf; they determine the tree.
    """

    starts: tuple[int, ...] = (0,)
    levels: tuple[int, ...] = (0,)
    depths: tuple[int, ...] = (0,)

    kind = "search_tree"

    def __post_init__(self) -> None:
        clean = _integers("SearchTree", starts=self.starts, levels=self.levels, depths=self.depths)
        for name, value in zip(("starts", "levels", "depths"), clean, strict=True):
            object.__setattr__(self, name, value)
            _check_starts("SearchTree", self.starts, len(value))
        if not all(0 <= depth <= 255 for depth in self.depths):
            raise ValueError(f"SearchTree.depths must be 0 to 255, not {list(self.depths)}")
        self.tree(0, 0)

    def tree(self, lowest: int, highest: int) -> Leaf | Node:
        """The search tree; the same for all sums."""
        del lowest, highest
        return _from_depths(self.starts, [Leaf(level) for level in self.levels], self.depths)
