"""The best ADCs of one layer at a price for each comparison."""

from __future__ import annotations

from reram_torch.config.sections import SearchConfig
from reram_torch.design.designers import Chooser, Found, designer_of
from reram_torch.design.loads import layer_loads
from reram_torch.nn.base import CrossbarLayer


class LayerDesigner:
    """Finds the ADCs of one layer.

    Args:
        layer: calibrated.
        search: the kind of ADC, its granularity and its limits.
        sensitivity: what the layer's relative squared error costs.
    """

    def __init__(self, layer: CrossbarLayer, search: SearchConfig, sensitivity: float):
        self.layer, self.sensitivity = layer, sensitivity
        statistics, kind = layer.statistics, designer_of(search.design)
        if statistics is None:
            raise RuntimeError("a layer needs a histogram: run reram_torch.calibrate first")
        # Candidates depend on the histogram only, and take long.
        key = (search.design, search.granularity) if kind is Chooser else None
        made = statistics.derived.get(key)
        if made is None:
            loads = layer_loads(layer.geometry, layer.depth, statistics, search.granularity)
            made = kind(loads, search, layer.geometry)
            if key is not None:
                statistics.derived[key] = made
        self.designer = made
        self._found: dict[float, Found] = {}

    def at(self, price: float) -> Found:
        """The ADCs with the least sensitivity * error + price * comparisons; at 0, lossless."""
        own = price / self.sensitivity
        if own not in self._found:
            self._found[own] = self.designer.at(own)
        return self._found[own]

    def apply(self, price: float) -> Found:
        """Puts the ADCs of a price in place."""
        loads, found = self.designer.loads, self.at(price)
        self.layer.set_adc(found.designs, edges=loads.edges, index=loads.index)
        return found
