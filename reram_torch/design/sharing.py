"""Tables that several cycles, slices and buckets share, where that costs nothing or little."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reram_torch.adc.base import AdcDesign
from reram_torch.adc.storage import table_bytes
from reram_torch.adc.trees import ESCAPE
from reram_torch.design.layer_prices import LayerPrices
from reram_torch.design.loads import LayerLoads, compiled, distances
from reram_torch.power.controllers import Latches

_BITS = 8  # of a byte


class Sharing:
    """What every table of a layer costs with the design of every other.

    Args:
        designs: one for each table.
        loads: of the tables.
        prices: of the layer's searches.
        price: of energy beside errors; 0: no error at all is allowed.
    """

    def __init__(
        self,
        designs: Sequence[AdcDesign],
        loads: LayerLoads,
        prices: LayerPrices,
        price: float,
    ):
        g = prices.geometry
        self.designs = list(dict.fromkeys(designs))
        self._loads, self._geometry = loads, g
        words = [d.words(g.lowest, g.highest) for d in self.designs]
        self._bytes = np.array([w.number * w.bits / _BITS for w in words])
        self._keeping = (price or 1.0) * prices.leakage * self._bytes
        counts, square = loads.likely, loads.square  # (T, V)
        level, comparisons = compiled(self.designs, loads)  # (D, V)
        made, away = comparisons.astype(float), distances(level, loads.loads[0].values)
        starts = made.any(1)
        p, latched = prices.prices, prices.are_latched(loads, self.designs[0])
        start = p.start + (prices.finer(self.designs) if p.resolves else 0.0)
        loaded = [0.0 if latched else prices.loaded(Latches(*w)) * w.number for w in words]
        room = counts.sum(1) if loads.served is None else loads.served
        error = square @ (away**2).T  # (T, D)
        energy = p.comparison * (counts @ made.T)
        energy += starts * (start * counts.sum(1)[:, None] + np.array(loaded) * room[:, None])
        if loads.escapes is not None:
            out = level == ESCAPE
            energy += loads.escapes.energy @ out.T
            error += loads.escapes.error @ out.T + loads.escapes.forbidden(out, exact=not price)
        self.cost = np.where(error > 0, np.inf, energy) if not price else error + price * energy
        self.picked = np.argmin(self.cost, 1)  # a design made for another table may be as good

    @property
    def bytes(self) -> int:
        """Of the tables as picked."""
        return table_bytes(self.designs, self.index, self._geometry.lowest, self._geometry.highest)

    @property
    def index(self) -> np.ndarray:
        """Which design converts, (B, I, J); -1: nothing is converted."""
        found: np.ndarray = np.append(self.picked, -1)[self._loads.index]
        return found

    def merge(self, most: int | None) -> None:
        """Gives up designs while that pays, or until the tables take at most so many bytes."""
        rows, used = np.arange(len(self.cost)), np.unique(self.picked)
        rivals = np.full_like(self.cost, np.inf)
        rivals[:, used] = self.cost[:, used]
        rivals[rows, self.picked] = np.inf
        heirs = np.argmin(rivals, 1)  # each table's best design but its own
        while len(used) > 1:
            more = rivals[rows, heirs] - self.cost[rows, self.picked]
            loss = np.bincount(self.picked, more, len(self.designs)) - self._keeping
            over = most is not None and self.bytes > most
            worth = loss[used] / np.maximum(self._bytes[used], 1e-9) if over else loss[used]
            least = used[int(np.argmin(worth))]
            if not np.isfinite(loss[least]) or (not over and loss[least] > 0):
                return
            orphans, left = self.picked == least, (self.picked == least) | (heirs == least)
            self.picked = np.where(orphans, heirs, self.picked)
            used = used[used != least]
            rivals[:, least] = np.inf
            rivals[orphans, self.picked[orphans]] = np.inf
            heirs[left] = np.argmin(rivals[left], 1)

    def assigned(self) -> list[AdcDesign]:
        """A design for each table."""
        return [self.designs[k] for k in self.picked]
