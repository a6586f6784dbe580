"""What the tables of a layer that speculates have to convert: tries, and what recovers them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.config.sections import granularity_parts
from reram_torch.design.loads import Escapes, LayerLoads, Load, prior_of, statistics_of
from reram_torch.design.recoveries import Escaped, Recoveries, Singles
from reram_torch.nn.base import CrossbarLayer

_KEEP = "recoveries"  # among what designers keep of a layer's statistics


@dataclass(frozen=True)
class _Weights:
    """What conversions weigh, by phase and slice, (P, J)."""

    square: np.ndarray
    mean: np.ndarray


class SpeculatedLoads:
    """The tables of a layer that speculates, at a chosen granularity.

    Tries have tables of their own, whose sums may escape; after them come the tables of single
    bits, of recoveries and of cycles of one bit.

    Args:
        layer: calibrated.
        granularity: as `design_adc` takes it, but `auto`.

    Attributes:
        recoveries: of the layer.
        table: which converts, (B, I + R, J) of all buckets and of slices that exist; -1: none.
        tries: number of tables of tries.
    """

    def __init__(self, layer: CrossbarLayer, granularity: str):
        self.recoveries = r = recoveries_of(layer)
        g, self._parts = r.geometry, granularity_parts(granularity)
        self.table = self._tables()
        self.tries = int(self.table[:, r.tries].max()) + 1
        self._number = int(self.table.max()) + 1
        alike = len(g.signs) > 1 or g.passes > 1
        lean = r.significance / np.sqrt(r.signal * r.results) * (not alike)
        self._weights = _Weights(r.significance**2 / r.signal, lean)
        reach = np.zeros(self._number, dtype=int)
        np.maximum.at(reach, self.table[self.table >= 0], r.reach[self.table >= 0])
        self._highs, self.beyond = np.minimum(reach, r.highest), reach > r.highest
        singles = np.delete(np.arange(g.phases), r.tries)
        likely = np.zeros_like(r.seen)  # beside what was seen
        for phases in (r.tries, singles):
            possible = np.abs(r.values) <= r.reach[:, phases, :, None]
            likely[:, phases] = prior_of(r.seen[:, phases], possible)
        self._likely = likely[:, r.tries]
        self._prior = self._by_table(likely)
        self._prior_square = self._by_table(likely * self._weights.square[None, :, :, None])

    def _tables(self) -> np.ndarray:
        r, parts = self.recoveries, self._parts
        g, idle = r.geometry, "activity" in parts and r.edges[1:2] == (1,)
        own = {i: i for i in range(g.cycles)}  # a phase whose table another one has
        for i in range(g.cycles):
            for bit in range(sum(g.dac_widths[:i]), sum(g.dac_widths[: i + 1])):
                if bit < g.recoveries:
                    own[g.cycles + bit] = g.cycles + bit if i in r.tries else i
        found = np.full((len(r.edges), g.phases, len(r.present)), -1)
        numbers: dict[tuple[int, ...], int] = {}
        for phases in (r.tries, [p for p in own if p not in r.tries]):
            for b, p, j in np.ndindex(found.shape):
                if p in phases and (b or not idle):
                    key = (
                        int(p in r.tries),
                        b if "activity" in parts else 0,
                        own[p] if "cycle" in parts else 0,
                        j if "slice" in parts else 0,
                    )
                    found[b, p, j] = numbers.setdefault(key, len(numbers))
        return found

    def _by_table(self, x: np.ndarray) -> np.ndarray:
        """Sums of (B, I + R, J, ...) over what each table converts, (T, ...)."""
        found = np.zeros((self._number, *x.shape[3:]))
        for cell in np.argwhere(self.table >= 0):
            found[self.table[tuple(cell)]] += x[tuple(cell)]
        return found

    @property
    def index(self) -> np.ndarray:
        """Which table converts, (B, I + R, J), as `LayerLoads` has it."""
        r, parts = self.recoveries, self._parts
        table = self.table if "activity" in parts else self.table[-1:]
        found = np.full((*table.shape[:2], r.geometry.slices), -1)
        found[:, :, r.present] = table
        return found

    def escaped(self, escapes: np.ndarray | None) -> Escaped:
        """What recoveries convert if sums of the tries' tables escape, bool (T, V); None: all."""
        return self.recoveries.escaped(escapes, np.where(self.table < self.tries, self.table, -1))

    def loads(self, escaped: Escaped, escapes: Escapes | None) -> LayerLoads:
        """Of all tables, given what recoveries convert and what escapes cost."""
        r = self.recoveries
        counts, square, mean = np.zeros((3, self._number, len(r.values)))
        square += self._prior_square
        served = np.zeros(self._number)
        at = r.occurring
        for b, p, j in np.argwhere(self.table >= 0):
            made, t = r.seen[b, p, j, at], self.table[b, p, j]
            if p not in r.tries:
                made = made * escaped.share[b, p, j][r.sizes[at]]
                served[t] += escaped.again[b, p] * r.conversions
            else:
                served[t] += made.sum()
            counts[t, at] += made
            square[t, at] += self._weights.square[p, j] * made
            mean[t, at] += self._weights.mean[p, j] * made
        loads = [
            Load(r.lowest, *each)
            for each in zip(counts, square, mean, self._prior, strict=True)
        ]  # fmt: skip
        edges = tuple(r.edges) if "activity" in self._parts else (0,)
        again = float(escaped.again[:, r.geometry.cycles :].sum())
        return LayerLoads(loads, self._highs, edges, self.index, served, again, escapes)

    def costs(self, singles: Singles, escaped: Escaped) -> Escapes:
        """What escapes cost with these tables of single bits."""
        r = self.recoveries
        energy, error = r.costs(singles, escaped)
        spent, wrong = np.zeros((2, self._number, len(r.values)))
        for b, k, j in np.argwhere(self.table[:, r.tries] >= 0):
            i = r.tries[k]
            likely = r.seen[b, i, j] + self._likely[b, k, j]
            spent[self.table[b, i, j]] += likely * energy[b, i, j][r.sizes]
            wrong[self.table[b, i, j]] += likely * error[b, i, j][r.sizes]
        return Escapes(spent, wrong, np.arange(self._number) < self.tries, self.beyond)


def recoveries_of(layer: CrossbarLayer) -> Recoveries:
    """Those of a layer, made once."""
    kept = statistics_of(layer).derived
    if _KEEP not in kept:
        kept[_KEEP] = Recoveries(layer)
    found: Recoveries = kept[_KEEP]
    return found
