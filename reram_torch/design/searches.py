"""What optimal searches are made for, at which prices, within which limits, and what they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from reram_torch.design.joined import aligned, joined

MOST_VALUES = 520  # that thresholds may lie between; others are joined, where errors may be


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

    def by_table(self, tables: int) -> np.ndarray:
        """The three of each table, (T, 3)."""
        three = (self.comparison, self.start, self.word)
        return np.stack(
            [np.broadcast_to(np.asarray(x, dtype=float), tables) for x in three], axis=1
        )


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
        starts: the first value of each, rising from the first that the table meets.
        levels: the first level of each, which may lie between values; of an escape, nothing.
        steps: distance of two levels, 1 for a single one.
        bits: comparisons that an end makes itself, 0 for a single level.
        depths: comparisons that find each.
        escapes: whether each says that the sum is too large, instead of a level.
    """

    starts: tuple[int, ...]
    levels: tuple[float, ...]
    steps: tuple[int, ...]
    bits: tuple[int, ...]
    depths: tuple[int, ...]
    escapes: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Histograms:
    """What tables have to convert, by value: bit-line sums from `lowest`.

    Attributes:
        counts: conversions by table and value, (T, V).
        errors: weight of a squared error, (T, V); one that is infinite allows its table none.
        lowest: the sum of the first value.
        bounds: the first value that each table meets and the end of all, int (T, 2); None: all.
        window: the lowest and the highest threshold that searches may have, as sums; None: any.
        escape: what an escape from a value costs, (T, V); None: searches do not escape.
    """

    counts: np.ndarray
    errors: np.ndarray
    lowest: int = 0
    bounds: np.ndarray | None = None
    escape: np.ndarray | None = None
    window: tuple[int, int] | None = None
    _cuts: dict[tuple[int, bool], tuple[list[np.ndarray], np.ndarray]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def cuts(self, grid: int, *, runs: bool) -> tuple[list[np.ndarray], np.ndarray]:
        """Where thresholds may be: the first value, possible thresholds and the end of each shape.

        Where a table that may err, or end at runs or escapes, has more than `MOST_VALUES` of them,
        neighbours that weigh little are joined.

        Args:
            grid: thresholds are multiples of this sum.
            runs: whether searches may end at runs, or escape, which needs no error.

        Returns:
            Shapes, and which each table has, (T,).
        """
        runs = runs or self.escape is not None
        if (grid, runs) not in self._cuts:
            self._cuts[grid, runs] = self._make_cuts(grid, runs)
        return self._cuts[grid, runs]

    def escaping(self, escape: np.ndarray) -> Histograms:
        """The same whose searches may escape, at these costs (T, V), which no cut depends on."""
        found = replace(self, escape=escape)
        object.__setattr__(found, "_cuts", self._cuts)
        return found

    def within(self, window: tuple[int, int], *, saturating: bool) -> Histograms:
        """The same for searches whose thresholds keep to a window.

        Args:
            window: lowest and highest threshold.
            saturating: sums beyond are taken for those at its ends, which is near the truth where
                levels are those of runs, whose thresholds would leave it otherwise.
        """
        if not saturating:
            return replace(self, window=window)
        first, end = window[0] - 1 - self.lowest, window[1] + 1 - self.lowest
        first, end = max(first, 0), min(end, self.counts.shape[1])
        counts, errors = (_gathered(x, first, end) for x in (self.counts, self.errors))
        bounds = [0, self.counts.shape[1]] if self.bounds is None else self.bounds
        bounds = np.clip(np.broadcast_to(bounds, (len(counts), 2)), first, end)
        return replace(self, counts=counts, errors=errors, bounds=bounds)

    def _make_cuts(self, grid: int, runs: bool) -> tuple[list[np.ndarray], np.ndarray]:
        T, V = self.counts.shape
        bounds = np.broadcast_to([0, V], (T, 2)) if self.bounds is None else self.bounds
        distinct, shape = np.unique(bounds, axis=0, return_inverse=True)
        found, shape = (
            [self._on_grid(int(first), int(end), grid) for first, end in distinct],
            shape.reshape(T),
        )
        for t in range(T):
            cuts = found[shape[t]]
            if len(cuts) - 1 <= MOST_VALUES:
                continue
            exact = bool(np.isinf(self.errors[t, cuts[0] : cuts[-1]]).any())
            if runs or not exact:
                weights = self.counts[t] if exact else self.errors[t]
                shape[t] = len(found)
                some = joined(cuts, weights, MOST_VALUES, self.lowest)
                # Without errors an aligned run has to reach all of a group.
                found.append(aligned(some, self.lowest) if exact and grid == 1 else some)
        used, shape = np.unique(shape, return_inverse=True)
        return [found[k] for k in used], shape

    def _on_grid(self, first: int, end: int, grid: int) -> np.ndarray:
        inner = np.arange(first + 1, end)
        if self.window is not None:
            low, high = (t - self.lowest for t in self.window)
            inner = inner[(inner >= low) & (inner <= high)]
        return np.concatenate([[first], inner[(self.lowest + inner) % grid == 0], [end]])


def _gathered(weights: np.ndarray, first: int, end: int) -> np.ndarray:
    """Weights by value, (T, V), with those beyond a window put on its first and its last value."""
    found = np.zeros_like(weights)
    found[:, first:end] = weights[:, first:end]
    found[:, first] += weights[:, :first].sum(1)
    found[:, end - 1] += weights[:, end:].sum(1)
    return found
