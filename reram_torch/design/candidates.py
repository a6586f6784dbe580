"""Designs to choose from on a histogram of bit-line sums.

A kind of ADC offers many designs; on a given histogram each makes some comparisons and some error.
`candidates` keeps those that could be worth their price, `choose` picks among them for all tables
of a layer at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from reram_torch.adc.base import DESIGNS, AdcDesign, compile_tables
from reram_torch.adc.resolution import window_of
from reram_torch.design.loads import Load
from reram_torch.design.reaches import Reach
from reram_torch.power.search_prices import SearchPrices

_FEW = 512  # designs: for more, those that no price asks for are left out
_ROUNDS = 8  # over the tables of a layer

# Mean errors left by other tables, relative to the layer's signal, that candidates are kept for.
_LEFT = (0.0, *(sign * size for size in (0.003, 0.01, 0.03, 0.1, 0.3) for sign in (1, -1)))


@dataclass(frozen=True)
class Offer:
    """Designs that a kind offers on one load, most of which are never made.

    Attributes:
        make: the k-th design.
        comparisons: A/D operations of each on the load.
        square: weighted squared error of each.
        mean: weighted mean error of each.
        words: that each loads.
    """

    make: Callable[[int], AdcDesign]
    comparisons: np.ndarray
    square: np.ndarray
    mean: np.ndarray
    words: np.ndarray | int = 1


@dataclass(frozen=True)
class Choices:
    """Designs of one table worth choosing from.

    Attributes:
        designs: the designs.
        square: weighted squared error of each.
        mean: weighted mean error of each.
        energy: what each costs, but for its ADC's resolution.
        started: conversions that each starts.
        windows: of each, for `Reach.allows`, (K, 3).
    """

    designs: tuple[AdcDesign, ...]
    square: np.ndarray
    mean: np.ndarray
    energy: np.ndarray
    started: np.ndarray | float = 0.0
    windows: np.ndarray | None = None

    def within(self, reach: Reach, lowest: int, start: float) -> Choices:
        """The same by an ADC of this reach, which costs `start` more for a conversion that starts.

        What it does not reach is infinitely dear.
        """
        assert self.windows is not None  # who designs has made them with the energies
        energy = self.energy + start * self.started
        return replace(self, energy=np.where(reach.allows(self.windows, lowest), energy, np.inf))


def candidates(offer: Offer, load: Load, prices: SearchPrices, word: float) -> Choices:
    """The designs of an offer that are worth choosing from.

    All if they are few, and else those with the least error at some price, for each of several mean
    errors that the other tables of the layer may leave to be made up for.

    Args:
        offer: the designs.
        load: what they convert.
        prices: of comparisons and of conversions that start.
        word: of each word.
    """
    starts = offer.comparisons > 0
    started = float(load.likely.sum()) * starts
    each = prices.start * started + word * offer.words * starts
    energy = prices.comparison * offer.comparisons + each
    keep = np.arange(len(energy))
    if len(keep) > _FEW:
        order = np.argsort(energy, kind="stable")
        hulls = [_hull(energy, offer.square + (offer.mean + left) ** 2, order) for left in _LEFT]
        keep = np.unique(np.concatenate(hulls))
    designs = tuple(offer.make(int(k)) for k in keep)
    windows = np.array([window_at(d, load.lowest, int(load.values[-1])) for d in designs])
    return Choices(
        designs, offer.square[keep], offer.mean[keep], energy[keep], started[keep], windows
    )


def choose(tables: list[Choices], price: float) -> list[AdcDesign]:
    """Picks a design for each table of a layer: least error plus price * energy.

    The mean errors of the tables add up before they are squared, so the tables are gone over in
    turn, each given the others, until nothing changes.
    """
    cost = [t.square + price * t.energy for t in tables]
    picked = [int(np.argmin(c + t.mean**2)) for c, t in zip(cost, tables, strict=True)]
    for _ in range(_ROUNDS):
        before = list(picked)
        total = float(sum(t.mean[p] for t, p in zip(tables, picked, strict=True)))
        for k, table in enumerate(tables):
            others = total - table.mean[picked[k]]
            picked[k] = int(np.argmin(cost[k] + (table.mean + others) ** 2))
            total = others + table.mean[picked[k]]
        if picked == before:
            break
    return [table.designs[k] for table, k in zip(tables, picked, strict=True)]


def offered(kind: str, lowest: int, highest: int) -> Sequence[AdcDesign]:
    """A kind's own candidates.

    Raises:
        ValueError: the kind has no candidates: it can only be set by hand.
    """
    designs = DESIGNS[kind].candidates(lowest, highest)
    if not designs:
        raise ValueError(
            f"design_adc cannot design ADCs of kind {kind!r}, which offers no candidates: put them "
            "in place with set_adc"
        )
    return designs


def offers_of(kind: str, loads: Sequence[Load]) -> list[Offer]:
    """What a kind's own candidates do on each of a layer's loads."""
    values = loads[0].values
    lowest, highest = int(values[0]), int(values[-1])
    designs = offered(kind, lowest, highest)
    tables = [compile_tables(design, lowest, highest) for design in designs]
    off = values - np.stack([t.level for t in tables])  # (K, V)
    made = np.stack([t.comparisons for t in tables]).astype(float)
    words = np.array([design.words(lowest, highest).number for design in designs], dtype=float)
    comparisons, square, mean = (
        np.stack([getattr(load, name) for load in loads]) @ each.T  # (T, K)
        for name, each in (("likely", made), ("square", off**2), ("mean", off))
    )
    each = zip(comparisons, square, mean, strict=True)
    return [Offer(designs.__getitem__, *found, words) for found in each]


@lru_cache(maxsize=1 << 16)
def window_at(design: AdcDesign, lowest: int, highest: int) -> tuple[int, int, int]:
    """First and last threshold and step of a search; zeros of one that makes no comparison."""
    window = window_of([design], lowest, highest)
    return (0, 0, 0) if window is None else (window.first, window.last, window.step)


def _hull(x: np.ndarray, y: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Indices of the lower left convex hull of points, given in which order x grows."""
    best = np.minimum.accumulate(y[order])
    kept: np.ndarray = order[np.concatenate([[True], best[1:] < best[:-1]])]
    kept = kept[np.concatenate([x[kept[1:]] > x[kept[:-1]], [True]])]  # the last of equal ones
    while len(kept) > 2:
        # What lies above the line between any two others is not on the hull.
        a, b, c = kept[:-2], kept[1:-1], kept[2:]
        below = (y[b] - y[a]) * (x[c] - x[a]) < (y[c] - y[a]) * (x[b] - x[a])
        if below.all():
            break
        kept = kept[np.concatenate([[True], below, [True]])]
    return kept
