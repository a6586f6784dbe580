"""Designs to choose from on a histogram of bit-line sums.

A kind of ADC offers many designs; on a given histogram each makes some comparisons and some error.
`candidates` keeps those with the least error at some price.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reram_torch.adc.base import DESIGNS, AdcDesign, compile_tables
from reram_torch.design.loads import Load
from reram_torch.power.search_prices import SearchPrices


@dataclass(frozen=True)
class Offer:
    """Designs that a kind offers on one load, most of which are never made.

    Attributes:
        make: the k-th design.
        comparisons: A/D operations of each on the load.
        square: weighted squared error of each.
        words: that each loads.
    """

    make: Callable[[int], AdcDesign]
    comparisons: np.ndarray
    square: np.ndarray
    words: np.ndarray | int = 1


@dataclass(frozen=True)
class Choices:
    """Designs of one table worth choosing from.

    Attributes:
        designs: the designs.
        square: weighted squared error of each.
        energy: what each costs.
    """

    designs: tuple[AdcDesign, ...]
    square: np.ndarray
    energy: np.ndarray

    def at(self, price: float) -> AdcDesign:
        """The design with the least error plus price * energy."""
        return self.designs[int(np.argmin(self.square + price * self.energy))]


def candidates(offer: Offer, load: Load, prices: SearchPrices, word: float) -> Choices:
    """The designs of an offer that are worth choosing from.

    Args:
        offer: the designs.
        load: what they convert.
        prices: of comparisons and of conversions that start.
        word: of each word.
    """
    starts = offer.comparisons > 0
    energy = prices.comparison * offer.comparisons + word * offer.words
    energy = energy + prices.start * float(load.likely.sum()) * starts
    keep = _hull(energy, offer.square)
    return Choices(tuple(offer.make(int(k)) for k in keep), offer.square[keep], energy[keep])


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


def offer_of(kind: str, load: Load) -> Offer:
    """What a kind's own candidates do on a load."""
    values, likely = load.values, load.likely
    lowest, highest = int(values[0]), int(values[-1])
    designs, found = offered(kind, lowest, highest), []
    for design in designs:
        tables = compile_tables(design, lowest, highest)
        off = values - tables.level
        words = design.words(lowest, highest).number
        found.append((likely @ tables.comparisons, load.square @ off**2, words))
    return Offer(designs.__getitem__, *np.array(found, dtype=float).T)


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
