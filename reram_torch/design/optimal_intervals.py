"""The best few intervals, each a small plain ADC or a single level, on a histogram."""

from __future__ import annotations

from functools import cache
from typing import TypeAlias

import numpy as np

from reram_torch.design.endings import Endings
from reram_torch.design.optimal_trees import endings_of, solved
from reram_torch.design.searches import Histograms, Search, TablePrices
from reram_torch.design.splits import Ends
from reram_torch.native.searches import Rules
from reram_torch.ops.backends import use_native

MOST_INTERVALS = 4
_Pair: TypeAlias = tuple[int, np.ndarray, np.ndarray]  # intervals on the left; costs of the sides


def optimal_intervals(
    histograms: Histograms, prices: TablePrices, most: int = MOST_INTERVALS
) -> list[Search]:
    """The intervals and the detection tree of least cost, for each of several histograms.

    Every cut into at most `most` intervals, every step and number of bits of each, and every
    detection tree is tried, by dynamic programming over the cuts.

    Args:
        histograms: of the tables.
        prices: of everything but errors.
        most: intervals at most.
    """
    if use_native():
        rules = Rules(histograms.lowest, runs=True, intervals=most)
        return solved(histograms, prices, 1, rules)
    found: dict[int, Search] = {}
    for tables, endings in endings_of(histograms, prices, 1, runs=True):
        endings.allow_runs(histograms.lowest, aligned=False)
        found |= {
            int(t): endings.search(k, _best_ends(endings, k, most)) for k, t in enumerate(tables)
        }
    return [found[t] for t in range(len(found))]


def _best_ends(endings: Endings, t: int, most: int) -> Ends:
    """The intervals of a table: first value, last value, comparisons that find it."""
    costs = endings.costs
    V = costs.values
    first, last = np.triu_indices(V)
    leaf, detect = np.full((V, V), np.inf), np.zeros((V, V))  # [first, last]
    leaf[first, last] = costs.leaf[last - first, first, t]
    detect[first, last] = costs.node[last - first, first, t]
    trees, cuts = {1: leaf}, {}
    for k in range(2, most + 1):
        joined = _joined if k < most - 1 else _joined_at_the_ends
        cost, cuts[k] = joined([(j, trees[j], trees[k - j]) for j in range(1, k)], V)
        trees[k] = cost + detect
    k = min(trees, key=lambda n: float(trees[n][0, V - 1]))
    if costs.single[t] <= trees[k][0, V - 1] + costs.start[t]:
        k = 1
    return _ends(cuts, V, k)


def _joined(pairs: list[_Pair], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest cut of every run in two, and where: (intervals left of it, its last value)."""
    best, cut = np.full((size, size), np.inf), np.zeros((size, size, 2), dtype=np.int16)
    for left, a, b in pairs:
        for s in range(size - 1):
            cost = a[: s + 1, s, None] + b[None, s + 1, s + 1 :]
            part = best[: s + 1, s + 1 :]
            better = cost < part
            part[better] = cost[better]
            cut[: s + 1, s + 1 :][better] = (left, s)
    return best, cut


def _joined_at_the_ends(pairs: list[_Pair], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of runs from the first or to the last value, which is all that the root needs."""
    best, cut = np.full((size, size), np.inf), np.zeros((size, size, 2), dtype=np.int16)
    ends = [(0, last) for last in range(1, size)] + [
        (first, size - 1) for first in range(1, size - 1)
    ]
    for left, a, b in pairs:
        for first, last in ends:
            cost = a[first, first:last] + b[first + 1 : last + 1, last]
            s = int(cost.argmin())
            if cost[s] < best[first, last]:
                best[first, last], cut[first, last] = cost[s], (left, first + s)
    return best, cut


def _ends(cuts: dict[int, np.ndarray], size: int, k: int) -> Ends:
    @cache
    def parts(k: int, a: int, b: int, depth: int) -> tuple[tuple[int, int, int], ...]:
        if k == 1:
            return ((a, b, depth),)
        left, s = (int(x) for x in cuts[k][a, b])
        return parts(left, a, s, depth + 1) + parts(k - left, s + 1, b, depth + 1)

    return list(parts(k, 0, size - 1, 0))
