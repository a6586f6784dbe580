"""What the tables of a layer have to convert, at a chosen granularity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from reram_torch.adc.base import AdcDesign, compile_tables
from reram_torch.adc.trees import ESCAPE
from reram_torch.config.sections import GRANULARITIES, granularity_parts
from reram_torch.crossbar.geometry import Geometry
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.statistics import Statistics

# Conversions with the pooled distribution that each table is given beside its own: what decides
# where calibration saw nothing, and keeps sane what saw little.
_PRIOR = 1.0


@dataclass(frozen=True)
class Load:
    """What one table has to convert, by bit-line sum; arrays of shape (V,), from `lowest`.

    With e(v) the distance of a sum to its level, a layer's error is that of its tables,
    sum_v square[v] * e(v)^2, plus the square of the sum of their mean errors, sum_v mean[v] * e(v):
    errors that scatter add up in power, but the mean is the same in every tile, cycle and position
    and adds up in amplitude. A constant for each channel makes up for the mean of all inputs only,
    not for what rises and falls with an input's activity.

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

    @property
    def likely(self) -> np.ndarray:
        """Conversions seen and taken for likely."""
        return self.counts + self.prior


@dataclass(frozen=True)
class Escapes:
    """What recovering sums costs, with the tables of single bits that there are.

    Attributes:
        energy: of the conversions that are likely, by table and sum, pJ, (T, V).
        error: weighted squared error that recoveries leave, likewise.
        allowed: whether a table's sums may escape, bool (T,).
        beyond: whether it can meet sums larger than any in these arrays, bool (T,): of a search
            without error they must escape.
    """

    energy: np.ndarray
    error: np.ndarray
    allowed: np.ndarray
    beyond: np.ndarray

    def of(self, tables: slice) -> Escapes:
        """Those of some tables."""
        return Escapes(*(x[tables] for x in (self.energy, self.error, self.allowed, self.beyond)))

    def forbidden(self, out: np.ndarray, *, exact: bool) -> np.ndarray:
        """Infinity where a table cannot do with a search, 0 elsewhere, (T, D).

        Args:
            out: which sums each search lets escape, (D, V).
            exact: whether there may be no error.
        """
        wrong = ~self.allowed[:, None] & out.any(1)
        if exact:
            wrong |= self.beyond[:, None] & self.allowed[:, None] & (out[:, -1] == 0)
        found: np.ndarray = np.where(wrong, np.inf, 0.0)
        return found

    def cost(self, price: float) -> np.ndarray:
        """Of escapes at a price of energy, (T, V); at 0 energy is all there is."""
        return price * self.energy + self.error if price else self.energy


@dataclass(frozen=True)
class LayerLoads:
    """The tables of a layer.

    Attributes:
        loads: one for each table.
        highs: the largest sum that each table can meet; the smallest is 0, or its opposite.
        edges: fewest driven word-lines of each activity bucket.
        index: which table converts, (B, I, J), -1 where nothing is converted: no word-line is
            driven, or the slice does not exist; with speculation (B, I + R, J).
        served: conversions that there were room for each time that a table was loaded, (T,); None:
            as many as there were.
        again: tile-cycles that recoveries drive.
        escapes: what they cost, where sums may escape.
    """

    loads: list[Load]
    highs: np.ndarray
    edges: tuple[int, ...]
    index: np.ndarray
    served: np.ndarray | None = None
    again: float = 0.0
    escapes: Escapes | None = None

    @property
    def lowest(self) -> int:
        """The smallest sum of all loads."""
        return self.loads[0].lowest

    @property
    def highest(self) -> int:
        """The largest sum."""
        return self.lowest + len(self.loads[0].counts) - 1

    def of_all_slices(self, index: np.ndarray) -> np.ndarray:
        """An index (B, I, J) in which the slices without a table have that of their neighbours.

        They do not exist as long as the weights stay what they are.
        """
        there = np.flatnonzero((self.index >= 0).any((0, 1)))
        nearest = [there[np.abs(there - j).argmin()] for j in range(index.shape[2])]
        found: np.ndarray = index[:, :, nearest]
        return found

    def of(self, tables: slice) -> LayerLoads:
        """Some of the tables; the index stays that of all."""
        return replace(
            self,
            loads=self.loads[tables],
            highs=self.highs[tables],
            served=None if self.served is None else self.served[tables],
            escapes=None if self.escapes is None else self.escapes.of(tables),
        )

    @property
    def room(self) -> np.ndarray:
        """Conversions that there were room for as tables were loaded, (T,)."""
        return self.counts.sum(1) if self.served is None else self.served

    @cached_property
    def counts(self) -> np.ndarray:
        """Conversions of each table, (T, V)."""
        return np.stack([load.counts for load in self.loads])

    @cached_property
    def likely(self) -> np.ndarray:
        """Conversions of each table seen and taken for likely, (T, V)."""
        return np.stack([load.likely for load in self.loads])

    @cached_property
    def square(self) -> np.ndarray:
        """Weight of a squared error of each table, (T, V)."""
        return np.stack([load.square for load in self.loads])


