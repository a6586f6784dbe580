"""Trees without error whose sums escape beyond a window, over more values than are looked at apart.

Where values are joined (`design.joined`) a tree without error can end at a level for values that
were kept apart only, and lets all others escape. Wide sums ask for more levels. Without error every
value within a window has a leaf of its own, all below and all above escape, and the tree over these
leaves is Garsia's and Wachs's: so windows are tried, by the share of conversions beyond them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reram_torch.design.searches import Histograms, Search, TablePrices

_MOST = 24.0  # log2 of the conversions within a window over those beyond its side, at most
_STEP = 3.0  # of that, first
_FINER = (1.5, 0.75)

Solver = Callable[[Histograms], list[Search]]


def with_windows(
    found: list[Search], h: Histograms, prices: TablePrices, exact: Solver
) -> list[Search]:
    """The cheaper of searches found, and of the best windows of those tables.

    Args:
        found: searches of the tables.
        h: the tables; they may have no error, and escape.
        prices: of everything but errors and escapes.
        exact: finds trees without error, and without escapes.
    """
    assert h.escape is not None
    by_table = prices.by_table(len(h.counts))
    best, least = list(found), np.array([_cost(s, h, t, by_table[t]) for t, s in enumerate(found)])
    place = np.full(len(found), np.nan)

    def look(at: np.ndarray) -> None:
        for t, search in enumerate(_windowed(h, at, exact)):
            cost = _cost(search, h, t, by_table[t])
            if cost < least[t] or np.isnan(place[t]):
                place[t] = at[t]
            if cost < least[t]:
                best[t], least[t] = search, cost

    for share in np.arange(_STEP, _MOST + 1, _STEP):
        look(np.full(len(found), share))
    for step in _FINER:
        middle = place.copy()
        for at in (middle - step, middle + step):
            look(at)
    return best


def _windowed(h: Histograms, share: np.ndarray, exact: Solver) -> list[Search]:
    """Trees that let 2^-share of the conversions escape at each end, at most."""
    T, V = h.counts.shape
    bounds = np.broadcast_to([0, V], (T, 2)) if h.bounds is None else h.bounds
    counts, inner = np.zeros_like(h.counts), np.array(bounds)
    for t, (first, end) in enumerate(bounds):
        own = h.counts[t, first:end]
        mass = np.cumsum(own)
        least = mass[-1] * 2.0 ** -share[t]
        low = first + int(np.searchsorted(mass, least, "right"))
        high = first + int(np.searchsorted(mass, mass[-1] - least, "left")) + 1
        high = max(high, low + 1)
        if h.lowest >= 0:
            low = first
        counts[t, low:high] = h.counts[t, low:high]
        inner[t] = max(low - 1, first), min(high + 1, end)
        counts[t, inner[t, 0]] += h.counts[t, first:low].sum() if low > first else 0.0
        counts[t, inner[t, 1] - 1] += h.counts[t, high:end].sum() if high < end else 0.0
    searches = exact(Histograms(counts, np.full_like(counts, np.inf), h.lowest, inner))
    return [_opened(s, *inner[t], *bounds[t]) for t, s in enumerate(searches)]


def _opened(search: Search, low: int, high: int, first: int, end: int) -> Search:
    """The same from the first value to the end, with an escape at the ends that are not these."""
    out = [False] * len(search.starts)
    out[0], out[-1] = low > first, high < end
    starts = (int(first), *search.starts[1:])
    return Search(starts, search.levels, search.steps, search.bits, search.depths, tuple(out))


def _cost(search: Search, h: Histograms, t: int, prices: np.ndarray) -> float:
    """What a search without error costs, of levels and escapes."""
    assert h.escape is not None
    comparison, start, word = prices
    end = h.counts.shape[1] if h.bounds is None else int(h.bounds[t, 1])
    starts, depths = np.array(search.starts), np.array(search.depths)
    out = np.array(search.escapes or [False] * len(starts))
    made = np.add.reduceat(h.counts[t, :end], starts)
    lost = np.add.reduceat(h.escape[t, :end], starts)
    cost = float(comparison * (made @ depths) + lost[out].sum())
    begun = float(start * made.sum()) if len(starts) > 1 else 0.0
    return cost + begun + float(word) * (len(starts) - 1 + int(out.sum()))
