"""ADCs as binary search trees over the bit-line sum, compiled to look-up tables.

A comparator-based ADC finds a level by comparisons: an inner node of its tree is one comparison of
the bit-line sum with a threshold, a leaf is the level it decodes to. `compile_tables` turns a
design into the two tables that every backend works with. A design is a frozen dataclass that names
its hardware parameters; the tree follows from them.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reram_torch.validate import check_choice, check_int

MAX_BITS = 16


@dataclass(frozen=True)
class Leaf:
    """The end of a search: the level that the shift-add receives."""

    level: int


@dataclass(frozen=True)
class Node:
    """One comparison: sums below `threshold` go on to `below`, the others to `above`."""

    threshold: int
    below: Leaf | Node
    above: Leaf | Node


@dataclass(frozen=True)
class Tables:
    """A search tree by bit-line sum.

    Attributes:
        lowest: the sum that index 0 stands for.
        level: decoded level of each sum, int32, shape (V,).
        comparisons: A/D operations of each sum, uint8, shape (V,).
    """

    lowest: int
    level: np.ndarray
    comparisons: np.ndarray


def _check_step(name: str, value: object) -> None:
    check_int(name, value, 1, 1 << MAX_BITS)
    if value & (value - 1):
        raise ValueError(f"{name} must be a power of two (decoding is a shift), not {value!r}")


def _balanced(levels: list[int]) -> Leaf | Node:
    """The tree of a SAR search over equally spaced levels: each sum goes to the nearest one.

    Thresholds lie halfway between levels; a sum on the threshold goes to the upper level.
    """
    if len(levels) == 1:
        return Leaf(levels[0])
    half = len(levels) // 2
    threshold = -((-levels[half - 1] - levels[half]) // 2)
    return Node(threshold, _balanced(levels[:half]), _balanced(levels[half:]))


def _grid(bits: int, step: int, lowest: int) -> list[int]:
    """The 2^bits levels of a plain ADC: from zero, or around it where sums can be negative."""
    first = 0 if lowest >= 0 else -(1 << bits) // 2
    return [(first + code) * step for code in range(1 << bits)]


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


def _from_depths(starts: tuple[int, ...], leaves: list[Leaf | Node], depths: tuple[int, ...]):
    """The tree whose leaves, in order, lie at these depths."""
    stack: list[tuple[int, int, Leaf | Node]] = []  # depth, first sum, subtree
    for start, leaf, depth in zip(starts, leaves, depths, strict=True):
        stack.append((depth, start, leaf))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0] > 0:
            _, threshold, above = stack.pop()
            made, first, below = stack.pop()
            stack.append((made - 1, first, Node(threshold, below, above)))
    if len(stack) != 1 or stack[0][0] != 0:
        raise ValueError(f"depths {list(depths)} are not those of a binary tree's leaves, in order")
    return stack[0][2]


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


AdcDesign = UniformSAR | TwinRange | Intervals | SearchTree
DESIGNS: dict[str, type] = {
    design.kind: design for design in (UniformSAR, TwinRange, Intervals, SearchTree)
}


def design_from_dict(values: dict, where: str = "adc") -> AdcDesign:
    """An ADC design from its `kind` and parameters, as in a TOML table.

    Raises:
        ValueError: an unknown kind or key, or a parameter out of range.
    """
    values = dict(values)
    kind = values.pop("kind", None)
    check_choice(f"{where}.kind", kind, tuple(sorted(DESIGNS)))
    known = [field.name for field in dataclasses.fields(DESIGNS[kind])]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"{where}: unknown key {unknown[0]!r} for kind {kind!r}; known: {known}")
    return DESIGNS[kind](**values)


def design_to_dict(design: AdcDesign) -> dict:
    """The inverse of `design_from_dict`."""
    return {"kind": design.kind, **dataclasses.asdict(design)}


@lru_cache(maxsize=4096)
def compile_tables(design: AdcDesign, lowest: int, highest: int) -> Tables:
    """The tables of a design over the sums `lowest` to `highest`, both included."""
    level = np.empty(highest - lowest + 1, dtype=np.int32)
    comparisons = np.empty_like(level, dtype=np.uint8)
    # (subtree, first sum, last sum, depth); only what the sums can reach is visited.
    todo = [(design.tree(lowest, highest), lowest, highest, 0)]
    while todo:
        tree, first, last, depth = todo.pop()
        if first > last:
            continue
        if isinstance(tree, Leaf):
            level[first - lowest : last - lowest + 1] = tree.level
            comparisons[first - lowest : last - lowest + 1] = depth
        else:
            todo.append((tree.below, first, min(last, tree.threshold - 1), depth + 1))
            todo.append((tree.above, max(first, tree.threshold), last, depth + 1))
    return Tables(lowest, level, comparisons)
