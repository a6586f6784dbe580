"""What a layer converted, with which ADCs, and what others would have done in their place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from reram_torch.adc.activity_sar import ActivitySAR
from reram_torch.adc.base import AdcDesign, compile_tables
from reram_torch.adc.resolution import Window, window_of
from reram_torch.adc.storage import is_plain, table_bytes, used_designs
from reram_torch.crossbar.geometry import Geometry
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.power.controllers import PLAIN, Latches
from reram_torch.power.counts import LayerCounts


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often bit-line sums occurred.

    Attributes:
        edges: fewest driven word-lines of each bucket, as fine as all designs that are looked at.
        bins: by bucket, cycle, slice and sum, (B, I, J, V).
    """

    edges: tuple[int, ...]
    bins: np.ndarray


def histogram_edges(geometry: Geometry, edges: tuple[int, ...]) -> tuple[int, ...]:
    """Buckets that tell those of some designs apart, and those of an `ActivitySAR`.

    Args:
        geometry: of the layer.
        edges: fewest driven word-lines of each bucket of the designs.
    """
    told = ActivitySAR().by_activity(geometry.rows, geometry.largest_sums(1))
    assert told is not None  # it is given no largest sum
    return tuple(sorted({*edges, *told.edges}))


@dataclass(frozen=True, eq=False)
class LayerConversions:
    """What a layer converted, and with which ADCs.

    Attributes:
        counts: of the layer.
        designs: its ADCs.
        edges: fewest driven word-lines of each activity bucket.
        index: which design converts, by bucket, cycle and slice, (B, I, J); -1: nothing is
            converted.
        histogram: how often each bit-line sum occurred, or None if nobody looked.
    """

    counts: LayerCounts
    designs: tuple[AdcDesign, ...]
    edges: tuple[int, ...]
    index: np.ndarray
    histogram: Histogram | None

    def histogram_of(self, design: int) -> np.ndarray:
        """How often each sum of a cycle was converted by one of the designs, (V,).

        Raises:
            ValueError: the histogram's buckets are coarser than those of the designs.
        """
        assert self.histogram is not None  # who asks has looked
        seen, cycles = self.histogram, self.counts.geometry.cycles  # not of recoveries
        if not set(self.edges) <= set(seen.edges):
            raise ValueError(f"a histogram by {seen.edges} does not tell {self.edges} apart")
        bucket = np.searchsorted(self.edges, seen.edges, "right") - 1
        found: np.ndarray = seen.bins[:, :cycles][self.index[bucket, :cycles] == design].sum(0)
        return found

    def comparisons_of(self, design: int) -> np.ndarray:
        """The comparisons that one of the designs takes for each sum, (V,)."""
        g = self.counts.geometry
        made = compile_tables(self.designs[design], g.lowest, g.highest).comparisons
        return made.astype(np.int64)

    @cached_property
    def _depths(self) -> np.ndarray:
        """The most comparisons of each design, and 0 for none, which index -1 reads."""
        return np.array([*(self.comparisons_of(k).max() for k in range(len(self.designs))), 0])

    def longest(self) -> np.ndarray:
        """The most comparisons that a conversion of each cycle can take, (I,)."""
        found: np.ndarray = self._depths[self.index].max((0, 2))
        return found

    @cached_property
    def window(self) -> Window | None:
        """The thresholds of all searches; None without any."""
        g = self.counts.geometry
        return window_of(used_designs(self.designs, self.index), g.lowest, g.highest)

    @property
    def resolution(self) -> int:
        """Bits of the ADC that can make the thresholds of all its searches; 0 without any."""
        return 0 if self.window is None else self.window.bits

    # --- controllers and tables ---

    @cached_property
    def controllers(self) -> tuple[str, ...]:
        """The kinds of controllers that its designs ask for: those that make comparisons."""
        used = used_designs(self.designs, self.index)
        if is_plain(used):
            return (PLAIN,)
        g = self.counts.geometry
        kinds = (
            d.controller for d in used if compile_tables(d, g.lowest, g.highest).comparisons.any()
        )
        return tuple(dict.fromkeys(kinds))

    @cached_property
    def table_bytes(self) -> int:
        """Bytes of the layer's tables; none for a plain SAR."""
        if not self.controllers:
            return 0
        g = self.counts.geometry
        return table_bytes(self.designs, self.index, g.lowest, g.highest)

    @cached_property
    def latches(self) -> Latches:
        """What the latches of its ADCs' controllers hold: the largest table; nothing of a SAR."""
        if not self.table_bytes:
            return Latches()
        g, used = self.counts.geometry, used_designs(self.designs, self.index)
        return Latches(*max(design.words(g.lowest, g.highest) for design in used))

    def words_loaded(self, latched_bytes: int) -> int:
        """Words read from tables: once for the bit-lines of an array that convert alike in a cycle.

        Args:
            latched_bytes: tables of so many bytes are not read but lie in latches.
        """
        if self.table_bytes <= latched_bytes:
            return 0
        return self._words_of_tiles * self.counts.arrays_across

    def lookups(self, latched_bytes: int) -> int:
        """How often a slice's table was looked up in a cycle of an array, where words are loaded.

        Args:
            latched_bytes: as for `words_loaded`.
        """
        if self.table_bytes <= latched_bytes:
            return 0
        slices = int((self.index >= 0).any((0, 1)).sum())
        return int(self.tile_cycles.sum()) * slices * self.counts.arrays_across

    @cached_property
    def _words_of_tiles(self) -> int:
        """Words of all searches that start in a tile's cycles, as if it were one array."""
        g = self.counts.geometry
        words = [
            design.words(g.lowest, g.highest).number if depth else 0
            for design, depth in zip(self.designs, self._depths, strict=False)
        ]
        each = np.array([*words, 0])[self.index].sum(2)  # of all slices, (B, I)
        return int((self.tile_cycles * each).sum())

    @cached_property
    def tile_cycles(self) -> np.ndarray:
        """Cycles of tiles by activity bucket and cycle, (B, I)."""
        return np.add.reduceat(self.counts.driven, self.edges, axis=1).T

    @property
    def counts_driven(self) -> int:
        """How often an array's driven word-lines had to be counted, to tell its buckets apart."""
        counted = len(self.edges) > 1
        return int(self.counts.driven.sum()) * self.counts.arrays_across if counted else 0

    # --- in their place ---

    def by_plain_sar(self) -> LayerConversions:
        """The same sums converted by a plain SAR ADC of full resolution."""
        plain = lossless_adc(self.counts.geometry)
        return replace(
            self,
            counts=self.counts.by_plain_sar(plain.bits),
            designs=(plain,),
            edges=(0,),
            index=self._of_sums(np.zeros((1, *self.index.shape[1:]), dtype=int)),
        )

    def _of_sums(self, index: np.ndarray) -> np.ndarray:
        """An index of what is converted at all: slices that exist, and no recoveries."""
        cycles = np.arange(index.shape[1])[:, None] < self.counts.geometry.cycles
        found: np.ndarray = np.where(self.counts.present & cycles, index, -1)
        return found

    def by_activity_sar(self) -> LayerConversions:
        """The same sums converted by an `ActivitySAR`."""
        g = self.counts.geometry
        told = ActivitySAR().by_activity(g.rows, g.largest_sums(1))
        assert told is not None  # it is given no largest sum
        return replace(
            self,
            counts=self.counts.by_activity_sar(),
            designs=told.designs,
            edges=told.edges,
            index=self._of_sums(told.index),
        )
