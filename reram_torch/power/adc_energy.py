"""Energy of the ADCs by one of three models, which answer different questions and never mix.

- `bit_cycle`: so much for each comparison. What the literature on early stopping assumes.
- `sar`: comparator and logic for each comparison, and the capacitors along the path of each search.
- `resolution`: an ADC of b bits that always finishes, from a survey of published ADCs. It prices a
  smaller ADC, not one that stops early.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from reram_torch._support.checks import check_choice
from reram_torch.adc.base import AdcDesign, compile_tables
from reram_torch.crossbar.tables import lossless_adc
from reram_torch.power.counts import LayerCounts
from reram_torch.power.switching import switching_energy
from reram_torch.power.technology import Technology

_PJ_PER_FJ = 1e-3


@dataclass(frozen=True, eq=False)
class LayerConversions:
    """What a layer converted, and with which ADCs.

    Attributes:
        counts: of the layer.
        designs: its ADCs.
        edges: fewest driven word-lines of each activity bucket.
        index: which design converts, by bucket, cycle and slice, (B, I, J); -1: nothing is
            converted.
        histogram: how often each bit-line sum occurred, (B, I, J, V), or None if nobody looked.
    """

    counts: LayerCounts
    designs: tuple[AdcDesign, ...]
    edges: tuple[int, ...]
    index: np.ndarray
    histogram: np.ndarray | None

    def histogram_of(self, design: int) -> np.ndarray:
        """How often each sum was converted by one of the designs, (V,)."""
        assert self.histogram is not None  # who asks has looked
        found: np.ndarray = self.histogram[self.index == design].sum(0)
        return found

    def comparisons_of(self, design: int) -> np.ndarray:
        """The comparisons that one of the designs takes for each sum, (V,)."""
        g = self.counts.geometry
        made = compile_tables(self.designs[design], g.lowest, g.highest).comparisons
        return made.astype(np.int64)

    def longest(self) -> np.ndarray:
        """The most comparisons that a conversion of each cycle can take, (I,)."""
        depths = [self.comparisons_of(k).max() for k in range(len(self.designs))]
        found: np.ndarray = np.append(depths, 0)[self.index].max((0, 2))  # -1 reads the last: none
        return found

    def by_plain_sar(self) -> LayerConversions:
        """The same sums converted by a plain SAR ADC of full resolution."""
        plain = lossless_adc(self.counts.geometry)
        return replace(
            self,
            counts=self.counts.by_plain_sar(plain.bits),
            designs=(plain,),
            index=np.zeros_like(self.index),
        )


def _bit_cycle(technology: Technology, layer: LayerConversions) -> float:
    model, counts = technology.adc.bit_cycle, layer.counts
    comparisons, conversions = int(counts.comparisons.sum()), int(counts.conversions.sum())
    return comparisons * model.comparison_pj + conversions * model.conversion_pj


def _sar(technology: Technology, layer: LayerConversions) -> float:
    model, counts = technology.adc.sar, layer.counts
    assert model is not None  # `adc_energy_pj` has looked
    if layer.histogram is None:
        raise ValueError(
            "the model 'sar' needs the bit-line sums of what was counted: "
            "PowerMeter(net, histograms=True)"
        )
    g = counts.geometry
    units = sum(
        float(layer.histogram_of(k) @ switching_energy(d, g.lowest, g.highest, model.switching))
        for k, d in enumerate(layer.designs)
    )
    each = model.unit_capacitor_ff * model.reference_v**2 * _PJ_PER_FJ
    comparison = model.comparator_pj + model.logic_pj
    return (
        units * each
        + int(counts.comparisons.sum()) * comparison
        + int(counts.conversions.sum()) * model.conversion_pj
    )


def survey_energy_pj(bits: float, sample_rate_hz: float, process_nm: float) -> float:
    """Energy of a conversion, pJ, as a survey of published ADCs has it: a best-case envelope.

    The regression of CiMLoop and Accelergy (ADC plug-in) over Murmann's ADC performance survey.

    Args:
        bits: effective resolution.
        sample_rate_hz: conversions a second.
        process_nm: node, nm.
    """
    merit = min(213.781 - 2.8719 * math.log(sample_rate_hz), 128.307 + 3.2205 * bits)
    node = 26.0496 + 1.88004 * math.log(process_nm) - 2.82913 * math.log(bits) - 1.47020
    return 0.5 * 10 ** ((6.02 * bits + 1.76 - merit) / 10) * math.exp(node)


def _resolution(technology: Technology, layer: LayerConversions) -> float:
    bits = []
    for k in range(len(layer.designs)):
        comparisons = layer.comparisons_of(k)
        if comparisons.min() != comparisons.max():
            raise ValueError(
                "the model 'resolution' prices an ADC that always finishes, but a search of this "
                f"network takes {comparisons.min()} to {comparisons.max()} comparisons: an early "
                "stop saves comparisons, not resolution. Use 'bit_cycle' or 'sar'"
            )
        bits.append(comparisons.max())
    # The ADC of a slice's bit-lines serves all cycles: it is as large as its largest search.
    largest = np.append(bits, 0)[layer.index].max((0, 1))
    model, node = technology.adc.resolution, technology.process_nm
    assert model is not None  # `adc_energy_pj` has looked
    made = layer.counts.conversions.sum(0)
    return sum(
        int(n) * survey_energy_pj(int(b), model.sample_rate_hz, node)
        for n, b in zip(made, largest, strict=True)
        if b
    )


ADC_MODELS = {"bit_cycle": _bit_cycle, "sar": _sar, "resolution": _resolution}


def adc_energy_pj(model: str, technology: Technology, layer: LayerConversions) -> float:
    """Energy of a layer's ADCs, pJ.

    Args:
        model: one of `ADC_MODELS`.
        technology: must have numbers for the model.
        layer: what was converted.

    Raises:
        ValueError: an unknown model, one that the technology has no numbers for, `sar` without a
            histogram, or `resolution` for a search that stops early.
    """
    check_choice("adc_model", model, tuple(ADC_MODELS))
    if getattr(technology.adc, model) is None:
        raise ValueError(f"technology {technology.name!r} has no numbers for adc.{model}")
    return ADC_MODELS[model](technology, layer)
