"""The optimal search tree on a histogram of bit-line sums, by dynamic programming.

For sums a to b with counts c(v) and error weights e(v), at a price for each comparison,

    f(a, b) = min( min over levels l of sum_v e(v) (v - l)^2,
                   price * sum_v c(v) + min over s of f(a, s) + f(s + 1, b) ):

either one leaf decodes all of them, or one comparison splits them. This is exact: no other tree of
comparisons does better, so the result is a design and the bound for every other design. It is the
optimal alphabetic tree (Gilbert and Moore, 1959) with leaves that may hold several values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

_MOST_VALUES = 520  # that thresholds may lie between; more are joined in steps, if errors may be
_MOST_RUNS = 4 << 20  # of all tables that are solved at once
_HALVINGS = 24  # of the price of a leaf


@dataclass(frozen=True)
class Trees:
    """Search trees over the same values, one for each histogram.

    Attributes:
        starts: for each tree, the index of the first value of each leaf, rising from 0.
        levels: the level of each leaf, as an index that may lie between values' own.
        depths: comparisons that end in each leaf.
    """

    starts: list[list[int]]
    levels: list[list[int]]
    depths: list[list[int]]


_Ends: TypeAlias = list[tuple[int, int, int]]  # first run, last run and depth of each leaf
_FIELDS = "starts", "levels", "depths"


def optimal_trees(
    counts: np.ndarray,
    errors: np.ndarray,
    price: np.ndarray | float,
    *,
    depth: int | None = None,
    leaves: int | None = None,
    grid: int = 1,
    lowest: int = 0,
) -> Trees:
    """The optimal trees for several histograms at once.

    A cap on leaves is met by a price for each leaf, the least that meets it (bisected): trees are
    then optimal for the leaves that they have, which may be fewer than the cap.

    Args:
        counts: conversions by table and value, (T, V).
        errors: weight of a squared error, (T, V); infinity allows no error at all.
        price: of a comparison, by table (T,) or for all.
        depth: the most comparisons that a conversion may take; None: any number.
        leaves: the most leaves; None: any number.
        grid: thresholds are multiples of this sum only, as hardware may demand.
        lowest: the sum of the first value.

    Raises:
        ValueError: no tree is that small.
    """
    T, V = counts.shape
    if not np.isinf(errors).any():
        grid = max(grid, -(-V // _MOST_VALUES))
    price = np.broadcast_to(np.asarray(price, dtype=float), T)
    most = max(1, _MOST_RUNS // -((-V // grid) ** 2))
    if most < T:
        parts = [
            optimal_trees(
                counts[k : k + most], errors[k : k + most], price[k : k + most],
                depth=depth, leaves=leaves, grid=grid, lowest=lowest,
            )
            for k in range(0, T, most)
        ]  # fmt: skip
        return Trees(*([tree for p in parts for tree in getattr(p, f)] for f in _FIELDS))
    # Values between possible thresholds are joined.
    first = np.unique(np.append(np.flatnonzero((lowest + np.arange(V)) % grid == 0), 0))
    n = len(first)
    sums = np.concatenate([np.zeros((T, 1)), np.cumsum(counts, 1)], 1)
    last = np.append(first[1:], V)
    leaf, level = _leaves(errors, first, last)
    weight = np.zeros((n, n, T))  # [length - 1, start]: comparisons at a node
    for length in range(n):
        weight[length, : n - length] = (sums[:, last[length:]] - sums[:, first[: n - length]]).T
    weight *= price
    ends = _ends_all(leaf, weight, depth)
    if leaves is not None:
        ends = _with_leaves(leaf, weight, depth, leaves, ends)
    return Trees(
        [[int(first[a]) for a, _, _ in found] for found in ends],
        [[int(level[b - a, a, t]) for a, b, _ in found] for t, found in enumerate(ends)],
        [[d for _, _, d in found] for found in ends],
    )


def _ends_all(leaf: np.ndarray, weight: np.ndarray, depth: int | None) -> list[_Ends]:
    splits = _splits(leaf, weight, depth)
    return [_ends(splits, t, len(leaf), depth) for t in range(leaf.shape[2])]


def _with_leaves(
    leaf: np.ndarray, weight: np.ndarray, depth: int | None, most: int, ends: list[_Ends]
) -> list[_Ends]:
    """The trees of `ends`, those of too many leaves replaced by smaller ones."""
    large = np.array([t for t, found in enumerate(ends) if len(found) > most], dtype=int)
    if not len(large):
        return ends
    ends, leaf, weight = list(ends), leaf[..., large], weight[..., large]
    if np.isinf(leaf[-1, 0]).any():
        raise ValueError(f"no tree of {most} leaves is free of error over {len(leaf)} values")
    # Beyond the cost of a single leaf, no second one pays.
    low, high = np.full(len(large), -60.0), np.log2(leaf[-1, 0] + 1e-300) + 1
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = _ends_all(leaf + 2.0**middle, weight, depth)
        fits = np.array([len(f) <= most for f in found])
        for k in np.flatnonzero(fits):
            ends[large[k]] = found[k]
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
    for t in large:  # one leaf always fits
        if len(ends[t]) > most:
            ends[t] = [(0, len(leaf) - 1, 0)]
    return ends


def _leaves(
    errors: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cost and level of one leaf for each run of values: [runs joined - 1, first run, T]."""
    n, (T, V) = len(first), errors.shape
    exact = np.isinf(errors).any(1)
    finite = np.where(np.isinf(errors), 0.0, errors)
    values = np.arange(V)
    sums = [
        np.concatenate([np.zeros((T, 1)), np.cumsum(finite * values**k, 1)], 1) for k in range(3)
    ]
    cost, level = np.zeros((n, n, T)), np.zeros((n, n, T), dtype=np.int64)
    for length in range(n):
        a, b = first[: n - length], last[length:]
        zero, one, two = (s[:, b] - s[:, a] for s in sums)
        middle = (a + b - 1) / 2
        mean = np.divide(one, zero, out=np.broadcast_to(middle, one.shape).copy(), where=zero > 0)
        best = np.clip(np.rint(mean), a, b - 1)
        found = np.maximum(two - 2 * best * one + best**2 * zero, 0)
        found[exact] = np.where(b - a > 1, np.inf, 0.0)
        cost[length, : n - length], level[length, : n - length] = found.T, best.T
    return cost, level


