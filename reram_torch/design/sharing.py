"""Tables that several cycles, slices and buckets share, where that costs nothing or little."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reram_torch.adc.base import AdcDesign, compile_tables
from reram_torch.adc.storage import table_bytes
from reram_torch.design.layer_prices import LayerPrices
from reram_torch.design.loads import LayerLoads

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
        counts = np.stack([load.likely for load in loads.loads])  # (T, V)
        square = np.stack([load.square for load in loads.loads])
        tables = [compile_tables(d, g.lowest, g.highest) for d in self.designs]
        made = np.stack([t.comparisons for t in tables]).astype(float)  # (D, V)
        away = np.stack([t.level for t in tables]) - loads.loads[0].values
        starts = made.any(1)
        p, latched = prices.prices, prices.are_latched(loads, self.designs[0])
        loading = 0.0 if latched else p.word / prices.sums_of_word
        each = starts * (p.start + loading * np.array([w.number for w in words]))
        error = square @ (away**2).T  # (T, D)
        energy = p.comparison * (counts @ made.T) + counts.sum(1)[:, None] * each
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
        while len(np.unique(self.picked)) > 1:
            loss, heirs = self._without()
            over = most is not None and self.bytes > most
            used = np.unique(self.picked)
            worth = loss[used] / np.maximum(self._bytes[used], 1e-9) if over else loss[used]
            least = used[int(np.argmin(worth))]
            if not np.isfinite(loss[least]) or (not over and loss[least] > 0):
                return
            self.picked = np.where(self.picked == least, heirs, self.picked)

    def _without(self) -> tuple[np.ndarray, np.ndarray]:
        """What giving up each design costs, and each table's best design but its own."""
        used = np.unique(self.picked)
        cost = np.full_like(self.cost, np.inf)
        cost[:, used] = self.cost[:, used]
        rows = np.arange(len(cost))
        own = cost[rows, self.picked].copy()
        cost[rows, self.picked] = np.inf
        heirs = np.argmin(cost, 1)
        loss = np.zeros(len(self.designs))
        np.add.at(loss, self.picked, cost[rows, heirs] - own)
        return loss - self._keeping, heirs

    def assigned(self) -> list[AdcDesign]:
        """A design for each table."""
        return [self.designs[k] for k in self.picked]
