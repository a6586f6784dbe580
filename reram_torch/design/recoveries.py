"""What it takes to recover sums, and what recoveries convert once some sums escape.

Calibration counts the sums of single bits as if every sum were recovered, exactly, and looks at
both kinds of sums together in a sample of tile-cycles. The sample tells which share of the sums of
single bits is converted when some searches escape, and what a recovery costs, by the size of the
sum. Both guide a choice only: what is chosen is simulated exactly.

Axes: B activity buckets, I cycles, R input bits, J slices that exist, N conversions of a slice in a
tile-cycle, V sums of a window, K sizes of sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from reram_torch.design.loads import slices_of, statistics_of
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.statistics import Tries

_ALONE = 8  # sums up to this are sizes of their own; beyond, there are four to an octave
_LIKE = 4.0  # sums of all buckets that one bucket's share, or mean, is taken together with


def sizes_of(sums: np.ndarray) -> np.ndarray:
    """The size of each sum: what recovering it takes depends on little else."""
    away = np.abs(sums)
    octaves = np.log2(np.maximum(away, _ALONE) / _ALONE)
    found: np.ndarray = np.minimum(away, _ALONE) + np.floor(4 * octaves).astype(int)
    return found


@dataclass(frozen=True)
class Escaped:
    """What recoveries convert.

    Attributes:
        share: of the sums of single bits, by size, (B, I + R, J, K); 1 for cycles of one bit.
        again: tile-cycles that single bits drive, (B, I + R).
        number: sums that are recovered, by cycle, (I,).
    """

    share: np.ndarray
    again: np.ndarray
    number: np.ndarray


@dataclass(frozen=True)
class Singles:
    """The tables that convert sums of single bits, and what they take.

    Attributes:
        energy: of a conversion, (T, V).
        away: distance of each sum to its level, (T, V).
        loading: of a table, for a tile-cycle, (T,).
        table: which of them converts, (B, I + R, J); -1: none.
    """

    energy: np.ndarray
    away: np.ndarray
    loading: np.ndarray
    table: np.ndarray


class Recoveries:
    """Of one layer.

    Args:
        layer: calibrated; its crossbars speculate.

    Attributes:
        present: slices that exist.
        reach: the largest sum by bucket, phase and slice, (B, I + R, J).
        highest: of the window: a power of two less 1, beyond which no sum was seen and none of a
            single bit can be; or the largest that tables tell.
        lowest: the smallest.
        seen: conversions, (B, I + R, J, V); those of single bits as if all sums were recovered.
        tries: cycles that can be recovered.
    """

    def __init__(self, layer: CrossbarLayer):
        g, statistics = layer.geometry, statistics_of(layer)
        self.geometry, self.edges = g, statistics.edges
        self.present = np.flatnonzero(slices_of(layer))
        self.tries = [i for i in range(g.cycles) if g.recovered_bits(i)]
        height = min(g.rows, layer.depth)
        driven = np.minimum(np.array([*self.edges[1:], height + 1]) - 1, height)
        each = g.largest_sums(1)[:, self.present]
        self.reach = driven[:, None, None] * each
        self.conversions = layer.outputs // layer.groups * len(g.signs)  # N
        self.significance = g.significances().double().numpy()[:, self.present]
        self.signal, self.results = statistics.square_sum or 1.0, max(statistics.results, 1)
        seen = statistics.by_activity.numpy()[:, :, self.present]
        self.highest = self._window(seen, height * int(np.delete(each, self.tries, 0).max()))
        self.lowest = -self.highest if g.signed else 0
        first = self.lowest - g.lowest
        self.seen = seen[..., first : first + self.highest - self.lowest + 1].astype(float)
        self._count_nothing()
        self.values = np.arange(self.lowest, self.highest + 1)
        self.sizes = sizes_of(self.values)
        self._samples = {
            i: _Sample(self, i, tries) for i, tries in sorted(statistics.tries.items())
        }

    def _window(self, seen: np.ndarray, singles: int) -> int:
        g, occur = self.geometry, np.flatnonzero(seen.any((0, 1, 2)))
        most = max(int(np.abs(occur + g.lowest).max(initial=0)), singles)
        found: int = min((1 << most.bit_length()) - 1, g.highest)
        return found

    def _count_nothing(self) -> None:
        """Single bits of tile-cycles that drive nothing: the histogram leaves them out."""
        g = self.geometry
        for i in self.tries:
            for bit in g.recovered_bits(i):
                self.seen[0, g.cycles + bit, :, -self.lowest] += self.seen[0, i].sum(-1)

    def tile_cycles(self, cycle: int) -> np.ndarray:
        """How many there were, by activity, (B,)."""
        found: np.ndarray = self.seen[:, cycle, 0].sum(-1) / self.conversions
        return found

    def escaped(self, escapes: np.ndarray | None, table: np.ndarray) -> Escaped:
        """What recoveries convert if some sums escape.

        Args:
            escapes: whether a table's sum does, bool (T, V); None: every sum does.
            table: which of them converts, (B, I + R, J), -1: none.
        """
        g, (B, P, J) = self.geometry, table.shape
        share = np.zeros((B, P, J, int(self.sizes.max()) + 1))
        again, number = np.zeros((B, P)), np.zeros(g.cycles)
        for i in set(range(g.cycles)) - set(self.tries):
            share[:, i], again[:, i] = 1.0, self.tile_cycles(i)
        if escapes is None:
            escapes, table = np.ones((1, len(self.values)), bool), np.minimum(table, 0)
        escapes = np.concatenate([escapes, np.zeros((1, len(self.values)), bool)])  # -1 reads it
        for i, sample in self._samples.items():
            exact = (self.seen[:, i] * escapes[table[:, i]]).sum((0, 2))  # (J,)
            number[i] = exact.sum()
            bits = [g.cycles + bit for bit in g.recovered_bits(i)]
            found, again[:, bits] = sample.escaped(escapes, table[:, i])
            told = (self.by_size[:, bits] * found).sum((0, 3))
            scale = np.divide(exact, told, out=np.zeros_like(told), where=told > 0)
            share[:, bits] = found * scale[None, :, :, None]
        return Escaped(share, again, number)

    @cached_property
    def by_size(self) -> np.ndarray:
        """Conversions seen of each size, (B, I + R, J, K)."""
        flat = self.seen.reshape(-1, self.seen.shape[-1])
        found = np.stack([np.bincount(self.sizes, row) for row in flat])
        return found.reshape(*self.seen.shape[:-1], -1)

    @cached_property
    def occurring(self) -> slice:
        """Where in the window sums were seen."""
        at = np.flatnonzero(self.seen.any((0, 1, 2)))
        return slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0)

    def costs(self, singles: Singles, escaped: Escaped) -> tuple[np.ndarray, np.ndarray]:
        """Mean energy, pJ, and squared error over the signal of recoveries, (B, I, J, K).

        Words are loaded once for all sums of a tile-cycle that are recovered; each bears its share.
        """
        g = self.geometry
        shape = (len(self.edges), g.cycles, len(self.present), int(self.sizes.max()) + 1)
        energy, error = np.zeros(shape), np.zeros(shape)
        loading = np.append(singles.loading, 0.0)[singles.table].sum(2)  # (B, I + R)
        for i, sample in self._samples.items():
            energy[:, i], error[:, i] = sample.costs(singles)
            bits = [g.cycles + bit for bit in g.recovered_bits(i)]
            words = (escaped.again[:, bits] * loading[:, bits]).sum()
            energy[:, i] += words / max(escaped.number[i], 1.0)
        return energy, error


class _Sample:
    """Some tile-cycles of a cycle, P of them, D bits each."""

    def __init__(self, whole: Recoveries, cycle: int, tries: Tries):
        self._whole, g, edges = whole, whole.geometry, np.array(whole.edges)
        self._bits = [g.cycles + bit for bit in g.recovered_bits(cycle)]
        low, high = whole.lowest, whole.highest
        self._bucket = np.searchsorted(edges, tries.activity.numpy(), "right") - 1
        self._at = np.clip(tries.sums.numpy()[:, whole.present], low, high) - low
        self._bit_bucket = np.searchsorted(edges, tries.bit_activity.numpy(), "right") - 1
        self._bit_at = np.clip(tries.bit_sums.numpy()[:, :, whole.present], low, high) - low
        B, J, K = len(edges), len(whole.present), int(whole.sizes.max()) + 1
        self._shape, self._bit_shape = (B, J, K), (B, len(self._bits), J, K)
        slices, bits = np.arange(J)[:, None], np.arange(len(self._bits))[:, None, None]
        sizes, bit_sizes = whole.sizes[self._at], whole.sizes[self._bit_at]
        # Flat places in arrays of these shapes.
        self._place = (self._bucket[:, None, None] * J + slices) * K + sizes
        rows = self._bit_bucket[:, :, None, None] * len(self._bits) + bits
        self._bit_place = (rows * J + slices) * K + bit_sizes
        self._number = self._counted(self._place, self._shape)
        self._bit_number = self._counted(self._bit_place, self._bit_shape)
        drawn = np.bincount(self._bucket, minlength=B)
        self._weight = (whole.tile_cycles(cycle) / np.maximum(drawn, 1))[self._bucket]

    @staticmethod
    def _counted(
        place: np.ndarray, shape: tuple[int, ...], weights: np.ndarray | None = None
    ) -> np.ndarray:
        flat = None if weights is None else weights.ravel()
        return np.bincount(place.ravel(), flat, int(np.prod(shape))).reshape(shape)

    def escaped(self, escapes: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares of the sums of single bits, (B, D, J, K), and the tile-cycles, (B, D)."""
        away = escapes[table[self._bucket][:, :, None], self._at]  # (P, J, N)
        shape = self._bit_at.shape
        out = np.broadcast_to(away[:, None], shape)
        total = self._counted(self._bit_place[out], self._bit_shape)
        again = np.zeros(self._bit_shape[:2])
        weight = self._weight * away.any((1, 2))
        for d in range(len(self._bits)):
            again[:, d] = np.bincount(self._bit_bucket[:, d], weight, len(again))
        return _means(total, self._bit_number), again

    def costs(self, singles: Singles) -> tuple[np.ndarray, np.ndarray]:
        """Mean energy and squared error over the signal, (B, J, K)."""
        whole = self._whole
        nothing = np.zeros((1, singles.energy.shape[1]))  # -1 reads it
        energy = np.concatenate([singles.energy, nothing])
        table = singles.table[self._bit_bucket, self._bits][..., None]  # (P, D, J, 1)
        spent = energy[table, self._bit_at].sum(1)
        found = _means(self._counted(self._place, self._shape, spent), self._number)
        if not singles.away.any():
            return found, np.zeros_like(found)
        away = np.concatenate([singles.away, nothing])
        weight = whole.significance[self._bits][None, :, :, None]
        wrong = (weight * away[table, self._bit_at]).sum(1) ** 2 / whole.signal
        return found, _means(self._counted(self._place, self._shape, wrong), self._number)


def _means(total: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Totals over numbers, (B, ..., K), where few were seen leaning on all buckets'.

    Sizes that were not seen at all have the mean of the next smaller one.
    """
    every, all_number = total.sum(0), number.sum(0)
    mean = np.divide(every, all_number, out=np.zeros_like(every, float), where=all_number > 0)
    sizes = np.arange(mean.shape[-1])
    last = np.maximum.accumulate(np.where(all_number > 0, sizes, 0), axis=-1)
    mean = np.take_along_axis(mean, last, -1)
    found: np.ndarray = (total + _LIKE * mean) / (number + _LIKE)
    return found
