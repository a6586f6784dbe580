"""What was counted, priced: the rows of a power report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from reram_torch.adc import AdcDesign
from reram_torch.crossbar.counting import conversions_of, no_counts
from reram_torch.crossbar.tables import AdcTables
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.chips import Programming
from reram_torch.plots.searches import SearchView
from reram_torch.power.adc_energy import Parts, adc_parts_pj
from reram_torch.power.areas import search_area_mm2
from reram_torch.power.conducted import NOTHING, Conducted
from reram_torch.power.conversions import Histogram, LayerConversions, histogram_edges
from reram_torch.power.counts import BASELINE_COMPARISONS, LayerCounts
from reram_torch.power.figures import GIVEN, Assumption
from reram_torch.power.float_macs import FloatLayerReport
from reram_torch.power.latency import Latency, busy_ns, layer_latency
from reram_torch.power.records import LayerReport, Rival
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
    chips: list[Programming | None]  # that it was on, each once
    conducted: Conducted = NOTHING

    @property
    def line_us(self) -> float | None:
        """What all cells on a driven word-line conduct, in the mean, uS; None on ideal devices."""
        return self.conducted.us / self.conducted.lines if self.conducted.lines else None

    @classmethod
    def nothing(cls, layer: CrossbarLayer) -> Seen:
        """What a layer did that saw no input."""
        on = [layer.site.programming]
        return cls(*no_counts(layer.geometry), None, layer.adc, layer.tables(), on)

    @classmethod
    def now(
        cls,
        layer: CrossbarLayer,
        counts: tuple[torch.Tensor, torch.Tensor],
        histogram: torch.Tensor | None,
        conducted: Conducted,
    ) -> Seen:
        """What a layer did at once, as it is now."""
        comparisons, driven = (count.clone() for count in counts)
        adcs, on = (layer.adc, layer.tables()), [layer.site.programming]
        return cls(comparisons, driven, histogram, *adcs, on, conducted)

    def add(self, layer: CrossbarLayer, new: Seen) -> None:
        """Adds what a layer did since.

        Raises:
            RuntimeError: its ADCs changed.
        """
        if not self.same_adcs(layer):
            raise RuntimeError(
                "a layer's ADCs changed while a PowerMeter counted: use a meter for each design"
            )
        self.chips += [chip for chip in new.chips if chip not in self.chips]
        self.conducted = self.conducted.plus(new.conducted)
        self.comparisons = self.comparisons + new.comparisons
        self.driven = self.driven + new.driven
        if self.histogram is not None and new.histogram is not None:
            self.histogram = self.histogram + new.histogram

    def state(self) -> dict[str, Any]:
        """As plain values and tensors, for `PowerMeter.state_dict`."""
        return {
            "comparisons": self.comparisons.cpu(),
            "driven": self.driven.cpu(),
            "histogram": None if self.histogram is None else self.histogram.cpu(),
            "adcs": [t.cpu() for t in self.tables.tensors],
            "unit": self.tables.unit,
            "conducted": list(self.conducted),
        }

    def same_adcs(self, layer: CrossbarLayer) -> bool:
        """Whether the layer still has the ADCs that were counted."""
        if self.tables is layer.tables():
            return True
        own = layer.tables()  # moved to another device, perhaps
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
    made = {name: _Trio.of(*pair) for name, pair in seen.items()}
    rows = {name: trio.reports(name, technology, adc_model, inferences) for name, trio in
            made.items()}  # fmt: skip
    counts = [trio.made.counts for trio in made.values()]
    shown = (_search_view(name, seen[name][0], trio.made) for name, trio in made.items())
    layers = tuple(own for own, _, _ in rows.values())
    return PowerReport(
        technology,
        adc_model,
        inferences,
        layers,
        _total(layers, counts),
        _total([plain for _, plain, _ in rows.values()], counts),
        _total([activity for _, _, activity in rows.values()], counts),
        {name: _config(layer, own.chips) for name, (layer, own) in seen.items()},
        tuple(part for part in shown if part is not None),
        in_float,
        sum(weight.numel() for weight in _weights(seen).values()),
        _assumptions(list(made.values()), technology, adc_model),
    )


class _Trio(NamedTuple):
    """What a layer converted, and what two rivals would have done."""

    made: LayerConversions
    plain: LayerConversions
    activity: LayerConversions

    @classmethod
    def of(cls, layer: CrossbarLayer, seen: Seen) -> _Trio:
        """From what a layer did."""
        made = _conversions(layer, seen)
        return cls(made, made.by_plain_sar(), made.by_activity_sar())

    def reports(
        self, name: str, technology: Technology, adc_model: str, inferences: int
    ) -> tuple[LayerReport, LayerReport, LayerReport]:
        """Their rows of a report; the first knows the other two."""
        own, plain, activity = (
            _layer_report(name, each, technology, adc_model, inferences) for each in self
        )
        known = dataclasses.replace(own, plain_sar=_rival(plain), activity_sar=_rival(activity))
        return known, plain, activity

    def adc_energies(self, technology: Technology, adc_model: str) -> np.ndarray:
        """Of their ADCs, pJ, (3,)."""
        return np.array([sum(_adc_parts(each, technology, adc_model).values()) for each in self])


def _rival(row: LayerReport) -> Rival:
    return Rival(row.comparisons, row.conversions, row.adc_energy_pj, row.energy_pj)


def _assumptions(
    made: list[_Trio], technology: Technology, adc_model: str
) -> tuple[Assumption, ...]:
    """All ADCs' energies as the technology has its prices, and with each low and high value."""
    every = [(GIVEN, technology), *technology.variants(adc_model)]
    found = []
    for text, each in every:
        energies = np.stack([trio.adc_energies(each, adc_model) for trio in made]).sum(0)
        found.append(Assumption(text, *energies.tolist()))
    return tuple(found)


