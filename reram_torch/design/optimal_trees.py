"""The optimal search on a histogram of bit-line sums: of single levels, or of small plain ADCs.

For sums a to b with counts c(v) and error weights e(v), at a price for each comparison, for each
word that the search stores and for each conversion that starts, a search ends at one level,

    min over levels l of sum_v e(v) (v - l)^2,

or, in `optimal_segments`, at a *run*: a small plain ADC of q bits and a step,

    sum_v e(v) (v - level(v))^2 + price * q * sum_v c(v) + word,

or it makes one more comparison (`design.splits`). This is exact: no other search does better, so
the result is a design and the bound for every other design. With levels alone it is the optimal
alphabetic tree (Gilbert and Moore, 1959) with leaves that may hold several values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.design.splits import Costs, Ends, best_ends

_MOST_VALUES = 520  # that thresholds may lie between; more are joined in steps, if errors may be
_MOST_RUNS = 4 << 20  # of all tables that are solved at once


@dataclass(frozen=True)
class TablePrices:
    """What searches cost beside their errors, each for all tables or by table (T,).

    Attributes:
        comparison: of a comparison.
        start: of a conversion that starts.
        word: of each word that is stored.
    """

    comparison: np.ndarray | float
    start: np.ndarray | float = 0.0
    word: np.ndarray | float = 0.0

    def by_table(self, tables: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three as arrays (T,)."""
        three = (self.comparison, self.start, self.word)
        comparison, start, word = (
            np.broadcast_to(np.asarray(x, dtype=float), tables) for x in three
        )
        return comparison, start, word

    def part(self, part: slice, tables: int) -> TablePrices:
        """Those of some of the tables."""
        return TablePrices(*(x[part] for x in self.by_table(tables)))


@dataclass(frozen=True)
class Limits:
    """What a search may be.

    Attributes:
        depth: the most comparisons of a conversion; None: any number.
        leaves: the most leaves; None: any number.
        grid: thresholds are multiples of this sum only, as hardware may demand.
        aligned: a run begins at a multiple of its width, as far as its bits reach.
    """

    depth: int | None = None
    leaves: int | None = None
    grid: int = 1
    aligned: bool = False


@dataclass(frozen=True)
class Search:
    """One search over values from 0, by its ends in order.

    Attributes:
        starts: the first value of each, rising from 0.
        levels: the first level of each, which may lie between values.
        steps: distance of two levels, 1 for a single one.
        bits: comparisons that an end makes itself, 0 for a single level.
        depths: comparisons that find each.
    """

    starts: tuple[int, ...]
    levels: tuple[float, ...]
    steps: tuple[int, ...]
    bits: tuple[int, ...]
    depths: tuple[int, ...]


def optimal_trees(
    counts: np.ndarray,
    errors: np.ndarray,
    prices: TablePrices,
    limits: Limits | None = None,
    lowest: int = 0,
) -> list[Search]:
    """The optimal search of single levels for each of several histograms.

    Args:
        counts: conversions by table and value, (T, V).
        errors: weight of a squared error, (T, V); infinity allows no error at all.
        prices: of everything else.
        limits: of the searches.
        lowest: the sum of the first value.

    Raises:
        ValueError: no search is that small.
    """
    return _optimal(counts, errors, prices, limits or Limits(), lowest, runs=False)


def optimal_segments(
    counts: np.ndarray,
    errors: np.ndarray,
    prices: TablePrices,
    limits: Limits | None = None,
    lowest: int = 0,
) -> list[Search]:
    """The optimal search of levels and runs; arguments as those of `optimal_trees`."""
    return _optimal(counts, errors, prices, limits or Limits(), lowest, runs=True)


