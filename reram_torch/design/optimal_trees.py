"""The optimal search on a histogram of bit-line sums: of single levels, or of small plain ADCs.

For sums a to b with counts c(v) and error weights e(v), at a price for each comparison, for each
word that the search stores and for each conversion that starts, a search ends at one level,

    min over levels l of sum_v e(v) (v - l)^2,

or, in `optimal_segments`, at a *run*: a small plain ADC of q bits and a step,

    sum_v e(v) (v - level(v))^2 + price * q * sum_v c(v) + word,

or it escapes, where that has a cost x(v): the sum is taken for too large, and told otherwise,

    sum_v x(v) + word,

or it makes one more comparison (`design.splits`). This is exact: no other search does better, so
the result is a design and the bound for every other design. With levels alone it is the optimal
alphabetic tree (Gilbert and Moore, 1959) with leaves that may hold several values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from reram_torch.design.endings import Endings, search_of
from reram_torch.design.escaping_trees import with_windows
from reram_torch.design.searches import MOST_VALUES, Histograms, Limits, Search, TablePrices
from reram_torch.design.splits import best_ends
from reram_torch.native import searches as native
from reram_torch.ops.backends import use_native

_MOST_RUNS = 4 << 20  # of groups, of all tables that are solved at once


def optimal_trees(
    histograms: Histograms, prices: TablePrices, limits: Limits | None = None
) -> list[Search]:
    """The optimal search of single levels for each of several histograms.

    Raises:
        ValueError: no search is that small.
    """
    h, limits = histograms, limits or Limits()
    found = _optimal(h, prices, limits, runs=False)
    exact = bool(np.isinf(h.errors).any(1).all())
    if not exact or h.escape is None or h.counts.shape[1] <= MOST_VALUES or limits != Limits():
        return found

    def without_escapes(given: Histograms) -> list[Search]:
        return _optimal(given, prices, limits, runs=False)

    return with_windows(found, h, prices, without_escapes)


def optimal_segments(
    histograms: Histograms, prices: TablePrices, limits: Limits | None = None
) -> list[Search]:
    """The optimal search of levels and runs; likewise."""
    return _optimal(histograms, prices, limits or Limits(), runs=True)


def _optimal(
    histograms: Histograms, prices: TablePrices, limits: Limits, *, runs: bool
) -> list[Search]:
    if not use_native():
        return _by_definition(histograms, prices, limits, runs=runs)
    depth = -1 if limits.depth is None else limits.depth
    rules = native.Rules(
        histograms.lowest, runs, runs and limits.aligned, depth, limits.leaves or 0
    )
    return solved(histograms, prices, limits.grid, rules)


def solved(
    histograms: Histograms, prices: TablePrices, grid: int, rules: native.Rules
) -> list[Search]:
    """The searches as the native library finds them.

    Args:
        histograms: of the tables.
        prices: of everything but errors and escapes.
        grid: thresholds are multiples of this sum.
        rules: what searches may be.

    Raises:
        ValueError: no search is that small.
    """
    h = histograms
    shapes, shape = h.cuts(grid, runs=bool(rules.runs or rules.intervals))
    starts = np.cumsum([0, *map(len, shapes)])
    cuts = native.Cuts(starts, np.concatenate(shapes), shape)
    by_table = prices.by_table(len(h.counts))
    found = native.searches(h.counts, h.errors, h.escape, by_table, cuts, rules)
    if len(found.number) and found.number.min() < 1:
        t = int(found.number.argmin())
        n = int(shapes[shape[t]][-1] - shapes[shape[t]][0])
        size = f" with thresholds at multiples of {grid}" if grid > 1 else ""
        size = f" of {rules.leaves} leaves" if rules.leaves else size
        size = f" of depth {rules.depth}" if rules.depth >= 0 else size
        why = "is free of error" if found.number[t] == 0 else "can be found in time"
        raise ValueError(f"no tree{size} {why} over {n} values")
    last = cuts.values[starts[1:] - 1][shape].tolist()
    counts, ends = found.number.tolist(), (found.first, found.level, found.shift, found.depth)
    searches = []
    for t, n in enumerate(counts):
        first, level, shift, deep = (each[t, :n].tolist() for each in ends)
        searches.append(search_of(first, last[t], level, shift, deep))
    return searches


def _by_definition(
    histograms: Histograms, prices: TablePrices, limits: Limits, *, runs: bool
) -> list[Search]:
    """In numpy: what the native library is tested against, and does without one."""
    found: dict[int, Search] = {}
    for tables, endings in endings_of(histograms, prices, limits.grid, runs=runs):
        if runs:
            endings.allow_runs(histograms.lowest, aligned=limits.aligned)
        ends = best_ends(endings.costs, limits.depth, limits.leaves)
        found |= {int(t): endings.search(k, ends[k]) for k, t in enumerate(tables)}
    return [found[t] for t in range(len(found))]


def endings_of(
    histograms: Histograms, prices: TablePrices, grid: int, *, runs: bool
) -> Iterator[tuple[np.ndarray, Endings]]:
    """Where the searches of tables may end, for some of them at once, and which these are.

    Args:
        histograms: of the tables.
        prices: of everything but errors and escapes.
        grid: thresholds are multiples of this sum.
        runs: whether searches may end at runs too.
    """
    h, by_table = histograms, prices.by_table(len(histograms.counts))
    shapes, shape = h.cuts(grid, runs=runs)
    for k, cuts in enumerate(shapes):
        every = np.flatnonzero(shape == k)
        most = max(1, _MOST_RUNS // (len(cuts) - 1) ** 2)
        for t in (every[i : i + most] for i in range(0, len(every), most)):
            escape = None if h.escape is None else h.escape[t]
            yield t, Endings(h.counts[t], h.errors[t], by_table[t], cuts, escape)