def _adc_parts(layer: LayerConversions, technology: Technology, adc_model: str) -> Parts:
    return adc_parts_pj(adc_model, technology, layer, busy_ns(technology, layer))


def _weights(seen: dict[str, tuple[CrossbarLayer, Seen]]) -> dict[int, torch.Tensor]:
    """The weights on crossbars by identity: a tied one is there once."""
    return {id(layer.weight): layer.weight for layer, _ in seen.values()}


def _config(layer: CrossbarLayer, chips: list[Programming | None]) -> dict[str, Any]:
    """Without the search, and the ADC, which `design_adc` or `set_adc` may have replaced."""
    config = layer.config.to_dict()
    inputs = config["inputs"] | {"encoding": layer.input_encoding}  # it may have been left open
    named = [{"devices": "ideal"} if how is None else how.named() for how in chips]
    chip = {} if chips == [None] else {"chips": named}
    return {"crossbar": config["crossbar"], "weights": config["weights"], "inputs": inputs, **chip}


def _conversions(layer: CrossbarLayer, seen: Seen) -> LayerConversions:
    g, groups = layer.geometry, layer.groups
    outputs, driven = layer.outputs // groups, seen.driven.cpu().numpy()
    present = layer.encoded().present.cpu().numpy()
    conversions, skipped = conversions_of(g, seen.tables, outputs, driven, present)
    made = seen.comparisons.cpu().numpy()
    comparisons, recovered = made[: g.phases], made[g.phases :]
    counts = LayerCounts(
        g, groups, outputs, layer.depth, present,
        np.concatenate([conversions, recovered]), comparisons,
        np.concatenate([skipped, np.zeros_like(recovered)]), driven, layer.by_token, seen.line_us,
    )  # fmt: skip
    histogram = None
    if seen.histogram is not None:
        finest = histogram_edges(layer.geometry, tuple(seen.tables.edges.tolist()))
        histogram = Histogram(finest, seen.histogram.cpu().numpy())
    edges, index = tuple(seen.tables.edges.tolist()), seen.tables.index.cpu().numpy()
    return LayerConversions(counts, seen.adc, edges, index, histogram)


