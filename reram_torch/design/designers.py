"""How the ADCs of a layer's tables are found, by kind: chosen from candidates, or optimal."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np

from reram_torch.adc import AdcDesign, Intervals, SearchTree, Segmented
from reram_torch.adc.base import DESIGNS, full_bits, node_bits
from reram_torch.adc.trees import ESCAPE
from reram_torch.config.sections import SearchConfig
from reram_torch.crossbar.geometry import Geometry
from reram_torch.design.candidates import (
    Choices,
    Offer,
    candidates,
    choose,
    offered,
    offers_of,
)
from reram_torch.design.layer_prices import LayerPrices
from reram_torch.design.loads import Escapes, LayerLoads, Load
from reram_torch.design.optimal_intervals import optimal_intervals
from reram_torch.design.optimal_trees import optimal_segments, optimal_trees
from reram_torch.design.reaches import Reach
from reram_torch.design.searches import Histograms, Limits, Search, TablePrices
from reram_torch.design.twin_range_offer import twin_range_offer
from reram_torch.power.controllers import Latches

_WORDS = 8  # of a table of several words, whose latches they are written into
LEAST = 2.0**-200  # a price that decides between equal errors and nothing else


@dataclass(frozen=True)
class Found:
    """ADCs of a layer's tables.

    Attributes:
        designs: one for each table.
        comparisons: A/D operations on the calibration histograms.
        energy: what these searches cost there, pJ.
        error: squared error of the layer's results over their signal.
        bytes: of its tables.
    """

    designs: tuple[AdcDesign, ...]
    comparisons: float
    energy: float
    error: float
    bytes: int


class Designer(ABC):
    """Finds the ADCs of a layer's tables.

    Args:
        loads: of the tables.
        search: the kind of ADC and its limits.
        prices: of the layer's searches.
    """

    def __init__(self, loads: LayerLoads, search: SearchConfig, prices: LayerPrices):
        self.loads, self.search, self.prices = loads, search, prices

    @property
    def geometry(self) -> Geometry:
        """Of the layer."""
        return self.prices.geometry

    @property
    def shares(self) -> bool:
        """Whether tables gain by sharing a design: where one is a single word they do not."""
        return True

    def loads_with(self, designs: Sequence[AdcDesign], *, priced: bool) -> LayerLoads:
        """What tables have to convert as these designs, one for each, are in place.

        Args:
            designs: of the tables.
            priced: whether it matters what escapes cost.
        """
        del designs, priced
        return self.loads

    @abstractmethod
    def at(self, price: float, byte: float = 0.0, reach: Reach | None = None) -> list[AdcDesign]:
        """The ADCs with the least error + price * energy; at 0, lossless ones of least energy.

        Args:
            price: of energy.
            byte: what a byte of the tables costs besides, in energy.
            reach: of their thresholds; None: any.
        """

    @property
    def full(self) -> int:
        """Bits of an ADC that can make every threshold."""
        return full_bits(self.geometry.lowest, self.geometry.highest)


class Chooser(Designer):
    """Chooses among candidates; their mean errors cancel over the tables of a layer."""

    def __init__(self, loads: LayerLoads, search: SearchConfig, prices: LayerPrices):
        super().__init__(loads, search, prices)
        kind, g = search.design, prices.geometry
        first = DESIGNS[kind].candidates(g.lowest, g.highest)
        latched = bool(first) and prices.are_latched(loads, first[0])
        bits = first[0].words(g.lowest, g.highest).bits if first else 1
        words = prices.word(loads, Latches(1, bits), latched=latched)
        self._choices: list[Choices] = [
            candidates(offer, load, prices.prices, float(word))
            for offer, load, word in zip(
                offers_on(kind, loads.loads), loads.loads, words, strict=True
            )
        ]

    @property
    def shares(self) -> bool:
        """Words take the directory's place."""
        return False

    def at(self, price: float, byte: float = 0.0, reach: Reach | None = None) -> list[AdcDesign]:
        """See `Designer`; a table is one word whatever its design, so a byte's price is idle."""
        del byte
        price, choices = max(price, LEAST), self._choices
        if reach is not None:
            start = self.prices.prices.finer(reach.bits)
            choices = [each.within(reach, self.geometry.lowest, start) for each in choices]
        return choose(choices, price)


_OFFERS: dict[str, Callable[[Load], Offer]] = {"twin_range": twin_range_offer}


def offers_on(kind: str, loads: Sequence[Load]) -> Iterable[Offer]:
    """The designs of a kind on each of a layer's loads."""
    special = _OFFERS.get(kind)
    return offers_of(kind, loads) if special is None else map(special, loads)


