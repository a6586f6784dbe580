"""How the ADCs of a layer's tables are found, by kind: chosen from candidates, or optimal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from reram_torch.adc import AdcDesign, Intervals, SearchTree
from reram_torch.adc.base import compile_tables
from reram_torch.config.sections import SearchConfig
from reram_torch.crossbar.geometry import Geometry
from reram_torch.design.candidates import Choices, Load, Offer, candidates, choose, offer_of
from reram_torch.design.loads import LayerLoads
from reram_torch.design.optimal_intervals import Runs, optimal_intervals, run_errors
from reram_torch.design.optimal_trees import optimal_trees
from reram_torch.design.twin_range_offer import twin_range_offer

_LEAST = 2.0**-200  # a price that decides between equal errors and nothing else


@dataclass(frozen=True)
class Found:
    """ADCs of a layer's tables.

    Attributes:
        designs: one for each table.
        comparisons: A/D operations on the calibration histograms.
        error: squared error of the layer's results over their signal.
    """

    designs: tuple[AdcDesign, ...]
    comparisons: float
    error: float


class Designer(ABC):
    """Finds the ADCs of a layer's tables.

    Args:
        loads: of the tables.
        search: the kind of ADC and its limits.
        geometry: of the layer.

    Attributes:
        folds: what is left of each channel's mean error is folded into the layer's bias.
    """

    folds = False

    def __init__(self, loads: LayerLoads, search: SearchConfig, geometry: Geometry):
        self.loads, self.search, self.geometry = loads, search, geometry

    @abstractmethod
    def at(self, price: float) -> Found:
        """The ADCs with the least error + price * comparisons; at 0, lossless."""

    def _measured(self, designs: list[AdcDesign]) -> Found:
        g, comparisons, error = self.geometry, 0.0, 0.0
        for design, load in zip(designs, self.loads.loads, strict=True):
            tables = compile_tables(design, g.lowest, g.highest)
            comparisons += float(load.counts @ tables.comparisons)
            error += float(load.square @ (tables.level - load.values) ** 2.0)
        return Found(tuple(designs), comparisons, error)


class Chooser(Designer):
    """Chooses among candidates; their mean errors cancel over the tables of a layer."""

    def __init__(self, loads: LayerLoads, search: SearchConfig, geometry: Geometry):
        super().__init__(loads, search, geometry)
        self._choices: list[Choices] = [choices_of(search.design, load) for load in loads.loads]

    def at(self, price: float) -> Found:
        """See `Designer`."""
        picked = choose(self._choices, max(price, _LEAST))
        each = list(zip(self._choices, picked, strict=True))
        return Found(
            tuple(choices.designs[k] for choices, k in each),
            float(sum(choices.comparisons[k] for choices, k in each)),
            float(sum(choices.square[k] for choices, k in each)),
        )


_OFFERS: dict[str, Callable[[Load], Offer]] = {"twin_range": twin_range_offer}


def choices_of(kind: str, load: Load) -> Choices:
    """The designs of a kind that are worth choosing from on a load."""
    special = _OFFERS.get(kind)
    return candidates(offer_of(kind, load) if special is None else special(load))


class TreeDesigner(Designer):
    """Optimal search trees."""

    folds = True

    def at(self, price: float) -> Found:
        """See `Designer`."""
        designs: dict[int, AdcDesign] = {}
        for high in np.unique(self.loads.highs):
            here = np.flatnonzero(self.loads.highs == high)
            parts = [_possible(self.loads, k) for k in here]
            first = parts[0].lowest
            counts = np.stack([part.counts + part.prior for part in parts])
            square = np.stack([part.square for part in parts])
            if price == 0:
                square = np.full_like(square, np.inf)
            trees = optimal_trees(
                counts, square, price or 1.0, depth=self.search.depth, leaves=self.search.leaves,
                grid=self.search.grid, lowest=first,
            )  # fmt: skip
            for k, starts, levels, depths in zip(
                here, trees.starts, trees.levels, trees.depths, strict=True
            ):
                designs[int(k)] = SearchTree(
                    tuple(s + first for s in starts), tuple(v + first for v in levels), depths
                )
        return self._measured([designs[k] for k in range(len(self.loads.loads))])


class IntervalDesigner(Designer):
    """The best few intervals and their detection trees."""

    folds = True

    def __init__(self, loads: LayerLoads, search: SearchConfig, geometry: Geometry):
        super().__init__(loads, search, geometry)
        self._runs: dict[int, Runs] = {}

    def at(self, price: float) -> Found:
        """See `Designer`."""
        designs: list[AdcDesign] = []
        for k in range(len(self.loads.loads)):
            part = _possible(self.loads, k)
            if price == 0:
                runs = run_errors(np.full_like(part.square, np.inf))
            else:  # a budget is met by many prices
                runs = self._runs[k] = self._runs.get(k) or run_errors(part.square)
            found = optimal_intervals(part.counts + part.prior, runs, price or 1.0)
            starts = tuple(s + part.lowest for s in found.starts)
            designs.append(Intervals(starts, found.steps, found.bits, found.depths, found.offsets))
        return self._measured(designs)


_DESIGNERS: dict[str, type[Designer]] = {"search_tree": TreeDesigner, "intervals": IntervalDesigner}


def designer_of(kind: str) -> type[Designer]:
    """What designs ADCs of a kind: its own designer, or the choice among its candidates."""
    return _DESIGNERS.get(kind, Chooser)


def _possible(loads: LayerLoads, table: int) -> Load:
    """A table's load on the sums that it can meet."""
    load, high = loads.loads[table], int(loads.highs[table])
    lowest = -high if load.lowest < 0 else 0
    part = slice(lowest - load.lowest, high - load.lowest + 1)
    return Load(lowest, load.counts[part], load.square[part], load.mean[part], load.prior[part])