def _layer_report(
    name: str, layer: LayerConversions, technology: Technology, adc_model: str, inferences: int
) -> LayerReport:
    counts, events = layer.counts, layer.counts.events()
    parts = _adc_parts(layer, technology, adc_model)
    energy = {"adc": sum(parts.values())}
    for part in technology.components:
        cells = part.event == "cell_reads"
        often = counts.reads_of(part.cell_us) if cells else events[part.event]
        energy[part.name] = often * technology.event_pj(part)
    g, array = counts.geometry, technology.array
    areas = technology.array_area_mm2
    known = (
        (g.rows, g.cols, g.dac_bits) == (array.rows, array.cols, 1)
        and layer.resolution <= BASELINE_COMPARISONS
        and areas
    )
    area = sum(areas.values()) + search_area_mm2(technology, layer) if known else None
    return LayerReport(
        name,
        events,
        int(counts.skipped.sum()),
        counts.baseline_comparisons,
        energy,
        parts,
        layer_latency(technology, layer, inferences),
        " + ".join(f"{n} x {kind}" for kind, n in Counter(d.kind for d in layer.designs).items()),
        counts.arrays,
        counts.utilisation,
        None if area is None else counts.arrays * area,
        _rows(counts.conversions),
        _rows(counts.comparisons),
        _rows(counts.skipped),
        _rows(counts.cell_reads),
        tuple(counts.word_line_drives.tolist()),
        counts.macs,
        layer.table_bytes,
        _words(layer, technology),
        int(layer.longest().max()),
        layer.resolution,
    )


def _words(layer: LayerConversions, technology: Technology) -> int:
    tables = technology.adc.tables
    return layer.words_loaded(0 if tables is None else tables.latched_bytes)


def _rows(counts: np.ndarray) -> tuple[tuple[int, ...], ...]:
    """Counts by cycle and slice, (I, J), as plain values."""
    return tuple(map(tuple, counts.tolist()))


def _total(rows: Sequence[LayerReport], counts: list[LayerCounts]) -> LayerReport:
    areas = [r.area_mm2 for r in rows if r.area_mm2 is not None]

    def tables(name: str) -> dict[str, float]:
        parts: Counter[str] = Counter()
        for row in rows:
            parts.update(getattr(row, name))
        return dict(parts)

    def rivals(name: str) -> Rival | None:
        known = [vars(rival) for r in rows if (rival := getattr(r, name)) is not None]
        return Rival(*map(sum, zip(*(k.values() for k in known), strict=True))) if known else None

    return LayerReport(
        "total",
        {event: sum(r.events[event] for r in rows) for event in rows[0].events},
        sum(r.skipped for r in rows),
        sum(r.baseline_comparisons for r in rows),
        tables("component_pj"),
        tables("adc_parts_pj"),
        sum((r.latency for r in rows), Latency(0.0, 0.0, 0.0, 0.0)),
        "",
        sum(r.arrays for r in rows),
        sum(c.cells_used for c in counts) / sum(c.cells for c in counts),
        sum(areas) if len(areas) == len(rows) else None,
        macs=sum(r.macs for r in rows),
        table_bytes=sum(r.table_bytes for r in rows),
        words_loaded=sum(r.words_loaded for r in rows),
        depth=max(r.depth for r in rows),
        resolution=max(r.resolution for r in rows),
        plain_sar=rivals("plain_sar"),
        activity_sar=rivals("activity_sar"),
    )


def _search_view(name: str, layer: CrossbarLayer, made: LayerConversions) -> SearchView | None:
    """The design that made most of a layer's comparisons, and what it converted."""
    statistics, edges = layer.statistics, made.edges
    if made.histogram is None and statistics is not None:  # of the calibration, if it fits
        if not set(edges) <= set(statistics.edges):
            return None
        histogram = Histogram(statistics.edges, statistics.by_activity.numpy())
        made = dataclasses.replace(made, histogram=histogram)
    if made.histogram is None or not made.histogram.bins.any():
        return None
    designs = range(len(made.designs))
    k = max(designs, key=lambda k: int(made.histogram_of(k) @ made.comparisons_of(k)))
    if not (made.index == k).any():  # no slice exists
        return None
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
