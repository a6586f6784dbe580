"""The best ADCs of one layer at a price for energy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from reram_torch.adc.base import AdcDesign
from reram_torch.adc.storage import table_bytes
from reram_torch.config.sections import SearchConfig
from reram_torch.design.designers import Chooser, Designer, Found, designer_of
from reram_torch.design.layer_prices import LayerPrices
from reram_torch.design.loads import compiled, distances, layer_loads, statistics_of
from reram_torch.design.reaches import Reach, climbed
from reram_torch.design.sharing import Sharing
from reram_torch.design.speculating import Speculator
from reram_torch.nn.base import CrossbarLayer
from reram_torch.power.search_prices import SearchPrices
from reram_torch.power.technology import ArrayTiming

# What a byte costs, over all energy spread on the bytes allowed, where tables are too large.
_BYTE_PRICES = (0.25, 1.0, 4.0)
_HIGHEST = 60.0  # log2 of what one costs at most
_BITS = 8  # of an ADC, to begin with
_NEAR = 4.0  # times a price


class LayerDesigner:
    """Finds the ADCs of one layer.

    Args:
        layer: calibrated.
        search: the kind of ADC, its granularity (not `auto`) and its limits.
        sensitivity: what the layer's relative squared error costs.
        prices: of searches.
        array: of the technology.
    """

    def __init__(
        self,
        layer: CrossbarLayer,
        search: SearchConfig,
        sensitivity: float,
        prices: SearchPrices,
        array: ArrayTiming,
    ):
        self.layer, self.sensitivity, self.search = layer, sensitivity, search
        statistics, kind = statistics_of(layer), designer_of(search.design)
        # Candidates depend on the histogram and the prices only, and take long.
        key = (search.design, search.granularity, prices, array) if kind is Chooser else None
        made = statistics.derived.get(key)
        if layer.geometry.speculation:
            made = Speculator(layer, search, LayerPrices(prices, layer, array))
        elif made is None:
            loads = layer_loads(layer, search.granularity)
            made = kind(loads, search, LayerPrices(prices, layer, array))
            if key is not None:
                statistics.derived[key] = made
        self.designer: Designer = made
        self._found: dict[float, Found] = {}
        self._reach: tuple[float, Reach] | None = None  # the price that it was found at

    def at(self, price: float) -> Found:
        """The ADCs with the least sensitivity * error + price * energy; at 0, lossless.

        Raises:
            ValueError: no such tables fit `table_bytes`.
        """
        own = price / self.sensitivity
        if own not in self._found:
            self._found[own] = self._make(own)
        return self._found[own]

    def cost(self, price: float) -> float:
        """Sensitivity * error + price * energy of the best."""
        found = self.at(price)
        return self.sensitivity * found.error + price * found.energy

    def apply(self, price: float) -> Found:
        """Puts the ADCs of a price in place, each once."""
        loads, found = self.designer.loads, self.at(price)
        distinct = list(dict.fromkeys(found.designs))
        place = {design: k for k, design in enumerate(distinct)}
        places = np.array([*(place[d] for d in found.designs), -1])
        self.layer.set_adc(
            distinct, edges=loads.edges, index=loads.of_all_slices(places[loads.index])
        )
        return found

    def _make(self, price: float) -> Found:
        designer, most = self.designer, self.search.table_bytes
        reach = self._reach_at(price)
        designs = designer.at(price, reach=reach)
        alone = not designer.shares or len(designs) == 1
        if most is None:
            return self._found_of(designs) if alone else self._merged(designs, price, None)
        found = self._found_of(designs)
        if found.bytes <= most:
            return found if alone else self._merged(designs, price, None)
        tried = [self._merged(designs, price, most)]
        if designer.shares:
            tried += self._with_dearer_bytes(price, most, found.energy / most, reach)
        fitting = [each for each in tried if each.bytes <= most]
        if not fitting:
            least = min(each.bytes for each in tried)
            raise ValueError(
                f"table_bytes={most} is out of reach of {self.search.design} by "
                f"{self.search.granularity}: a layer's tables take {least} bytes at least"
            )
        return min(fitting, key=lambda each: each.error + price * each.energy)

    def _reach_at(self, price: float) -> Reach | None:
        """Full scale and step of the ADCs at a price; None: as the searches like.

        They change little with it: what is found serves prices nearby.
        """
        if not price or not self.designer.prices.prices.resolves:
            return None
        near = self._reach
        if near is None or not 1 / _NEAR <= price / near[0] <= _NEAR:
            start = Reach(min(self.designer.full, _BITS)) if near is None else near[1]

            def cost(reach: Reach) -> float:
                found = self._found_of(self.designer.at(price, reach=reach))
                return found.error + price * found.energy

            near = price, climbed(start, self.designer.full, cost)
            self._reach = near
        return near[1]

    def _with_dearer_bytes(
        self, price: float, most: int, byte: float, reach: Reach | None
    ) -> list[Found]:
        """The same with bytes at several prices; at least one fits, if any price makes it."""

        def at(share: float) -> Found:
            designs = self.designer.at(price, share * byte, reach)
            return self._merged(designs, price, most)

        tried = [at(share) for share in _BYTE_PRICES]
        if any(each.bytes <= most for each in tried):
            return tried
        low, high = math.log2(_BYTE_PRICES[-1]), _HIGHEST
        tried.append(at(2.0**high))
        while tried[-1].bytes <= most and high - low > 1:
            middle = (low + high) / 2
            found = at(2.0**middle)
            if found.bytes <= most:
                high = middle
                tried.append(found)
            else:
                low = middle
        return tried

    def _merged(self, designs: list[AdcDesign], price: float, most: int | None) -> Found:
        loads = self.designer.loads_with(designs, priced=True)
        sharing = Sharing(designs, loads, self.designer.prices, price)
        sharing.merge(most)
        return self._found_of(sharing.assigned())

    def _found_of(self, designs: Sequence[AdcDesign]) -> Found:
        prices, g = self.designer.prices, self.layer.geometry
        loads = self.designer.loads_with(designs, priced=False)
        level, made = compiled(designs, loads)
        comparisons = (loads.counts * made).sum(1)
        return Found(
            tuple(designs),
            float(comparisons.sum()),
            prices.energy(designs, loads, comparisons, made.max(1) > 0),
            float((loads.square * distances(level, loads.loads[0].values) ** 2).sum()),
            table_bytes(designs, loads.index, g.lowest, g.highest),
        )
