"""Energy of the ADCs by one of three models, which answer different questions and never mix.

- `bit_cycle`: so much for each comparison, and for each conversion that starts, the more the finer
  the ADC is.
- `sar`: comparator and logic for each comparison, and the capacitors along the path of each search.
- `resolution`: an ADC of b bits that always finishes, from a survey of published ADCs. It prices a
  smaller ADC, not one that stops early, and nothing else.

The first two also charge what searching takes besides: the controllers' clocks beyond a plain SAR's
logic, the words of tables that are loaded, the leakage of their memory, and counting the driven
word-lines.
"""

from __future__ import annotations

import math

import numpy as np

from reram_torch._support.checks import check_choice
from reram_torch.crossbar.geometry import ceil_div
from reram_torch.power.controllers import CODE_BITS, Loading, Steering
from reram_torch.power.conversions import LayerConversions
from reram_torch.power.search_prices import PJ_PER_NW_NS, leakage_pj
from reram_torch.power.switching import switching_energy
from reram_torch.power.technology import Technology

_PJ_PER_FJ = 1e-3
Parts = dict[str, float]  # pJ


def _bit_cycle(technology: Technology, layer: LayerConversions) -> Parts:
    model, counts = technology.adc.bit_cycle, layer.counts
    return {
        "comparisons": int(counts.comparisons.sum()) * model.comparison_pj,
        "conversions": int(counts.conversions.sum()) * model.conversion_pj,
        "resolution": int(counts.conversions.sum()) * model.finer_pj(layer.resolution),
    }


def _sar(technology: Technology, layer: LayerConversions) -> Parts:
    model, counts = technology.adc.sar, layer.counts
    assert model is not None  # `adc_parts_pj` has looked
    if layer.histogram is None:
        raise ValueError(
            "the model 'sar' needs the bit-line sums of what was counted: "
            "PowerMeter(net, histograms=True)"
        )
    g = counts.geometry
    if g.speculation:
        raise ValueError(
            "the model 'sar' does not know the sums that recoveries convert: use 'bit_cycle' for "
            "a network with crossbar.speculation"
        )
    units = sum(
        float(layer.histogram_of(k) @ switching_energy(d, g.lowest, g.highest, model.switching))
        for k, d in enumerate(layer.designs)
    )
    return {
        "comparisons": int(counts.comparisons.sum()) * (model.comparator_pj + model.logic_pj),
        "capacitors": units * model.unit_capacitor_ff * model.reference_v**2 * _PJ_PER_FJ,
        "conversions": int(counts.conversions.sum()) * model.conversion_pj,
    }


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


def _resolution(technology: Technology, layer: LayerConversions) -> Parts:
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
    assert model is not None  # `adc_parts_pj` has looked
    made = layer.counts.conversions.sum(0)
    total = sum(
        int(n) * survey_energy_pj(int(b), model.sample_rate_hz, node)
        for n, b in zip(made, largest, strict=True)
        if b
    )
    return {"conversions": float(total)}


def _besides(technology: Technology, layer: LayerConversions, duration_ns: float) -> Parts:
    """What searching takes beside comparisons and conversions."""
    logic, tables, counts = technology.adc.controllers, technology.adc.tables, layer.counts
    if logic is None and tables is None:
        return {}
    array, latches = technology.array, layer.latches
    adcs = ceil_div(counts.geometry.cols, array.columns_per_adc)  # of an array
    latched, read = (0, 0.0) if tables is None else (tables.latched_bytes, tables.word_pj)
    bare = Loading(reads=int(latches.words > 1))
    loading = bare if logic is None else logic.loading(latches)
    loaded, lookups = layer.words_loaded(latched), layer.lookups(latched)
    parts = {"words": loaded * loading.load_pj(read) + lookups * loading.lookup_pj(read)}
    if logic is not None:
        clocks = int(counts.comparisons.sum() + counts.conversions.sum())
        bits = CODE_BITS if layer.window is None else layer.window.code_bits
        kinds = [logic.steering(kind) for kind in layer.controllers]
        dearest = max(kinds, key=lambda s: s.clock_pj(latches, bits), default=Steering())
        taller = counts.geometry.rows / array.rows * (len(layer.edges) > 1)
        beside = logic.activity_leakage_nw * taller + loading.leakage * (lookups > 0)
        leaking = counts.arrays * (adcs * dearest.leakage_nw(latches) + beside)
        parts["controllers"] = clocks * dearest.clock_pj(latches, bits)
        parts["controllers"] += leaking * duration_ns * PJ_PER_NW_NS
        parts["words"] += loaded * adcs * dearest.write_pj(latches)
        parts["activity_unit"] = layer.counts_driven * logic.activity_pj * taller
    if tables is not None:
        kept = layer.table_bytes * counts.arrays  # every array has them beside it
        parts["tables"] = leakage_pj(tables, kept, duration_ns)
    return parts


ADC_MODELS = {"bit_cycle": _bit_cycle, "sar": _sar, "resolution": _resolution}


def adc_parts_pj(
    model: str, technology: Technology, layer: LayerConversions, duration_ns: float
) -> Parts:
    """Energy of a layer's ADCs, pJ, by what it is spent on.

    Args:
        model: one of `ADC_MODELS`.
        technology: must have numbers for the model.
        layer: what was converted.
        duration_ns: for how long its tables leak.

    Raises:
        ValueError: an unknown model, one that the technology has no numbers for, `sar` without a
            histogram, or `resolution` for a search that stops early.
    """
    check_choice("adc_model", model, tuple(ADC_MODELS))
    if getattr(technology.adc, model) is None:
        raise ValueError(f"technology {technology.name!r} has no numbers for adc.{model}")
    parts = ADC_MODELS[model](technology, layer)
    return parts if model == "resolution" else parts | _besides(technology, layer, duration_ns)