def _splits(leaf: np.ndarray, weight: np.ndarray, depth: int | None) -> list[np.ndarray]:
    """Where the best tree of each run splits: runs on the left, 0 for a leaf.

    One array [length - 1, start, T] if depth is free, else one for each depth that is left.
    """
    if depth is None:
        return [_split_all(leaf, weight)]
    best, found = leaf, [np.zeros(leaf.shape, dtype=np.int16)]
    for _ in range(depth):
        best, splits = _split_once(leaf, weight, best)
        found.append(splits)
    if np.isinf(best[-1, 0]).any():
        raise ValueError(f"no tree of depth {depth} is free of error over {len(leaf)} values")
    return found


def _split_all(leaf: np.ndarray, weight: np.ndarray) -> np.ndarray:
    n = len(leaf)
    best, splits = leaf.copy(), np.zeros(leaf.shape, dtype=np.int16)
    right = np.empty_like(leaf)
    right[0] = leaf[0]
    for length in range(1, n):
        _split_runs(best, splits, weight, best, right, length)
        right[length, length:] = best[length, : n - length]
    return splits


def _split_once(
    leaf: np.ndarray, weight: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best trees whose sides are at most as deep as those of `below`."""
    n = len(leaf)
    best, splits = leaf.copy(), np.zeros(leaf.shape, dtype=np.int16)
    right = np.empty_like(below)
    for length in range(n):
        right[length, length:] = below[length, : n - length]
    for length in range(1, n):
        _split_runs(best, splits, weight, below, right, length)
    return best, splits


def _split_runs(
    best: np.ndarray,
    splits: np.ndarray,
    weight: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    length: int,
) -> None:
    """Splits the runs of one length where that is better than what they are.

    `left` holds what shorter runs cost by length and start, `right` the same by length and end: so
    both sides of all splits are plain slices.
    """
    runs = slice(len(best) - length)
    both = left[:length, runs] + right[length - 1 :: -1, length:][:length]
    at = both.argmin(0)
    cost = np.take_along_axis(both, at[None], 0)[0] + weight[length, runs]
    better = cost < best[length, runs]
    np.copyto(best[length, runs], cost, where=better)
    np.copyto(splits[length, runs], at + 1, where=better, casting="unsafe")


def _ends(splits: list[np.ndarray], t: int, n: int, depth: int | None) -> _Ends:
    """(first run, last run, depth) of the leaves of one tree, in order."""
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