def _optimal(
    counts: np.ndarray,
    errors: np.ndarray,
    prices: TablePrices,
    limits: Limits,
    lowest: int,
    *,
    runs: bool,
) -> list[Search]:
    T, V = counts.shape
    grid = limits.grid
    if not np.isinf(errors).any():
        grid = max(grid, -(-V // _MOST_VALUES))
    most = max(1, _MOST_RUNS // (-(-V // grid)) ** 2)
    if most < T:
        parts = (slice(k, k + most) for k in range(0, T, most))
        return [
            search
            for p in parts
            for search in _optimal(
                counts[p], errors[p], prices.part(p, T), limits, lowest, runs=runs
            )
        ]
    endings = Endings(counts, errors, prices, grid, lowest)
    if runs:
        endings.allow_runs(aligned=limits.aligned)
    ends = best_ends(endings.costs, limits.depth, limits.leaves)
    return [endings.search(t, found) for t, found in enumerate(ends)]


class Endings:
    """Where searches may end: at single levels, or at runs.

    Arrays are [length - 1, start, T], over runs of the values between possible thresholds.

    Args:
        counts: conversions by table and value, (T, V).
        errors: weight of a squared error, likewise.
        prices: of everything but errors.
        grid: thresholds are multiples of this sum.
        lowest: the sum of the first value.

    Attributes:
        costs: of the searches.
    """

    def __init__(
        self,
        counts: np.ndarray,
        errors: np.ndarray,
        prices: TablePrices,
        grid: int,
        lowest: int,
    ):
        T, V = counts.shape
        comparison, start, self._word = prices.by_table(T)
        self._errors, self._lowest = errors, lowest
        inner = np.flatnonzero((lowest + np.arange(V)) % grid == 0)
        self._first = np.unique(np.append(inner, 0))
        self._last = np.append(self._first[1:], V)
        leaf, self._level = _levels(errors, self._first, self._last)
        self._made = _within(counts, self._first, self._last) * comparison
        node, single = self._made + self._word, leaf[-1, 0].copy()
        self.costs = Costs(leaf, node, single, counts.sum(1) * start)
        self._shift = np.full(leaf.shape, -1, dtype=np.int8)  # log2 of a run's step; -1: a level

    def allow_runs(self, *, aligned: bool) -> None:
        """Puts runs where they cost less than a level."""
        lowest = self._lowest if aligned else None
        runs = _Runs(self._errors, self._made, self._word, self._first, self._last, lowest)
        runs.lower(self.costs.leaf, self._shift)

    def search(self, t: int, ends: Ends) -> Search:
        """A table's search from its ends; a single one is a run only where that pays to start."""
        whole = self.costs.leaf[-1, 0, t] + self.costs.start[t]
        one = len(ends) == 1 and self.costs.single[t] <= whole
        parts = []
        for a, b, depth in ends:
            s = -1 if one else int(self._shift[b - a, a, t])
            start, length = int(self._first[a]), int(self._last[b] - self._first[a])
            if s < 0:
                parts.append((start, float(self._level[b - a, a, t]), 1, 0, depth))
            else:
                level = start + ((1 << s) - 1) / 2
                parts.append((start, level, 1 << s, run_bits(length, s), depth))
        return Search(*zip(*parts, strict=True))


def run_bits(length: int, shift: int) -> int:
    """Bits of a plain ADC of step 2^shift over so many sums."""
    return (-(-length >> shift) - 1).bit_length()


def _within(counts: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Conversions of each run of joined values, [length - 1, start, T]."""
    n, T = len(first), len(counts)
    sums = np.concatenate([np.zeros((T, 1)), np.cumsum(counts, 1)], 1)
    found = np.zeros((n, n, T))
    for length in range(n):
        found[length, : n - length] = (sums[:, last[length:]] - sums[:, first[: n - length]]).T
    return found


def _levels(
    errors: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cost and level of one level for each run of values: [runs joined - 1, first run, T].

    Levels are multiples of a half, which is what the shift-add takes.
    """
    n, (T, V) = len(first), errors.shape
    exact = np.isinf(errors).any(1)
    finite = np.where(np.isinf(errors), 0.0, errors)
    values = np.arange(V)
    sums = [
        np.concatenate([np.zeros((T, 1)), np.cumsum(finite * values**k, 1)], 1) for k in range(3)
    ]
    cost, level = np.zeros((n, n, T)), np.zeros((n, n, T))
    for length in range(n):
        a, b = first[: n - length], last[length:]
        zero, one, two = (s[:, b] - s[:, a] for s in sums)
        middle = (a + b - 1) / 2
        mean = np.divide(one, zero, out=np.broadcast_to(middle, one.shape).copy(), where=zero > 0)
        best = np.clip(np.rint(2 * mean) / 2, a, b - 1)
        found = np.maximum(two - 2 * best * one + best**2 * zero, 0)
        found[exact] = np.where(b - a > 1, np.inf, 0.0)
        cost[length, : n - length], level[length, : n - length] = found.T, best.T
    return cost, level


class _Runs:
    """Small plain ADCs over runs of values, at the best of their steps.

    Args:
        errors: weight of a squared error, (T, V).
        made: what one comparison of a run costs, [length - 1, start, T].
        word: what one word costs, (T,).
        first, last: of the joined values, the first and the end.
        lowest: the sum of the first value, if runs are aligned; else None.
    """

    def __init__(
        self,
        errors: np.ndarray,
        made: np.ndarray,
        word: np.ndarray,
        first: np.ndarray,
        last: np.ndarray,
        lowest: int | None,
    ):
        self.exact = np.isinf(errors).any()
        self.weight = np.where(np.isinf(errors), 1.0, errors)
        self.made, self.word, self.first, self.last = made, word, first, last
        self.lowest = lowest

    def lower(self, cost: np.ndarray, shift: np.ndarray) -> None:
        """Puts runs where they cost less than what is there, and log2 of their steps."""
        V = self.weight.shape[1]
        for s in range(max(V - 1, 1).bit_length()):
            away = (np.arange(V) & ((1 << s) - 1)) - ((1 << s) - 1) / 2  # from the nearest level
            bits = np.array([0, *(run_bits(n, s) for n in range(1, V + 1))])
            for k in range(len(self.first)):
                self._from(k, s, away**2, bits, (cost, shift))

    def _from(
        self, k: int, s: int, square: np.ndarray, bits: np.ndarray, to: tuple[np.ndarray, ...]
    ) -> None:
        """The same for the runs from one value on, with one step."""
        a, (cost, shift) = int(self.first[k]), to
        lengths = self.last[k:] - a
        bits = bits[lengths]
        wide = bits > 0  # else it is a level
        if self.lowest is not None:
            wide &= (self.lowest + a) % (1 << (bits + s)) == 0
        if not wide.any():
            return
        error = np.cumsum(self.weight[:, a:] * square[: len(square) - a], 1)[
            :, lengths - 1
        ].T  # (lengths, T)
        if self.exact:
            error = np.where(error > 0, np.inf, 0.0)
        rows = np.arange(len(lengths))
        found = error + bits[:, None] * self.made[rows, k] + self.word
        better = wide[:, None] & (found < cost[rows, k])
        cost[rows, k] = np.where(better, found, cost[rows, k])
        shift[rows, k] = np.where(better, s, shift[rows, k])
