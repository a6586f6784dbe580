"""What the searches of one layer cost on its calibration data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reram_torch.adc.base import AdcDesign
from reram_torch.adc.resolution import window_of
from reram_torch.adc.storage import is_plain, table_bytes, used_designs
from reram_torch.crossbar.geometry import ceil_div
from reram_torch.design.loads import LayerLoads, slices_of, statistics_of
from reram_torch.nn.base import CrossbarLayer
from reram_torch.power.controllers import CODE_BITS, Latches
from reram_torch.power.search_prices import PJ_PER_NW_NS, SearchPrices
from reram_torch.power.technology import ArrayTiming

_BITS = 8  # of a byte


class LayerPrices:
    """Prices of searches, for one layer and what calibration saw of it.

    Args:
        prices: of the kind of controller.
        layer: calibrated.
        array: says how long an array's cycle takes.

    Attributes:
        prices: as given.
        sums_of_word: conversions that a loaded word serves: those of an array's slice in a cycle.
        adcs: of an array.
        leakage: of a byte of tables beside every array of the layer, pJ.
    """

    def __init__(self, prices: SearchPrices, layer: CrossbarLayer, array: ArrayTiming):
        g, statistics = layer.geometry, statistics_of(layer)
        outputs = layer.outputs // layer.groups
        tiles = g.tiles(layer.depth)
        conversions = outputs * len(g.signs)  # of a tile-cycle's slice
        seen = statistics.by_activity[:, : g.cycles, 0]
        cycles = float(seen.sum()) / conversions  # of tiles
        duration = cycles / (tiles * layer.groups) * array.cycle_ns
        across = ceil_div(outputs * int(slices_of(layer).sum()) * g.bit_lines, g.cols)
        self.prices, self.geometry = prices, g
        self.sums_of_word = conversions / across
        self.adcs = ceil_div(g.cols, array.columns_per_adc)
        arrays = layer.groups * tiles * across
        self._leaking = duration * arrays * PJ_PER_NW_NS  # of a nW beside every array, pJ
        self.leakage = prices.leakage * duration * arrays
        self._taller = g.rows / array.rows
        self._counting = prices.activity * self._taller * cycles * across
        self._lookups = cycles * across  # of a slice
        self._cycles = max(cycles, 1.0)

    def loaded(self, latches: Latches) -> float:
        """A conversion's share of a word that is loaded and written into such latches, pJ."""
        p = self.prices
        loading = p.loading(latches).load_pj(p.word)
        return (loading + self.adcs * p.steering.write_pj(latches)) / self.sums_of_word

    def word(self, loads: LayerLoads, latches: Latches, *, latched: bool) -> np.ndarray:
        """What a word of each table costs: loading it into such latches, and keeping it, (T,)."""
        loading, bits = 0.0 if latched else self.loaded(latches), latches.bits
        found: np.ndarray = loads.room * loading + self.leakage * bits / _BITS
        return found

    def are_latched(self, loads: LayerLoads, design: AdcDesign) -> bool:
        """Whether tables of one word each, as of this design, lie in latches."""
        words = design.words(self.geometry.lowest, self.geometry.highest)
        bits = words.number * words.bits * len(loads.loads)
        return words.number <= 1 and ceil_div(bits, _BITS) <= self.prices.latched_bytes

    def finer(self, designs: Sequence[AdcDesign]) -> float:
        """What the resolution that these searches ask for adds to a conversion that starts, pJ."""
        window = window_of(designs, self.geometry.lowest, self.geometry.highest)
        return 0.0 if window is None else self.prices.finer(window.bits)

    def energy(
        self,
        designs: Sequence[AdcDesign],
        loads: LayerLoads,
        comparisons: np.ndarray,
        starts: np.ndarray,
    ) -> float:
        """Of a layer's searches and tables, pJ, as a report has it.

        Args:
            designs: one for each table.
            loads: of the tables.
            comparisons: that each makes on its load, (T,).
            starts: which designs can make a comparison at all, bool (T,): a single level starts
                nothing and loads nothing.
        """
        g, p = self.geometry, self.prices
        stored = {d: d.words(g.lowest, g.highest) for d in dict.fromkeys(designs)}
        begun = float((loads.counts.sum(1) * starts).sum())
        words = float(loads.room * starts @ np.array([stored[d].number for d in designs]))
        made = float(comparisons.sum())
        used = used_designs(designs, loads.index)
        kept = table_bytes(designs, loads.index, g.lowest, g.highest) if begun else 0
        latches = Latches(*max(stored[d] for d in used)) if kept else Latches()
        asked = p.resolves or p.steering.bit_share  # of thousands of trees it takes long
        window = window_of(used, g.lowest, g.highest) if asked else None
        finer = 0.0 if window is None else p.finer(window.bits)
        steering = p.plain if is_plain(used) else p.steering
        bits = CODE_BITS if window is None else window.code_bits
        energy = p.comparison * made + (p.start + finer) * begun
        energy += (steering.clock_pj(latches, bits) - p.steering.clock) * (made + begun)
        longer = 1 + loads.again / self._cycles  # that tables leak, and word-lines are counted
        leaking = self.adcs * steering.leakage_nw(latches)
        if kept > p.latched_bytes:
            loading = p.loading(latches)
            leaking += loading.leakage
            slices = int((loads.index >= 0).any((0, 1)).sum())
            lookups = self._lookups * longer * slices
            energy += self.loaded(latches) * words + loading.lookup_pj(p.word) * lookups
        if len(loads.edges) > 1:
            leaking += p.activity_leakage * self._taller
            energy += self._counting * longer
        return energy + longer * (self.leakage * kept + self._leaking * leaking)
