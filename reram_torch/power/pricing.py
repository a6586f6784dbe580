"""What was counted, priced: the rows of a power report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import torch

from reram_torch.adc import AdcDesign
from reram_torch.crossbar.counting import conversions_of, no_counts
from reram_torch.crossbar.tables import AdcTables
from reram_torch.nn.base import CrossbarLayer
from reram_torch.plots.searches import SearchView
from reram_torch.power.adc_energy import LayerConversions, adc_energy_pj
from reram_torch.power.counts import LayerCounts
from reram_torch.power.float_macs import FloatLayerReport
from reram_torch.power.latency import Latency, layer_latency
from reram_torch.power.records import LayerReport
from reram_torch.power.reports import PowerReport
from reram_torch.power.technology import Technology


@dataclasses.dataclass
class Seen:
    """What a layer did so far, and with which ADCs."""

    comparisons: torch.Tensor  # (I, J)
    driven: torch.Tensor  # (I, rows + 1), tile-cycles
    histogram: torch.Tensor | None  # (B, I, J, V)
    adc: tuple[AdcDesign, ...]  # what did it
    tables: AdcTables

    @classmethod
    def nothing(cls, layer: CrossbarLayer) -> Seen:
        """What a layer did that saw no input."""
        return cls(*no_counts(layer.geometry), None, layer.adc, layer.bank.tables())

    def same_adcs(self, layer: CrossbarLayer) -> bool:
        """Whether the layer still has the ADCs that were counted."""
        if self.tables is layer.bank.tables():
            return True
        own = layer.bank.tables()  # moved to another device, perhaps
        moved = zip(self.tables.tensors, own.tensors, strict=True)
        same = self.adc == layer.adc and self.tables.unit == own.unit
        return same and all(torch.equal(a.cpu(), b.cpu()) for a, b in moved)


def priced(
    seen: dict[str, tuple[CrossbarLayer, Seen]],
    technology: Technology,
    adc_model: str,
    inferences: int,
    in_float: dict[str, FloatLayerReport],
) -> PowerReport:
    """The report of what layers did, as `PowerMeter.report` says."""
    made = {name: _conversions(*pair) for name, pair in seen.items()}

    def price(name: str, layer: LayerConversions) -> LayerReport:
        return _layer_report(name, layer, technology, adc_model, inferences)

    layers = tuple(price(name, layer) for name, layer in made.items())
    plain = [price(name, layer.by_plain_sar()) for name, layer in made.items()]
    shown = (_search_view(name, seen[name][0], layer) for name, layer in made.items())
    return PowerReport(
        technology,
        adc_model,
        inferences,
        layers,
        _total(layers, made),
        _total(plain, made),
        {name: _config(layer) for name, (layer, _) in seen.items()},
        tuple(part for part in shown if part is not None),
        in_float,
        sum(weight.numel() for weight in _weights(seen).values()),
    )


def _weights(seen: dict[str, tuple[CrossbarLayer, Seen]]) -> dict[int, torch.Tensor]:
    """The weights on crossbars by identity: a tied one is there once."""
    return {id(layer.weight): layer.weight for layer, _ in seen.values()}


def _config(layer: CrossbarLayer) -> dict[str, Any]:
    """Without the search, and the ADC, which `design_adc` or `set_adc` may have replaced."""
    config = layer.config.to_dict()
    return {name: config[name] for name in ("crossbar", "weights", "inputs")}


def _conversions(layer: CrossbarLayer, seen: Seen) -> LayerConversions:
    g, groups = layer.geometry, layer.groups
    outputs, driven = layer.outputs // groups, seen.driven.cpu().numpy()
    conversions, skipped = conversions_of(g, seen.tables, outputs, driven)
    counts = LayerCounts(
        g, groups, outputs, layer.depth,
        conversions, seen.comparisons.cpu().numpy(), skipped, driven,
    )  # fmt: skip
    histogram = None if seen.histogram is None else seen.histogram.cpu().numpy()
    edges, index = tuple(seen.tables.edges.tolist()), seen.tables.index.cpu().numpy()
    return LayerConversions(counts, seen.adc, edges, index, histogram)


def _layer_report(
    name: str, layer: LayerConversions, technology: Technology, adc_model: str, inferences: int
) -> LayerReport:
    counts, events = layer.counts, layer.counts.events()
    energy = {"adc": adc_energy_pj(adc_model, technology, layer)}
    energy |= {c.name: events[c.event] * technology.event_pj(c) for c in technology.components}
    g, array = counts.geometry, technology.array
    areas = technology.array_area_mm2
    known = (g.rows, g.cols) == (array.rows, array.cols) and areas
    return LayerReport(
        name,
        events,
        int(counts.skipped.sum()),
        counts.baseline_comparisons,
        energy,
        layer_latency(technology, layer, inferences),
        " + ".join(f"{n} x {kind}" for kind, n in Counter(d.kind for d in layer.designs).items()),
        counts.arrays,
        counts.utilisation,
        counts.arrays * sum(areas.values()) if known else None,
        _rows(counts.conversions),
        _rows(counts.comparisons),
        _rows(counts.skipped),
        _rows(counts.cell_reads),
        tuple(counts.word_line_drives.tolist()),
        counts.macs,
    )


def _rows(counts: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Counts by cycle and slice, (I, J), as plain values."""
    return tuple(map(tuple, counts.tolist()))


