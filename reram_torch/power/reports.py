"""Reports of what the crossbars of a network did, and what it cost."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reram_torch.power.figures import PowerFigures
from reram_torch.power.page import page
from reram_torch.power.pictures import plot_report
from reram_torch.power.records import finite
from reram_torch.power.tables import comparison_table, layer_table

SCHEMA = "reram_torch.power"
SCHEMA_VERSION = 3


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
        activity_sar: the same with an `ActivitySAR`, which is told how many word-lines are driven.
        configs: the arrays, weights and inputs of each layer's configuration, as plain values.
        converted: the histogram of each layer, where there is one.
        in_float: what of the network stays in float, by name.
        weights: how many weights lie on crossbars.
        assumptions: the ADCs' energy with the technology's prices as given, and with each of their
            low and high values.
    """

    # --- output ---

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values.

        Keys: `schema` and `version` of this form; `technology`, as its file states it;
        `adc_model`; `inferences`; `total`, `plain_sar`, `activity_sar` and each of `layers` with
        the attributes of `LayerReport`, and in `total` and `layers` how many times less
        comparisons, ADC energy and energy than a plain and an activity SAR on the same arrays;
        energies in pJ and counts over all inferences, latencies of one inference in ns and in
        comparison periods of an ADC; `throughput_average_per_s` and `throughput_worst_per_s`;
        `energy_reduction`; `assumptions`, each with the energy of the ADCs in place and of the two
        rivals; `macs` on crossbars and `float_macs`, of all inferences, and the ratios
        `mac_share_on_crossbars`, `weight_share_on_crossbars`, `comparisons_per_mac` and
        `conversions_per_mac`; `in_float`, by name, with `kind`, `weights` and `macs` (None where
        they cannot be counted); `unpriced` events, which no component of the technology is for; and
        `configs` by layer. Numbers that are not finite are None.
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
            **{k: finite(v) for k, v in numbers.items()},
            "total": self.total.to_dict(),
            "plain_sar": self.plain_sar.to_dict(),
            "activity_sar": self.activity_sar.to_dict(),
            "assumptions": [vars(each) for each in self.assumptions],
            "layers": [layer.to_dict() for layer in self.layers],
            "in_float": {name: vars(layer) for name, layer in self.in_float.items()},
            "unpriced": self.unpriced,
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
            flat: dict[str, Any] = {}
            for key, value in layer.to_dict().items():
                if isinstance(value, dict):
                    flat |= {_column(key, name): each for name, each in value.items()}
                elif not isinstance(value, tuple):
                    flat[key] = value
            rows.append(flat)
        known = list(dict.fromkeys(key for row in rows for key in row))
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, known)
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
        return layer_table(self)

    def __str__(self) -> str:
        return comparison_table({"this design": self}, plain=True)


def _column(table: str, name: str) -> str:
    """The column of an entry of a table in a row."""
    if table == "events":
        return name
    if table == "component_pj":
        return f"{name}_pj"
    return f"adc_{name}_pj" if table == "adc_parts_pj" else f"{table}_{name}"
