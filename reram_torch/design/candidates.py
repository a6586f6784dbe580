"""Designs to choose from on histograms of bit-line sums, and the choice.

A kind of ADC offers many designs; on a given histogram each makes some comparisons and some error.
`candidates` keeps those that could be worth their comparisons, `choose` picks among them for all
tables of a layer at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reram_torch.adc.base import DESIGNS, AdcDesign, compile_tables

_ROUNDS = 8  # over the tables of a layer

# Mean errors left by other tables, relative to the layer's signal, that candidates are kept for.
_LEFT = tuple(sign * size for size in (0.0, 0.003, 0.01, 0.03, 0.1, 0.3) for sign in (1, -1))


@dataclass(frozen=True)
class Choices:
    """Designs of one table worth choosing from.

    Attributes:
        designs: the designs.
        comparisons: A/D operations of each on the table's load.
        square: weighted squared error of each.
        mean: weighted mean error of each.
    """

    designs: tuple[AdcDesign, ...]
    comparisons: np.ndarray
    square: np.ndarray
    mean: np.ndarray


@dataclass(frozen=True)
class Load:
    """What one table has to convert, by bit-line sum; arrays of shape (V,), from `lowest`.

    With e(v) the distance of a sum to its level, a layer's error is that of its tables,
    sum_v square[v] * e(v)^2, plus the square of the sum of their mean errors, sum_v mean[v] * e(v):
    errors that scatter add up in power, but the mean is the same in every tile, cycle and position
    and adds up in amplitude.

    Attributes:
        lowest: the smallest sum.
        counts: conversions.
        square: weight of a squared error.
        mean: weight of an error in the mean error.
        prior: conversions that are taken for likely beside those seen; `square` holds their weight
            too. Where calibration saw nothing they decide.
    """

    lowest: int
    counts: np.ndarray
    square: np.ndarray
    mean: np.ndarray
    prior: np.ndarray | float = 0.0

    @property
    def values(self) -> np.ndarray:
        """The bit-line sums."""
        return np.arange(self.lowest, self.lowest + len(self.counts))


@dataclass(frozen=True)
class Offer:
    """Designs that a kind offers on one load, most of which are never made.

    Attributes:
        make: the k-th design.
        comparisons: A/D operations of each on the load.
        square: weighted squared error of each.
        mean: weighted mean error of each.
    """

    make: Callable[[int], AdcDesign]
    comparisons: np.ndarray
    square: np.ndarray
    mean: np.ndarray


def candidates(offer: Offer) -> Choices:
    """The designs of an offer that are worth choosing from.

    Those with the least error at some price of a comparison, for each of several mean errors that
    the other tables of the layer may leave to be made up for.
    """
    comparisons, square, mean = offer.comparisons, offer.square, offer.mean
    keep = np.unique(np.concatenate([_hull(comparisons, square + (mean + b) ** 2) for b in _LEFT]))
    designs = tuple(offer.make(k) for k in keep)
    return Choices(designs, comparisons[keep], square[keep], mean[keep])


def offer_of(kind: str, load: Load) -> Offer:
    """What a kind's own candidates do on a load.

    Raises:
        ValueError: the kind has no candidates: it can only be set by hand.
    """
    values = load.values
    designs = DESIGNS[kind].candidates(int(values[0]), int(values[-1]))
    if not designs:
        raise ValueError(
            f"design_adc cannot design ADCs of kind {kind!r}, which offers no candidates: put them "
            "in place with set_adc"
        )
    found = []
    for design in designs:
        tables = compile_tables(design, int(values[0]), int(values[-1]))
        off = values - tables.level
        made = load.counts @ tables.comparisons
        found.append((made, load.square @ off**2, load.mean @ off))
    return Offer(designs.__getitem__, *np.array(found, dtype=float).T)


def choose(tables: list[Choices], price: float) -> list[int]:
    """Picks a design for each table of a layer: least error plus price * comparisons.

    The mean errors of the tables add up before they are squared, so the tables are gone over in
    turn, each given the others, until nothing changes.
    """
    cost = [t.square + price * t.comparisons for t in tables]
    picked = [int(np.argmin(c + t.mean**2)) for c, t in zip(cost, tables, strict=True)]
    for _ in range(_ROUNDS):
        before = list(picked)
        for k, table in enumerate(tables):
            mean = sum(t.mean[p] for t, p in zip(tables, picked, strict=True))
            others = mean - table.mean[picked[k]]
            picked[k] = int(np.argmin(cost[k] + (table.mean + others) ** 2))
        if picked == before:
            break
    return picked


def _hull(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the lower left convex hull of points."""
    order = np.lexsort((y, x))
    falling = y[order]
    best = np.minimum.accumulate(falling)
    first = np.concatenate([[True], falling[1:] < best[:-1]])
    hull: list[int] = []
    for k in order[first]:
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (y[b] - y[a]) * (x[k] - x[a]) < (y[k] - y[a]) * (x[b] - x[a]):
                break
            hull.pop()
        hull.append(int(k))
    return np.array(hull)
