"""The best ADCs of one layer at a price for each comparison."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.adc.designs import Intervals, SearchTree
from reram_torch.adc.registry import AdcDesign, compile_tables
from reram_torch.config.sections import SearchConfig
from reram_torch.design.candidates import Load, candidates, choose
from reram_torch.design.loads import LayerLoads, layer_loads
from reram_torch.design.optimal_intervals import Runs, optimal_intervals, run_errors
from reram_torch.design.optimal_trees import optimal_trees
from reram_torch.nn.base import CrossbarLayer

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


class LayerSearch:
    """Finds the ADCs of one layer.

    Args:
        layer: calibrated.
        search: the kind of ADC, its granularity and its limits.
        sensitivity: what the layer's relative squared error costs.
    """

    def __init__(self, layer: CrossbarLayer, search: SearchConfig, sensitivity: float):
        self.layer, self.search, self.sensitivity = layer, search, sensitivity
        self.design, statistics = search.design, layer._statistics
        key = (search.design, search.granularity)
        if key not in statistics.choices:
            loads = layer_loads(layer.geometry, layer.depth, statistics, search.granularity)
            offered = search.design in ("uniform", "twin_range")  # trees are found at each price
            statistics.choices[key] = (
                loads,
                [candidates(search.design, x) for x in loads.loads] if offered else [],
            )
        self.loads, self.choices = statistics.choices[key]
        self._found: dict[float, Found] = {}
        self._runs: dict[int, Runs] = {}

    def at(self, price: float) -> Found:
        """The ADCs with the least sensitivity * error + price * comparisons; at 0, lossless."""
        own = price / self.sensitivity
        if own not in self._found:
            solve = {"search_tree": self._trees, "intervals": self._intervals}
            self._found[own] = solve.get(self.design, self._chosen)(own)
        return self._found[own]

    def apply(self, price: float) -> Found:
        """Puts the ADCs of a price in place."""
        loads, found = self.loads, self.at(price)
        self.layer.set_adc(found.designs, edges=loads.edges, index=loads.index)
        return found

    def _chosen(self, price: float) -> Found:
        picked = choose(self.choices, max(price, _LEAST))
        each = list(zip(self.choices, picked, strict=True))
        return Found(
            tuple(choices.designs[k] for choices, k in each),
            float(sum(choices.comparisons[k] for choices, k in each)),
            float(sum(choices.square[k] for choices, k in each)),
        )

    def _trees(self, price: float) -> Found:
        designs: list[AdcDesign | None] = [None] * len(self.loads.loads)
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
            for k, *leaves in zip(here, trees.starts, trees.levels, trees.depths, strict=True):
                starts, levels, depths = leaves
                designs[k] = SearchTree(
                    tuple(s + first for s in starts), tuple(v + first for v in levels), depths
                )
        return self._measured(designs)

    def _intervals(self, price: float) -> Found:
        designs = []
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

    def _measured(self, designs: list[AdcDesign]) -> Found:
        g, comparisons, error = self.layer.geometry, 0.0, 0.0
        for design, load in zip(designs, self.loads.loads, strict=True):
            tables = compile_tables(design, g.lowest, g.highest)
            comparisons += float(load.counts @ tables.comparisons)
            error += float(load.square @ (tables.level - load.values) ** 2.0)
        return Found(tuple(designs), comparisons, error)


def _possible(loads: LayerLoads, table: int) -> Load:
    """A table's load on the sums that it can meet."""
    load, high = loads.loads[table], int(loads.highs[table])
    lowest = -high if load.lowest < 0 else 0
    part = slice(lowest - load.lowest, high - load.lowest + 1)
    return Load(lowest, load.counts[part], load.square[part], load.mean[part], load.prior[part])
