"""What a power report holds, and the figures that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from reram_torch.plots.searches import SearchView
from reram_torch.power.counts import DIGITAL
from reram_torch.power.float_macs import FloatLayerReport
from reram_torch.power.records import LayerReport, ratio
from reram_torch.power.technology import Technology

GIVEN = "as given"


@dataclass(frozen=True)
class Assumption:
    """The ADCs' energy with some prices at their low or high values, pJ.

    Attributes:
        name: what is assumed.
        adc_energy_pj: of the ADCs in place.
        plain_sar: of a plain SAR of full resolution on the same arrays.
        activity_sar: of an `ActivitySAR`.
    """

    name: str
    adc_energy_pj: float
    plain_sar: float
    activity_sar: float

    def times_less(self, than: str) -> float:
        """How many times less than `plain_sar` or `activity_sar`."""
        return ratio(getattr(self, than), self.adc_energy_pj)


@dataclass(frozen=True, eq=False)
class PowerFigures:
    """What a power report holds, and the figures that follow; `PowerReport` says of what."""

    technology: Technology
    adc_model: str
    inferences: int
    layers: tuple[LayerReport, ...]
    total: LayerReport
    plain_sar: LayerReport
    activity_sar: LayerReport
    configs: dict[str, dict[str, Any]]
    converted: tuple[SearchView, ...] = ()
    in_float: dict[str, FloatLayerReport] = field(default_factory=dict)
    weights: int = 0
    assumptions: tuple[Assumption, ...] = ()

    # What is asked for most, without `total`.

    @property
    def conversions(self) -> int:
        """Bit-line sums converted."""
        return self.total.conversions

    @property
    def comparisons(self) -> int:
        """A/D operations made."""
        return self.total.comparisons

    @property
    def comparisons_per_conversion(self) -> float:
        """Mean A/D operations of a bit-line sum, skipped ones included."""
        return self.total.comparisons_per_conversion

    @property
    def comparisons_per_mac(self) -> float:
        """A/D operations of a multiply-accumulate on crossbars; NaN without any."""
        return self.total.comparisons_per_mac

    @property
    def conversions_per_mac(self) -> float:
        """Conversions of a multiply-accumulate on crossbars, skipped ones not included."""
        return self.total.conversions_per_mac

    @property
    def macs(self) -> int:
        """Multiply-accumulates on crossbars."""
        return self.total.macs

    @property
    def float_macs(self) -> int:
        """Multiply-accumulates of layers in float, of those that can be counted."""
        return sum(layer.macs or 0 for layer in self.in_float.values())

    @property
    def uncounted(self) -> tuple[str, ...]:
        """What stays in float and may multiply, but cannot be counted."""
        return tuple(name for name, layer in self.in_float.items() if layer.macs is None)

    @property
    def mac_share_on_crossbars(self) -> float:
        """The part of the counted multiply-accumulates that is on crossbars; NaN without any."""
        every = self.macs + self.float_macs
        return self.macs / every if every else float("nan")

    def mac_share(self) -> str:
        """The same as people read it: at most so much, where something cannot be counted."""
        share = self.mac_share_on_crossbars
        most = "at most " if self.uncounted else ""
        return "-" if math.isnan(share) else f"{most}{share:.1%}"

    @property
    def weight_share_on_crossbars(self) -> float:
        """The part of the weights that lies on crossbars."""
        every = self.weights + sum(layer.weights for layer in self.in_float.values())
        return self.weights / every if every else float("nan")

    @property
    def unpriced(self) -> dict[str, int]:
        """Digital events, beside the arrays' own, that no component of the technology is for."""
        priced = {component.event for component in self.technology.components}
        happened = {name: self.total.events.get(name, 0) for name in DIGITAL}
        return {name: count for name, count in happened.items() if count and name not in priced}

    @property
    def reduction(self) -> float:
        """Comparisons of the ISAAC baseline over those made."""
        return self.total.reduction

    @property
    def adc_energy_pj(self) -> float:
        """Energy of the ADCs, pJ."""
        return self.total.adc_energy_pj

    @property
    def energy_pj(self) -> float:
        """Energy of all components, pJ."""
        return self.total.energy_pj

    @property
    def energy_reduction(self) -> float:
        """Energy of the same arrays with a plain SAR ADC over the energy spent."""
        return self.total.times_less("energy_pj", "plain_sar")

    @property
    def adc_energy_range_pj(self) -> tuple[float, float]:
        """Energy of the ADCs by the lowest and by the highest of the assumptions, pJ."""
        found = [each.adc_energy_pj for each in self.assumptions] or [self.adc_energy_pj]
        return min(found), max(found)

    def range_of(self, than: str) -> tuple[float, float]:
        """How many times less ADC energy than a rival, by all assumptions: least and most.

        Args:
            than: `plain_sar` or `activity_sar`.
        """
        found = [each.times_less(than) for each in self.assumptions]
        found = found or [self.total.times_less("adc_energy_pj", than)]
        return min(found), max(found)

    def per_inference(self, value: float) -> float:
        """A count or an energy, for one network input; NaN without any."""
        return value / self.inferences if self.inferences else float("nan")

    def throughput(self, kind: str = "average") -> float:
        """Inferences a second, as many as the slowest layer lets through a pipeline of the layers.

        Args:
            kind: `average` (self-timed ADCs) or `worst` (lock step).
        """
        slowest = max((getattr(r.latency, f"{kind}_ns") for r in self.layers), default=0)
        return 1e9 / slowest if slowest else float("nan")
