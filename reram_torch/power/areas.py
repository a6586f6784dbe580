"""Area of what searches take beside an array: tables, controllers, and what serves them."""

from __future__ import annotations

from reram_torch.crossbar.geometry import ceil_div
from reram_torch.power.controllers import Steering
from reram_torch.power.conversions import LayerConversions
from reram_torch.power.technology import Technology

_MM2_PER_UM2 = 1e-6


def search_area_mm2(technology: Technology, layer: LayerConversions) -> float:
    """Of tables, controllers beyond a plain SAR's, counter and loader of an array, mm2.

    What the technology does not know counts as nothing.
    """
    tables, logic = technology.adc.tables, technology.adc.controllers
    found = 0.0
    if tables is not None:
        found += layer.table_bytes * (tables.area_mm2_per_byte or 0.0)
    if logic is not None:
        adcs = ceil_div(layer.counts.geometry.cols, technology.array.columns_per_adc)
        kinds = [logic.steering(kind) for kind in layer.controllers] or [Steering()]
        um2 = adcs * max(kind.area_um2(layer.latches) for kind in kinds)
        if len(layer.edges) > 1:
            um2 += logic.activity_area_um2 * layer.counts.geometry.rows / technology.array.rows
        if layer.lookups(0 if tables is None else tables.latched_bytes):
            um2 += logic.loading(layer.latches).area
        found += um2 * _MM2_PER_UM2
    return found
