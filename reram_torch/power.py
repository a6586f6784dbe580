"""Counts of what was simulated, and the energy that they stand for."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from reram_torch.convert import crossbar_layers
from reram_torch.crossbar_layer import CrossbarLayer
from reram_torch.mapping import Geometry
from reram_torch.validate import check_choice

# ISAAC's ADC makes eight comparisons for every conversion, with 8 cycles of 8 slices.
BASELINE_COMPARISONS = 8
_BASELINE_SLICES_AND_CYCLES = 8 * 8

# Energy of one bit cycle of a SAR ADC, pJ: the linear term of a fit to the published values of the
# ISAAC family, 4 to 10 bits (DESIGN, section 5).
TECHNOLOGIES = {"isaac": 0.196}


def baseline_conversions(geometry: Geometry, sums: int) -> int:
    """Conversions that the ISAAC baseline would have made where this geometry had `sums`.

    The baseline is the same network, array height and batch with offset encoding, 1-bit cells and
    DACs, 8-bit weights and inputs.
    """
    own = geometry.cycles * geometry.slices * len(geometry.signs)
    return sums // own * _BASELINE_SLICES_AND_CYCLES


@dataclass(frozen=True)
class LayerReport:
    """Counts of one layer, or their totals.

    Attributes:
        name: qualified name.
        conversions: bit-line sums converted.
        skipped: bit-line sums that needed no conversion, no word-line being driven.
        comparisons: A/D operations made.
        baseline_comparisons: those of the ISAAC baseline.
        adc_energy_pj: energy of the comparisons, pJ.
        slice_conversions, slice_comparisons: the counts of each slice, lowest first.
    """

    name: str
    conversions: int
    skipped: int
    comparisons: int
    baseline_comparisons: int
    adc_energy_pj: float
    slice_conversions: tuple[int, ...] = ()
    slice_comparisons: tuple[int, ...] = ()

    @property
    def comparisons_per_conversion(self) -> float:
        """Mean A/D operations of a bit-line sum, skipped ones included; NaN without any."""
        sums = self.conversions + self.skipped
        return self.comparisons / sums if sums else float("nan")

    @property
    def reduction(self) -> float:
        """Comparisons of the ISAAC baseline over those made; NaN if nothing was simulated."""
        if not self.comparisons:
            return float("inf") if self.baseline_comparisons else float("nan")
        return self.baseline_comparisons / self.comparisons

    def to_dict(self) -> dict:
        """All attributes and ratios as plain values; a ratio that is not finite is None."""
        ratios = {
            "comparisons_per_conversion": self.comparisons_per_conversion,
            "reduction": self.reduction,
        }
        finite = {k: v if math.isfinite(v) else None for k, v in ratios.items()}
        return {**asdict(self), **finite}


@dataclass(frozen=True)
class PowerReport:
    """What `PowerMeter` saw.

    Attributes:
        technology: name of the energy figures.
        layers: one report a layer, in the network's order.
        total: their sums.
    """

    technology: str
    layers: tuple[LayerReport, ...]
    total: LayerReport

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
    def reduction(self) -> float:
        """Comparisons of the ISAAC baseline over those made."""
        return self.total.reduction

    @property
    def adc_energy_pj(self) -> float:
        """Energy of the ADCs, pJ, by the bit-cycle model."""
        return self.total.adc_energy_pj

    @property
    def energy_pj(self) -> float:
        """Energy of all components that are modelled, pJ. So far that is the ADCs alone."""
        return self.adc_energy_pj

    def to_dict(self) -> dict:
        """The report as plain values."""
        return {
            "technology": self.technology,
            "adc_energy_model": "bit_cycle",
            "total": self.total.to_dict(),
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def to_json(self, path: str | Path) -> None:
        """Writes the report as JSON."""
        Path(path).write_text(
            json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n", encoding="utf-8"
        )

    def to_csv(self, path: str | Path) -> None:
        """Writes one row for each layer, then the total, as CSV."""
        rows = [layer.to_dict() for layer in (*self.layers, self.total)]
        columns = [k for k in rows[0] if not k.startswith("slice_")]
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    def plot(self, path: str | Path) -> None:
        """Draws comparisons and energy by layer (needs the extra `plot`)."""
        from reram_torch.plots import plot_layers

        plot_layers(self, path)

    def __str__(self) -> str:
        header = ("conversions", "comparisons", "each", "reduction")
        lines = ["{:24} {:>15} {:>15} {:>6} {:>9}".format("layer", *header)]
        lines += [
            f"{r.name:24} {r.conversions:15,} {r.comparisons:15,} "
            f"{r.comparisons_per_conversion:6.2f} {r.reduction:8.2f}x"
            for r in (*self.layers, self.total)
        ]
        energy = f"ADC energy {self.adc_energy_pj / 1e6:,.3f} uJ ({self.technology}, bit cycle)"
        return "\n".join([*lines, energy])


class PowerMeter:
    """Counts what the crossbars of a network do inside a `with` block.

    Counts add up over forward passes. Outside the block nothing is counted.

    Args:
        net: a converted network.

    Raises:
        ValueError: there are no crossbar layers.
        RuntimeError: on entry, if another meter is counting on this network.
    """

    def __init__(self, net: nn.Module):
        self._layers = crossbar_layers(net)
        self._counts: dict[CrossbarLayer, torch.Tensor] = {}

    def __enter__(self) -> PowerMeter:
        if any(layer._meter is not None for layer in self._layers.values()):
            raise RuntimeError("another PowerMeter is counting on this network: leave it first")
        for layer in self._layers.values():
            layer._meter = self._add
        return self

    def __exit__(self, *_) -> None:
        for layer in self._layers.values():
            layer._meter = None

    def _add(self, layer: CrossbarLayer, counts: torch.Tensor) -> None:
        so_far = self._counts.get(layer)
        self._counts[layer] = counts.clone() if so_far is None else so_far + counts

    def report(self, technology: str = "isaac") -> PowerReport:
        """What was counted so far.

        Args:
            technology: whose energy figures to use: `isaac` (0.196 pJ a bit cycle).

        Raises:
            ValueError: an unknown technology.
        """
        check_choice("technology", technology, tuple(TECHNOLOGIES))
        energy = TECHNOLOGIES[technology]
        rows = []
        for name, layer in self._layers.items():
            counts = self._counts.get(layer)
            if counts is None:
                counts = torch.zeros(3, layer.geometry.slices, dtype=torch.int64)
            conversions, comparisons, skipped = (tuple(row) for row in counts.tolist())
            sums = sum(conversions) + sum(skipped)
            baseline = baseline_conversions(layer.geometry, sums)
            rows.append(
                LayerReport(
                    name,
                    sum(conversions),
                    sum(skipped),
                    sum(comparisons),
                    baseline * BASELINE_COMPARISONS,
                    sum(comparisons) * energy,
                    conversions,
                    comparisons,
                )
            )
        total = LayerReport(
            "total",
            sum(r.conversions for r in rows),
            sum(r.skipped for r in rows),
            sum(r.comparisons for r in rows),
            sum(r.baseline_comparisons for r in rows),
            sum(r.adc_energy_pj for r in rows),
        )
        return PowerReport(technology, tuple(rows), total)
