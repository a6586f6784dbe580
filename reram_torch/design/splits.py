"""Where to split runs of values: the dynamic programme that optimal searches share.

With the cost of ending at a run, as a leaf, and the cost of one more comparison of a run,

    f(a, b) = min( leaf(a, b), node(a, b) + min over s of f(a, s) + f(s + 1, b) ).

Costs are arrays [length - 1, start, T] over runs of joined values, for T tables at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

_HALVINGS = 24  # of the price of a leaf

Ends: TypeAlias = list[tuple[int, int, int]]  # first run, last run and depth of each leaf


@dataclass(frozen=True)
class Costs:
    """What searches over the same values cost, for T tables.

    Attributes:
        leaf: of ending at a run, (n, n, T); infinity where it may not.
        node: of one more comparison of a run, likewise.
        single: of one level for all values, which starts no conversion, (T,).
        start: of all conversions that start, (T,).
    """

    leaf: np.ndarray
    node: np.ndarray
    single: np.ndarray
    start: np.ndarray

    @property
    def values(self) -> int:
        """How many values, joined."""
        return len(self.leaf)

    def of(self, tables: np.ndarray) -> Costs:
        """Those of some of the tables."""
        return Costs(
            self.leaf[..., tables], self.node[..., tables], self.single[tables], self.start[tables]
        )

    def dearer(self, leaf: np.ndarray) -> Costs:
        """The same with a price for each leaf, (T,)."""
        return Costs(self.leaf + leaf, self.node, self.single + leaf, self.start)


def best_ends(costs: Costs, depth: int | None = None, leaves: int | None = None) -> list[Ends]:
    """The leaves of the best search of each table, in order.

    A cap on leaves is met by a price for each leaf, the least that meets it (bisected): searches
    are then optimal for the leaves that they have, which may be fewer than the cap.

    Args:
        costs: of the searches.
        depth: the most comparisons of a search; None: any number.
        leaves: the most leaves; None: any number.

    Raises:
        ValueError: no search is that small.
    """
    ends = _ends_all(costs, depth)
    return ends if leaves is None else _with_leaves(costs, depth, leaves, ends)


def _ends_all(costs: Costs, depth: int | None) -> list[Ends]:
    splits, whole = _splits(costs, depth)
    single = costs.single <= whole + costs.start
    n = costs.values
    return [[(0, n - 1, 0)] if one else _ends(splits, t, n, depth) for t, one in enumerate(single)]


def _with_leaves(costs: Costs, depth: int | None, most: int, ends: list[Ends]) -> list[Ends]:
    """The searches of `ends`, those of too many leaves replaced by smaller ones."""
    large = np.array([t for t, found in enumerate(ends) if len(found) > most], dtype=int)
    if not len(large):
        return ends
    ends, costs = list(ends), costs.of(large)
    if np.isinf(costs.leaf[-1, 0]).any():
        raise ValueError(f"no tree of {most} leaves is free of error over {costs.values} values")
    # Beyond the cost of a single leaf, no second one pays.
    low, high = np.full(len(large), 2.0**-60), 2 * (costs.leaf[-1, 0] + 1e-300)
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        found = _ends_all(costs.dearer(middle), depth)
        fits = np.array([len(f) <= most for f in found])
        for k in np.flatnonzero(fits):
            ends[large[k]] = found[k]
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
    for t in large:  # one leaf always fits
        if len(ends[t]) > most:
            ends[t] = [(0, costs.values - 1, 0)]
    return ends


def _splits(costs: Costs, depth: int | None) -> tuple[list[np.ndarray], np.ndarray]:
    """Where the best search of each run splits: runs on the left, 0 for a leaf; and what all cost.

    One array [length - 1, start, T] if depth is free, else one for each depth that is left.
    """
    if depth is None:
        best, splits = _split_all(costs)
        found = [splits]
    else:
        best, found = costs.leaf, [np.zeros(costs.leaf.shape, dtype=np.int16)]
        for _ in range(depth):
            best, splits = _split_once(costs, best)
            found.append(splits)
    if np.isinf(best[-1, 0]).any():
        size = "" if depth is None else f" of depth {depth}"
        raise ValueError(f"no tree{size} is free of error over {costs.values} values")
    return found, best[-1, 0]


def _split_all(costs: Costs) -> tuple[np.ndarray, np.ndarray]:
    leaf, n = costs.leaf, costs.values
    best, splits = leaf.copy(), np.zeros(leaf.shape, dtype=np.int16)
    right = np.empty_like(leaf)
    right[0] = leaf[0]
    for length in range(1, n):
        _split_runs(best, splits, costs.node, (best, right), length)
        right[length, length:] = best[length, : n - length]
    return best, splits


def _split_once(costs: Costs, below: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best searches whose sides are at most as deep as those of `below`."""
    leaf, n = costs.leaf, costs.values
    best, splits = leaf.copy(), np.zeros(leaf.shape, dtype=np.int16)
    right = np.empty_like(below)
    for length in range(n):
        right[length, length:] = below[length, : n - length]
    for length in range(1, n):
        _split_runs(best, splits, costs.node, (below, right), length)
    return best, splits


def _split_runs(
    best: np.ndarray,
    splits: np.ndarray,
    node: np.ndarray,
    sides: tuple[np.ndarray, np.ndarray],
    length: int,
) -> None:
    """Splits the runs of one length where that is better than what they are.

    The first of `sides` holds what shorter runs cost by length and start, the second the same by
    length and end: so both sides of all splits are plain slices.
    """
    left, right = sides
    runs = slice(len(best) - length)
    both = left[:length, runs] + right[length - 1 :: -1, length:][:length]
    at = both.argmin(0)
    cost = np.take_along_axis(both, at[None], 0)[0] + node[length, runs]
    better = cost < best[length, runs]
    np.copyto(best[length, runs], cost, where=better)
    np.copyto(splits[length, runs], at + 1, where=better, casting="unsafe")


def _ends(splits: list[np.ndarray], t: int, n: int, depth: int | None) -> Ends:
    """(first run, last run, depth) of the leaves of one search, in order."""
    found, todo = [], [(0, n - 1, 0)]
    while todo:
        a, b, made = todo.pop()
        left = 0 if depth is None else depth - made
        size = int(splits[left][b - a, a, t])
        if not size:
            found.append((a, b, made))
            continue
        todo.append((a + size, b, made + 1))
        todo.append((a, a + size - 1, made + 1))
    return found
