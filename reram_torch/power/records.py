"""What a power report holds: a row for each layer, their sum, and the figures that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from reram_torch.plots.searches import SearchView
from reram_torch.power.float_macs import FloatLayerReport
from reram_torch.power.latency import Latency
from reram_torch.power.technology import Technology


def quantity(value: float, unit: str) -> str:
    """A number of pJ, ns or mm2 as people read it, with four digits."""
    scales = {"pJ": ("pJ", "nJ", "uJ", "mJ", "J"), "ns": ("ns", "us", "ms", "s")}.get(unit, (unit,))
    if not math.isfinite(value):
        return "-"
    for scale in scales[:-1]:
        if abs(value) < 999.95:
            return f"{value:.4g} {scale}"
        value /= 1000
    return f"{value:.4g} {scales[-1]}"


@dataclass(frozen=True)
class LayerReport:
    """What one layer did, or all of them together.

    Attributes:
        name: qualified name, or `total`.
        events: how often each event of `reram_torch.counts.EVENTS` happened.
        skipped: bit-line sums that needed no conversion, no word-line being driven.
        baseline_comparisons: A/D operations of the ISAAC baseline.
        component_pj: energy by component, `adc` first, pJ.
        latency: of one inference.
        adc: its ADCs, such as `88 x search_tree`; empty in a total.
        arrays: crossbars.
        utilisation: cells in use over cells.
        area_mm2: of the arrays and what belongs to them, or None where the technology's arrays are
            of another size.
        conversions_by: conversions by cycle and slice; `comparisons_by`, `skipped_by`,
            `cell_reads_by`: likewise. Empty in a total.
        word_line_drives_by: pulses by cycle.
        macs: multiply-accumulates that the arrays stand for.
    """

    name: str
    events: dict[str, int]
    skipped: int
    baseline_comparisons: int
    component_pj: dict[str, float]
    latency: Latency
    adc: str
    arrays: int
    utilisation: float
    area_mm2: float | None = None
    conversions_by: tuple[tuple[int, ...], ...] = ()
    comparisons_by: tuple[tuple[int, ...], ...] = ()
    skipped_by: tuple[tuple[int, ...], ...] = ()
    cell_reads_by: tuple[tuple[int, ...], ...] = ()
    word_line_drives_by: tuple[int, ...] = ()
    macs: int = 0

    @property
    def conversions(self) -> int:
        """Bit-line sums converted."""
        return self.events["conversions"]

    @property
    def comparisons(self) -> int:
        """A/D operations made."""
        return self.events["comparisons"]

    @property
    def comparisons_per_conversion(self) -> float:
        """Mean A/D operations of a bit-line sum, skipped ones included; NaN without any."""
        sums = self.conversions + self.skipped
        return self.comparisons / sums if sums else float("nan")

    @property
    def comparisons_per_mac(self) -> float:
        """A/D operations of a multiply-accumulate on crossbars; NaN without any."""
        return self.comparisons / self.macs if self.macs else float("nan")

    @property
    def conversions_per_mac(self) -> float:
        """Conversions of a multiply-accumulate, skipped ones not included; NaN without any."""
        return self.conversions / self.macs if self.macs else float("nan")

    @property
    def reduction(self) -> float:
        """Comparisons of the ISAAC baseline over those made; NaN if nothing was simulated."""
        if not self.comparisons:
            return float("inf") if self.baseline_comparisons else float("nan")
        return self.baseline_comparisons / self.comparisons

    @property
    def adc_energy_pj(self) -> float:
        """Energy of the ADCs, pJ."""
        return self.component_pj["adc"]

    @property
    def energy_pj(self) -> float:
        """Energy of all components, pJ."""
        return sum(self.component_pj.values())

    @property
    def adc_share(self) -> float:
        """The ADCs' part of the energy; NaN if nothing was simulated."""
        return self.adc_energy_pj / self.energy_pj if self.energy_pj else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """All attributes and ratios as plain values; a number that is not finite is None."""
        latency = {f"latency_{k}": v for k, v in vars(self.latency).items()}
        plain = {k: v for k, v in vars(self).items() if k != "latency" and v != ()}
        ratios = {
            "comparisons_per_conversion": self.comparisons_per_conversion,
            "comparisons_per_mac": self.comparisons_per_mac,
            "conversions_per_mac": self.conversions_per_mac,
            "reduction": self.reduction,
            "energy_pj": self.energy_pj,
            "adc_energy_pj": self.adc_energy_pj,
            "adc_share": self.adc_share,
        }
        values = {**plain, **ratios, **latency}
        return {
            k: None if isinstance(v, float) and not math.isfinite(v) else v
            for k, v in values.items()
        }


@dataclass(frozen=True, eq=False)
class PowerFigures:
    """What a power report holds, and the figures that follow; `PowerReport` says of what."""

    technology: Technology
    adc_model: str
    inferences: int
    layers: tuple[LayerReport, ...]
    total: LayerReport
    plain_sar: LayerReport
    configs: dict[str, dict[str, Any]]
    converted: tuple[SearchView, ...] = ()
    in_float: dict[str, FloatLayerReport] = field(default_factory=dict)
    weights: int = 0

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
        return self.plain_sar.energy_pj / self.energy_pj if self.energy_pj else float("nan")

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
