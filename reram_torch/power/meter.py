"""`PowerMeter`: watches the crossbars of a network, and prices what they did."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import nn

from reram_torch._support import processes
from reram_torch.adc.registry import AdcDesign
from reram_torch.crossbar.tables import AdcTables, no_counts
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.networks import crossbar_layers
from reram_torch.plots.searches import Converted
from reram_torch.power.adc_energy import Searched, adc_energy_pj
from reram_torch.power.counts import LayerCounts
from reram_torch.power.latency import Latency, layer_latency
from reram_torch.power.reports import LayerReport, PowerReport
from reram_torch.power.technology import Technology, load_technology


@dataclasses.dataclass
class _Seen:
    """What a layer did so far."""

    counts: torch.Tensor  # (3, I, J)
    drives: torch.Tensor  # (I,)
    histogram: torch.Tensor | None  # (B, I, J, V)
    adc: tuple[AdcDesign, ...]  # what did it
    tables: AdcTables

    @classmethod
    def nothing(cls, layer: CrossbarLayer) -> _Seen:
        """What a layer did that saw no input."""
        return cls(*no_counts(layer.geometry), None, layer.adc, layer._tables)

    def same_adcs(self, layer: CrossbarLayer) -> bool:
        """Whether the layer still has the ADCs that were counted."""
        if self.tables is layer._tables:
            return True
        moved = zip(self.tables, layer._tables, strict=True)  # to another device, perhaps
        return self.adc == layer.adc and all(torch.equal(a.cpu(), b.cpu()) for a, b in moved)


class PowerMeter:
    """Counts what the crossbars of a network do inside a `with` block.

    Counts add up over forward passes. Outside the block nothing is counted.

    Args:
        net: a converted network.
        histograms: also count how often each bit-line sum occurs, which the ADC energy model `sar`
            needs, and which takes longer than the simulation itself.

    Attributes:
        inferences: network inputs seen: the sum of the first dimensions of the first tensor that
            each call of `net` was given.

    Raises:
        ValueError: there are no crossbar layers.
        RuntimeError: on entry, if another meter is counting on this network; in a forward pass, if
            a layer's ADCs changed since the last.
    """

    def __init__(self, net: nn.Module, *, histograms: bool = False):
        self._net = net
        self._layers = crossbar_layers(net)
        self._histograms = histograms
        self._seen: dict[CrossbarLayer, _Seen] = {}
        self._hook = None
        self.inferences = 0

    def __enter__(self) -> PowerMeter:
        if any(layer._meter is not None for layer in self._layers.values()):
            raise RuntimeError("another PowerMeter is counting on this network: leave it first")
        for layer in self._layers.values():
            layer._meter = self._add
        self._hook = self._net.register_forward_pre_hook(self._count_inputs, with_kwargs=True)
        return self

    def __exit__(self, *_) -> None:
        self._hook.remove()
        for layer in self._layers.values():
            layer._meter = None

    def _count_inputs(self, _, args: tuple, kwargs: dict) -> None:
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor):
                self.inferences += value.shape[0] if value.dim() else 1
                return

    def _add(
        self, layer: CrossbarLayer, x: torch.Tensor, counts: torch.Tensor, drives: torch.Tensor
    ) -> None:
        histogram = None
        if self._histograms:
            with torch.no_grad():
                histogram = layer.bit_line_histogram(layer._codes(x), layer.tables().edges)
        self._count(layer, counts, drives, histogram)

    def _count(
        self,
        layer: CrossbarLayer,
        counts: torch.Tensor,
        drives: torch.Tensor,
        histogram: torch.Tensor | None,
    ) -> None:
        seen = self._seen.get(layer)
        if seen is None:
            self._seen[layer] = _Seen(
                counts.clone(), drives.clone(), histogram, layer.adc, layer._tables
            )
            return
        if not seen.same_adcs(layer):
            raise RuntimeError(
                "a layer's ADCs changed while a PowerMeter counted: use a meter for each design"
            )
        seen.counts = seen.counts + counts
        seen.drives = seen.drives + drives
        if histogram is not None:
            seen.histogram = seen.histogram + histogram

    def add_up(self) -> None:
        """Adds the counts of all processes of torch.distributed; each must call this, once.

        Raises:
            RuntimeError: the processes' ADCs differ.
        """
        states = processes.gather(self.state_dict())
        self._seen, self.inferences = {}, 0
        for state in states:
            self.load_state_dict(state)

    def state_dict(self) -> dict:
        """What was counted so far, as plain values and tensors."""
        layers = {}
        for name, layer in self._layers.items():
            if (seen := self._seen.get(layer)) is not None:
                layers[name] = {
                    "counts": seen.counts.cpu(),
                    "drives": seen.drives.cpu(),
                    "histogram": None if seen.histogram is None else seen.histogram.cpu(),
                    "adcs": [t.cpu() for t in seen.tables],
                }
        return {"inferences": self.inferences, "layers": layers}

    def load_state_dict(self, state: dict) -> None:
        """Adds what `state_dict` gave to what was counted.

        Raises:
            RuntimeError: it is of other layers, or of other ADCs than these.
        """
        unknown = sorted(set(state["layers"]) - set(self._layers))
        if unknown:
            raise RuntimeError(f"counts of {unknown}, which this network has not")
        for name, counted in state["layers"].items():
            own = zip(counted["adcs"], self._layers[name]._tables, strict=True)
            if not all(torch.equal(a, b.cpu()) for a, b in own):
                raise RuntimeError(f"counts of other ADCs than those of layer {name!r}")
        for name, counted in state["layers"].items():
            layer = self._layers[name]
            device = layer.weight.device
            self._count(layer, *(
                None if counted[key] is None else counted[key].to(device)
                for key in ("counts", "drives", "histogram")
            ))  # fmt: skip
        self.inferences += state["inferences"]

    def report(
        self,
        technology: str | Path | Technology = "isaac",
        *,
        adc_model: str = "bit_cycle",
        inferences: int | None = None,
    ) -> PowerReport:
        """What was counted so far, priced.

        Args:
            technology: a name (see `technology_names`), the path of a TOML file, or a `Technology`.
            adc_model: `bit_cycle` (energy per comparison), `sar` (comparator, logic and capacitors
                along the path of each search; needs `histograms=True`) or `resolution` (a smaller
                ADC that always finishes).
            inferences: network inputs that the counts stand for, if not `self.inferences`.

        Raises:
            ValueError: an unknown technology or model, numbers that the technology lacks, `sar`
                without histograms, or `resolution` for a search that stops early.
        """
        technology = load_technology(technology)
        inferences = self.inferences if inferences is None else inferences
        searched = {
            name: _searched(layer, self._seen.get(layer) or _Seen.nothing(layer))
            for name, layer in self._layers.items()
        }

        def price(name: str, layer: Searched) -> LayerReport:
            return _layer_report(name, layer, technology, adc_model, inferences)

        layers = tuple(price(name, layer) for name, layer in searched.items())
        plain = [price(name, layer.unsearched()) for name, layer in searched.items()]
        shown = (_converted(name, self._layers[name], layer) for name, layer in searched.items())
        return PowerReport(
            technology,
            adc_model,
            inferences,
            layers,
            _total(layers, searched),
            _total(plain, searched),
            {name: _config(layer) for name, layer in self._layers.items()},
            tuple(part for part in shown if part is not None),
        )


def _config(layer: CrossbarLayer) -> dict:
    """Without the search, and the ADC, which `design_adc` or `set_adc` may have replaced."""
    config = layer.config.to_dict()
    return {name: config[name] for name in ("crossbar", "weights", "inputs")}


def _searched(layer: CrossbarLayer, seen: _Seen) -> Searched:
    g, groups = layer.geometry, getattr(layer, "groups", 1)
    conversions, comparisons, skipped = seen.counts.cpu().numpy()
    counts = LayerCounts(
        g, groups, layer.weight.shape[0] // groups, layer.depth,
        conversions, comparisons, skipped, seen.drives.cpu().numpy(),
    )  # fmt: skip
    histogram = None if seen.histogram is None else seen.histogram.cpu().numpy()
    edges, index = tuple(seen.tables.edges.tolist()), seen.tables.index.cpu().numpy()
    return Searched(counts, seen.adc, edges, index, histogram)


def _layer_report(
    name: str, layer: Searched, technology: Technology, adc_model: str, inferences: int
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
        *(tuple(map(tuple, x.tolist())) for x in (
            counts.conversions, counts.comparisons, counts.skipped, counts.cell_reads
        )),
        tuple(counts.word_line_drives.tolist()),
    )  # fmt: skip


def _total(rows: list[LayerReport] | tuple[LayerReport, ...], searched: dict) -> LayerReport:
    counts = [s.counts for s in searched.values()]
    areas = [r.area_mm2 for r in rows]
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
        None if None in areas else sum(areas),
    )


def _converted(name: str, layer: CrossbarLayer, searched: Searched) -> Converted | None:
    """The design that made most of a layer's comparisons, and what it converted."""
    statistics, edges = layer._statistics, searched.edges
    if searched.histogram is None and statistics is not None:  # of the calibration, if it fits
        bins = statistics.by_activity.numpy()
        if len(edges) == 1:
            bins = bins.sum(0, keepdims=True)
        elif edges != statistics.edges:
            return None
        searched = dataclasses.replace(searched, histogram=bins)
    if searched.histogram is None or not searched.histogram.any():
        return None
    designs = range(len(searched.designs))
    k = max(designs, key=lambda k: int(searched.histogram_of(k) @ searched.comparisons_of(k)))
    return Converted(
        name,
        _where(searched.index == k, edges),
        searched.designs[k],
        layer.geometry.lowest,
        searched.histogram_of(k),
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
