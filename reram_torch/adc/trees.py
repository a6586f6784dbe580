"""Binary search trees over the bit-line sum, and the shapes that designs build them from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np


@dataclass(frozen=True)
class Leaf:
    """The end of a search: a level for the shift-add, a multiple of 1/2, or `ESCAPE`."""

    level: float


ESCAPE = math.inf  # a level: the sum is too large, and is recovered


@dataclass(frozen=True)
class Node:
    """One comparison: sums below `threshold` go on to `below`, the others to `above`."""

    threshold: int
    below: Tree
    above: Tree


Tree: TypeAlias = "Leaf | Node"


@dataclass(frozen=True)
class Tables:
    """A search tree by bit-line sum.

    Attributes:
        lowest: the sum that index 0 stands for.
        level: decoded level of each sum, a multiple of 1/2, float64, shape (V,).
        comparisons: A/D operations of each sum, uint8, shape (V,).
    """

    lowest: int
    level: np.ndarray
    comparisons: np.ndarray


def balanced(levels: Sequence[float]) -> Tree:
    """The tree of a SAR search over rising levels: each sum goes to the nearest one.

    Thresholds lie halfway between levels; a sum on the threshold goes to the upper level.
    """
    if len(levels) == 1:
        return Leaf(levels[0])
    half = len(levels) // 2
    threshold = math.ceil((levels[half - 1] + levels[half]) / 2)
    return Node(threshold, balanced(levels[:half]), balanced(levels[half:]))


def without(tree: Tree, levels: set[float]) -> Tree:
    """The same search, with sums of some levels to be recovered."""
    if isinstance(tree, Leaf):
        return Leaf(ESCAPE) if tree.level in levels else tree
    return Node(tree.threshold, without(tree.below, levels), without(tree.above, levels))


def grid_levels(bits: int, step: int, lowest: int) -> list[float]:
    """The 2^bits levels of a plain ADC: from zero, or around it where sums can be negative.

    Code k holds the sums that round to k * step, ties away from zero. With an even step their
    middle is half a unit nearer to zero, and half a unit would add up over all conversions: that is
    the level. Code 0 keeps the level 0, its middle where sums can be negative; where they cannot,
    most sums of sparse inputs are zero, and nearly all of the slices that count most, so that the
    middle of its code would be the larger error.
    """
    first = 0 if lowest >= 0 else -(1 << bits) // 2
    return [grid_level(code, step) for code in range(first, first + (1 << bits))]


def grid_level(code: int, step: int) -> float:
    """The level of a code: see `grid_levels`."""
    nearer = 0.5 if step % 2 == 0 else 0
    return code * step - (nearer if code > 0 else -nearer if code else 0)


def grid_code(value: int, step: int) -> int:
    """The code that a sum rounds to, ties away from zero."""
    code = (abs(value) + step // 2) // step
    return code if value >= 0 else -code


def middle(step: int) -> float:
    """How far the middle of `step` sums lies above the first of them."""
    return (step - 1) / 2 if step > 1 else 0


def compiled(tree: Tree, lowest: int, highest: int) -> Tables:
    """What a tree makes of the sums from `lowest` to `highest`."""
    level = np.empty(highest - lowest + 1)
    comparisons = np.empty_like(level, dtype=np.uint8)
    # (subtree, first sum, last sum, depth); only what the sums can reach is visited.
    todo = [(tree, lowest, highest, 0)]
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


def visited(tree: Tree, lowest: int, highest: int) -> list[int]:
    """The thresholds that some sum from `lowest` to `highest` is compared with."""
    found, todo = [], [(tree, lowest, highest)]
    while todo:
        tree, first, last = todo.pop()
        if first <= last and isinstance(tree, Node):
            found.append(tree.threshold)
            todo.append((tree.below, first, min(last, tree.threshold - 1)))
            todo.append((tree.above, max(first, tree.threshold), last))
    return found


def met(thresholds: np.ndarray, first: int, last: int) -> np.ndarray:
    """Those of a `balanced` search that some sum from `first` to `last` is compared with.

    These are all that part such sums, and what the first and the last are compared with on the way:
    a threshold above all of them is met by the last if by any, and one below by the first.

    Args:
        thresholds: of the whole search, rising.
        first: the smallest sum.
        last: the largest; below the first: there are none.
    """
    if first > last:
        return thresholds[:0]
    found = {*thresholds[(thresholds > first) & (thresholds <= last)].tolist()}
    for value in (first, last):
        low, high = 0, len(thresholds)
        while low < high:
            at = (low + high + 1) // 2 - 1
            found.add(int(thresholds[at]))
            low, high = (low, at) if value < thresholds[at] else (at + 1, high)
    return np.array(sorted(found), dtype=np.int64)


def check_depths(depths: tuple[int, ...]) -> None:
    """Raises ValueError unless these are the depths of a binary tree's leaves, in order."""
    stack: list[int] = []
    for depth in depths:
        stack.append(depth)
        while len(stack) > 1 and stack[-1] == stack[-2] > 0:
            stack.pop()
            stack[-1] -= 1
    if stack != [0]:
        raise ValueError(f"depths {list(depths)} are not those of a binary tree's leaves, in order")


def from_depths(starts: tuple[int, ...], leaves: Sequence[Tree], depths: tuple[int, ...]) -> Tree:
    """The tree whose leaves, in order, lie at these depths (`check_depths`)."""
    stack: list[tuple[int, int, Tree]] = []  # depth, first sum, subtree
    for start, leaf, depth in zip(starts, leaves, depths, strict=True):
        stack.append((depth, start, leaf))
        while len(stack) > 1 and stack[-1][0] == stack[-2][0] > 0:
            _, threshold, above = stack.pop()
            made, first, below = stack.pop()
            stack.append((made - 1, first, Node(threshold, below, above)))
    return stack[0][2]