def compiled(designs: Sequence[AdcDesign], loads: LayerLoads) -> tuple[np.ndarray, np.ndarray]:
    """Levels and comparisons of designs by a load's sums, float64 and uint8 (designs, V)."""
    place = {design: k for k, design in enumerate(dict.fromkeys(designs))}
    tables = [compile_tables(design, loads.lowest, loads.highest) for design in place]
    rows = [place[design] for design in designs]
    level, made = np.stack([t.level for t in tables]), np.stack([t.comparisons for t in tables])
    return level[rows], made[rows]


def distances(level: np.ndarray, values: np.ndarray) -> np.ndarray:
    """From levels to sums, (designs, V); of those that are recovered, 0."""
    found: np.ndarray = np.where(level == ESCAPE, 0.0, level - values)
    return found


def statistics_of(layer: CrossbarLayer) -> Statistics:
    """What calibration saw of a layer.

    Raises:
        RuntimeError: nothing.
    """
    if layer.statistics is None:
        raise RuntimeError("a layer needs a histogram: run reram_torch.calibrate first")
    return layer.statistics


def slices_of(layer: CrossbarLayer) -> np.ndarray:
    """Which slices of a layer exist, bool (J,): one at least, so that it has a table."""
    found: np.ndarray = layer.encoded().present.cpu().numpy()
    return found if found.any() else np.arange(len(found)) == 0


def layer_loads(layer: CrossbarLayer, granularity: str) -> LayerLoads:
    """The loads of a layer's tables, with errors relative to the layer's signal.

    A squared error weighs its significance squared (`Geometry.significances`) over the mean
    square of the layer's results. Tables without data of their own get the distribution of the same
    slice in all cycles and buckets, as far as their sums can reach.

    Args:
        layer: calibrated.
        granularity: as `design_adc` takes it, but `auto`.

    Raises:
        RuntimeError: the layer was not calibrated.
        ValueError: its crossbars speculate.
    """
    g, statistics, parts = layer.geometry, statistics_of(layer), granularity_parts(granularity)
    if g.speculation:
        raise ValueError("a layer that speculates has SpeculatedLoads")
    present = slices_of(layer)
    seen = statistics.by_activity.double().numpy()[:, :, present]  # (B, I, J, V)
    edges = statistics.edges
    reach = _reach(g, min(g.rows, layer.depth), edges)
    if "activity" not in parts:
        seen, edges, reach = seen.sum(0, keepdims=True), (0,), reach[-1:]
    values = np.arange(g.lowest, g.highest + 1)
    possible = (np.abs(values) <= reach[:, None])[:, None, None]  # (B, 1, 1, V)
    prior = prior_of(seen, possible)
    significance = g.significances().double().numpy()[:, present, None]  # (I, J, 1)
    signal = statistics.square_sum or 1.0
    weight = significance**2 / signal
    # The mean error of a result is its sum over the results, divided by their number. The two
    # conversions of a pair, or passes of an input, err alike and are subtracted.
    alike = len(g.signs) > 1 or g.passes > 1
    lean = significance / np.sqrt(signal * max(statistics.results, 1)) * (not alike)
    away = tuple(a for a, name in zip((1, 2), GRANULARITIES, strict=False) if name not in parts)
    counts, likely, square, mean = (
        x.sum(away, keepdims=True) for x in (seen, prior, weight * (seen + prior), lean * seen)
    )
    index = np.full((len(edges), g.cycles, g.slices), -1)
    index[:, :, present] = np.arange(counts[..., 0].size).reshape(counts.shape[:3])
    if len(edges) > 1 and edges[1] == 1:
        index[0] = -1  # nothing driven, nothing converted
        index[index >= 0] -= counts[0, ..., 0].size
        counts, likely, square, mean, reach = (x[1:] for x in (counts, likely, square, mean, reach))
    highs = np.repeat(reach, counts[0, ..., 0].size)
    flat = (x.reshape(-1, len(values)) for x in (counts, likely, square, mean))
    loads = [Load(g.lowest, c, s, m, p) for c, p, s, m in zip(*flat, strict=True)]
    return LayerLoads(loads, highs, edges, index)


def _reach(g: Geometry, height: int, edges: tuple[int, ...]) -> np.ndarray:
    """The largest sum of each bucket, in tiles of so many word-lines."""
    driven = np.minimum(np.array([*edges[1:], height + 1]) - 1, height)
    found: np.ndarray = driven * g.largest_sum(1)
    return found


def prior_of(seen: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Pooled distributions, a little for each table and for each sum that it can meet.

    Args:
        seen: conversions, (B, I, J, V).
        possible: sums, of a shape that broadcasts to it.
    """
    own = seen.sum(1, keepdims=True) * possible  # the same bucket and slice, all cycles
    pooled = seen.sum((0, 1), keepdims=True) * possible
    prior = np.broadcast_to(possible / possible.sum(-1, keepdims=True), seen.shape) * _PRIOR / 100
    for x in (own, pooled):
        total = x.sum(-1, keepdims=True)
        prior = prior + _PRIOR * np.divide(x, total, out=np.zeros_like(x), where=total > 0)
    return prior