def _total(
    rows: list[LayerReport] | tuple[LayerReport, ...], made: dict[str, LayerConversions]
) -> LayerReport:
    counts = [s.counts for s in made.values()]
    areas = [r.area_mm2 for r in rows if r.area_mm2 is not None]
    return LayerReport(
        "total",
        {event: sum(r.events[event] for r in rows) for event in rows[0].events},
        sum(r.skipped for r in rows),
        sum(r.baseline_comparisons for r in rows),
        {name: sum(r.component_pj[name] for r in rows) for name in rows[0].component_pj},
        sum((r.latency for r in rows), Latency(0.0, 0.0, 0.0, 0.0)),
        "",
        sum(r.arrays for r in rows),
        sum(c.cells_used for c in counts) / sum(c.cells for c in counts),
        sum(areas) if len(areas) == len(rows) else None,
        macs=sum(r.macs for r in rows),
    )


def _search_view(name: str, layer: CrossbarLayer, made: LayerConversions) -> SearchView | None:
    """The design that made most of a layer's comparisons, and what it converted."""
    statistics, edges = layer.statistics, made.edges
    if made.histogram is None and statistics is not None:  # of the calibration, if it fits
        bins = statistics.by_activity.numpy()
        if len(edges) == 1:
            bins = bins.sum(0, keepdims=True)
        elif edges != statistics.edges:
            return None
        made = dataclasses.replace(made, histogram=bins)
    if made.histogram is None or not made.histogram.any():
        return None
    designs = range(len(made.designs))
    k = max(designs, key=lambda k: int(made.histogram_of(k) @ made.comparisons_of(k)))
    return SearchView(
        name,
        _where(made.index == k, edges),
        made.designs[k],
        layer.geometry.lowest,
        made.histogram_of(k),
    )


def _where(here: np.ndarray, edges: tuple[int, ...]) -> str:
    """Which slices, cycles and activity buckets, (B, I, J), in words."""
    words = []
    for axis, name in ((2, "slice"), (1, "cycle")):
        used = np.flatnonzero(here.any(tuple({0, 1, 2} - {axis})))
        if len(used) < here.shape[axis]:
            plural = "s" if len(used) > 1 else ""
            words.append(f"{name}{plural} {', '.join(map(str, used))}")
    buckets = np.flatnonzero(here.any((1, 2)))
    if len(buckets) < here.shape[0]:
        first, last = edges[buckets[0]], (*edges, None)[buckets[-1] + 1]
        upper = "or more" if last is None else f"to {last - 1}"
        words.append(f"{first} {upper} word-lines driven")
    return ", ".join(words) or "all slices and cycles"