class OptimalDesigner(Designer):
    """Optimal searches by dynamic programming, of all tables at once.

    Attributes:
        escapes: what they cost, where searches may have some.
    """

    escapes: Escapes | None = None
    saturates: ClassVar[bool] = False  # sums beyond its reach

    def at(self, price: float, byte: float = 0.0, reach: Reach | None = None) -> list[AdcDesign]:
        """See `Designer`."""
        g, prices = self.geometry, self.prices
        bits = node_bits(g.lowest, g.highest)
        latches = Latches(_WORDS, bits)
        words = prices.word(self.loads, latches, latched=False) + byte * bits / 8
        p = prices.prices
        start = p.start + (p.finer(reach.bits) if reach else 0.0)
        scaled = TablePrices(*((price or 1.0) * x for x in (p.comparison, start, words)))
        histograms = self._within(reach) if price else self._lossless
        if self.escapes is not None:
            histograms = histograms.escaping(self.escapes.cost(price))
        return self._optimal(histograms, scaled, reach.step if reach else 1)

    def _within(self, reach: Reach | None) -> Histograms:
        if reach is None or reach.full >= self.full:
            return self._lossy
        if reach.full not in self._reached:
            ends = reach.ends(self._lossy.lowest)
            saturating = self.saturates and self.escapes is None  # else they escape
            self._reached[reach.full] = self._lossy.within(ends, saturating=saturating)
        return self._reached[reach.full]

    @cached_property
    def _reached(self) -> dict[int, Histograms]:
        return {}

    @cached_property
    def _lossy(self) -> Histograms:
        loads, highs, lowest = self.loads, self.loads.highs, self.loads.loads[0].lowest
        bounds = np.stack([np.where(lowest < 0, -highs, 0), highs + 1], axis=1) - lowest
        return Histograms(loads.likely, loads.square, lowest, bounds)

    @cached_property
    def _lossless(self) -> Histograms:
        lossy = self._lossy
        errors = np.full_like(lossy.errors, np.inf)
        return Histograms(lossy.counts, errors, lossy.lowest, lossy.bounds)

    @abstractmethod
    def _optimal(self, histograms: Histograms, prices: TablePrices, step: int) -> list[AdcDesign]:
        """The best designs on these histograms, with thresholds at multiples of a step."""


class TreeDesigner(OptimalDesigner):
    """Optimal search trees."""

    def _optimal(self, histograms: Histograms, prices: TablePrices, step: int) -> list[AdcDesign]:
        grid = math.lcm(self.search.grid, step)
        limits = Limits(self.search.depth, self.search.leaves, grid)
        found = optimal_trees(histograms, prices, limits)
        return [_tree(search, histograms.lowest) for search in found]


class SegmentedDesigner(OptimalDesigner):
    """Optimal searches of single levels and small plain ADCs."""

    saturates: ClassVar[bool] = True

    def _optimal(self, histograms: Histograms, prices: TablePrices, step: int) -> list[AdcDesign]:
        aligned = self.search.aligned
        limits = Limits(grid=math.lcm(self.search.grid, step), aligned=aligned)
        found = optimal_segments(histograms, prices, limits)
        return [_segmented(search, histograms.lowest, aligned=aligned) for search in found]


class IntervalDesigner(OptimalDesigner):
    """The best few intervals and their detection trees."""

    saturates: ClassVar[bool] = True

    def _optimal(self, histograms: Histograms, prices: TablePrices, step: int) -> list[AdcDesign]:
        del step
        found = optimal_intervals(histograms, prices)
        return [_intervals(search, histograms.lowest) for search in found]


# Tables and prices next to each other often have the same search.
@lru_cache(maxsize=4096)
def _tree(found: Search, lowest: int) -> AdcDesign:
    out = found.escapes or (False,) * len(found.levels)
    levels = (ESCAPE if e else level + lowest for level, e in zip(found.levels, out, strict=True))
    return SearchTree(_starts(found, lowest), tuple(levels), found.depths)


@lru_cache(maxsize=4096)
def _segmented(found: Search, lowest: int, *, aligned: bool) -> AdcDesign:
    f = found
    return Segmented(_starts(f, lowest), f.steps, f.bits, f.depths, offsets_of(f), aligned)


@lru_cache(maxsize=4096)
def _intervals(found: Search, lowest: int) -> AdcDesign:
    f = found
    return Intervals(_starts(f, lowest), f.steps, f.bits, f.depths, offsets_of(f))


def _starts(found: Search, lowest: int) -> tuple[int, ...]:
    return tuple(s + lowest for s in found.starts)


def offsets_of(found: Search) -> tuple[float, ...]:
    """Of each first level from the start of its interval; infinite of an escape."""
    out = found.escapes or (False,) * len(found.levels)
    ends = zip(found.starts, found.levels, out, strict=True)
    return tuple(ESCAPE if e else v - s for s, v, e in ends)


_DESIGNERS: dict[str, type[Designer]] = {
    "search_tree": TreeDesigner,
    "segmented": SegmentedDesigner,
    "intervals": IntervalDesigner,
}


def designer_of(kind: str) -> type[Designer]:
    """What designs ADCs of a kind: its own designer, or the choice among its candidates."""
    return _DESIGNERS.get(kind, Chooser)


def controller_of(search: SearchConfig) -> str:
    """The kind of controller that steers the designs of a search, as a technology prices it.

    Raises:
        ValueError: the kind can only be set by hand.
    """
    kind = search.design
    if kind in _DESIGNERS or kind in _OFFERS:
        return f"{kind}_aligned" if search.aligned else kind
    return offered(kind, 0, 1)[0].controller
