"""Reports of what the crossbars of a network did, and what it cost."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from reram_torch.power.page import page
from reram_torch.power.pictures import plot_report
from reram_torch.power.records import LayerReport, PowerFigures, quantity

SCHEMA = "reram_torch.power"
SCHEMA_VERSION = 2

_IN_FLOAT = 4  # names in a line


@dataclass(frozen=True, eq=False)
class PowerReport(PowerFigures):
    """What `PowerMeter` saw, and what it cost.

    Attributes:
        technology: the energy figures.
        adc_model: name of the ADC energy model.
        inferences: network inputs that the counts stand for.
        layers: one report a layer, in the network's order.
        total: their sums; its latency is that of one inference through all layers.
        plain_sar: the total if every sum were converted by a plain SAR ADC of full resolution on
            the same arrays.
        configs: the arrays, weights and inputs of each layer's configuration, as plain values.
        converted: the histogram of each layer, where there is one.
        in_float: what of the network stays in float, by name.
        weights: how many weights lie on crossbars.
    """

    # --- output ---

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values.

        Keys: `schema` and `version` of this form; `technology`, as its file states it;
        `adc_model`; `inferences`; `total`, `plain_sar` and each of `layers` with the attributes of
        `LayerReport`, energies in pJ and counts over all inferences, latencies of one inference in
        ns and in comparison periods of an ADC; `throughput_average_per_s` and
        `throughput_worst_per_s`; `energy_reduction`; `macs` on crossbars and `float_macs`, of all
        inferences, and the ratios `mac_share_on_crossbars`, `weight_share_on_crossbars`,
        `comparisons_per_mac` and `conversions_per_mac`; `in_float`, by name, with `kind`, `weights`
        and `macs` (None where they cannot be counted); and `configs` by layer. Numbers that are
        not finite are None.
        """
        numbers = {
            "energy_reduction": self.energy_reduction,
            "energy_pj_per_inference": self.per_inference(self.energy_pj),
            "throughput_average_per_s": self.throughput(),
            "throughput_worst_per_s": self.throughput("worst"),
            "comparisons_per_mac": self.comparisons_per_mac,
            "conversions_per_mac": self.conversions_per_mac,
            "macs": self.macs,
            "float_macs": self.float_macs,
            "mac_share_on_crossbars": self.mac_share_on_crossbars,
            "weight_share_on_crossbars": self.weight_share_on_crossbars,
        }
        return {
            "schema": SCHEMA,
            "version": SCHEMA_VERSION,
            "technology": self.technology.to_dict(),
            "adc_model": self.adc_model,
            "inferences": self.inferences,
            **{k: v if math.isfinite(v) else None for k, v in numbers.items()},
            "total": self.total.to_dict(),
            "plain_sar": self.plain_sar.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
            "in_float": {name: vars(layer) for name, layer in self.in_float.items()},
            "configs": self.configs,
        }

    def to_json(self, path: str | Path) -> None:
        """Writes the report as JSON (see `to_dict`)."""
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def to_csv(self, path: str | Path) -> None:
        """Writes one row for each layer, then the total, as CSV; energies in pJ."""
        rows = []
        for layer in (*self.layers, self.total):
            values = layer.to_dict()
            events, energy = values.pop("events"), values.pop("component_pj")
            flat = {k: v for k, v in values.items() if not isinstance(v, tuple)}
            rows.append({**flat, **events, **{f"{k}_pj": v for k, v in energy.items()}})
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def plot(self, path: str | Path) -> None:
        """Draws energy by layer, the ADCs' share, and a search (needs the extra `plot`)."""
        plot_report(self, path)

    def to_html(self, path: str | Path) -> None:
        """Writes one self-contained page: tables, pictures, and the configuration that made them.

        Needs the extra `plot`.
        """
        Path(path).write_text(page(self), encoding="utf-8")

    def layer_table(self) -> str:
        """Counts, energy and latency of every layer as text."""
        head = "{:24} {:>15} {:>15} {:>6} {:>7} {:>9} {:>12} {:>5} {:>7} {:>5} {:>10}".format(
            "layer", "conversions", "comparisons", "each", "per MAC", "reduction", "energy/inf.",
            "ADC", "arrays", "used", "average",
        )  # fmt: skip
        lines = [head]
        for r in (*self.layers, self.total):
            energy = quantity(self.per_inference(r.energy_pj), "pJ")
            lines.append(
                f"{r.name:24} {r.conversions:15,} {r.comparisons:15,} "
                f"{r.comparisons_per_conversion:6.2f} {r.comparisons_per_mac:7.3f} "
                f"{r.reduction:8.2f}x {energy:>12} "
                f"{r.adc_share:5.0%} {r.arrays:7,} {r.utilisation:5.0%} "
                f"{quantity(r.latency.average_ns, 'ns'):>10}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return comparison_table({"this design": self}, plain=True)


def _comparable(reports: dict[str, PowerReport]) -> PowerReport:
    """The first of reports, all of one technology and one ADC energy model."""
    if not reports:
        raise ValueError("there is no report to compare")
    first = next(iter(reports.values()))
    for report in reports.values():
        if (report.technology, report.adc_model) != (first.technology, first.adc_model):
            raise ValueError("reports of different technologies or ADC models do not compare")
    return first


_Show: TypeAlias = Callable[[PowerReport, LayerReport], str]  # a cell: a report and its total


def comparison_table(reports: dict[str, PowerReport], *, plain: bool = False) -> str:
    """Designs side by side, for one inference each.

    Args:
        reports: by the name that heads its column; of one technology and one ADC energy model.
        plain: begin with a plain SAR ADC on the arrays of the first.

    Raises:
        ValueError: nothing to compare, or reports of different technologies or models.
    """
    first = _comparable(reports)
    columns = {name: (r, r.total) for name, r in reports.items()}
    if plain:
        columns = {"plain SAR": (first, first.plain_sar), **columns}
    wide = max(14, *(len(name) + 2 for name in columns))

    def row(label: str, show: _Show) -> str:
        return f"{label:26}" + "".join(f"{show(r, t):>{wide}}" for r, t in columns.values())

    def energy(value: Callable[[LayerReport], float]) -> _Show:
        return lambda r, t: quantity(r.per_inference(value(t)), "pJ")

    def component(name: str) -> _Show:
        return energy(lambda t: t.component_pj[name])

    def latency(kind: str) -> _Show:
        return lambda r, t: quantity(getattr(t.latency, kind), "ns")

    lines = [
        f"technology {first.technology.name}, {first.technology.process_nm} nm; ADC energy model "
        f"{first.adc_model}; {first.inferences} inferences",
        f"{'of one inference':26}" + "".join(f"{name:>{wide}}" for name in columns),
    ]
    for name in first.total.component_pj:
        lines.append(row(name, component(name)))
    lines += [
        row("total energy", energy(lambda t: t.energy_pj)),
        row("share of the ADCs", lambda _, t: f"{t.adc_share:.1%}"),
        row("comparisons per sum", lambda _, t: f"{t.comparisons_per_conversion:.3f}"),
        row("comparisons per MAC", lambda _, t: f"{t.comparisons_per_mac:.3f}"),
        row("conversions per MAC", lambda _, t: f"{t.conversions_per_mac:.3f}"),
        row("reduction, A/D operations", lambda _, t: f"{t.reduction:.2f}x"),
        row("latency, lock step", latency("worst_ns")),
        row("latency, self-timed", latency("average_ns")),
        row("ADC cycles, lock step", lambda _, t: f"{t.latency.worst_adc_cycles:,.0f}"),
        row("ADC cycles, self-timed", lambda _, t: f"{t.latency.average_adc_cycles:,.0f}"),
        row("arrays", lambda _, t: f"{t.arrays:,}"),
        row("area", lambda _, t: "-" if t.area_mm2 is None else quantity(t.area_mm2, "mm2")),
    ]
    if any(r.in_float for r in reports.values()):
        lines += [
            row("weights on crossbars", lambda r, _: f"{r.weight_share_on_crossbars:.1%}"),
            row("MACs on crossbars", lambda r, _: r.mac_share()),
        ]
    lines += dict.fromkeys(in_float_line(r) for r in reports.values() if r.in_float)
    return "\n".join(lines)


def in_float_line(report: PowerFigures) -> str:
    """What stays in float, the largest first, in a line."""
    layers = sorted(report.in_float.items(), key=lambda item: -item[1].weights)
    named = ", ".join(f"{name} ({layer.kind})" for name, layer in layers[:_IN_FLOAT])
    more = f" and {len(layers) - _IN_FLOAT} more" if len(layers) > _IN_FLOAT else ""
    return f"in float: {named}{more}"
