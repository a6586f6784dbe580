"""A row of a power report: what a layer did, or all of them together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from reram_torch.power.latency import Latency


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
class Rival:
    """What other ADCs would have done on the same arrays.

    Attributes:
        comparisons: A/D operations.
        conversions: that started.
        adc_energy_pj: of the ADCs, pJ.
        energy_pj: of all components, pJ.
    """

    comparisons: int
    conversions: int
    adc_energy_pj: float
    energy_pj: float


def ratio(other: float, own: float) -> float:
    """How many times less; infinite where nothing is left, NaN where nothing was there."""
    if own:
        return other / own
    return math.inf if other else math.nan


@dataclass(frozen=True)
class LayerReport:
    """What one layer did, or all of them together.

    Attributes:
        name: qualified name, or `total`.
        events: how often each event of `reram_torch.counts.EVENTS` happened.
        skipped: bit-line sums of no conversion: no word-line is driven, or all get one level.
        baseline_comparisons: A/D operations of the ISAAC baseline.
        component_pj: energy by component, `adc` first, pJ.
        adc_parts_pj: that of the ADCs, by what it is spent on, pJ.
        latency: of one inference.
        adc: its ADCs, such as `88 x search_tree`; empty in a total.
        arrays: crossbars.
        utilisation: cells in use over cells.
        area_mm2: of the arrays and what belongs to them, or None where the technology's arrays are
            of another size, or its ADCs or DACs of fewer bits.
        conversions_by: conversions by cycle and slice; `comparisons_by`, `skipped_by`,
            `cell_reads_by`: likewise. Empty in a total.
        word_line_drives_by: pulses by cycle.
        macs: multiply-accumulates that the arrays stand for.
        table_bytes: of the tables that its ADCs search by; in a total, of all layers.
        words_loaded: of these tables.
        depth: the most comparisons that a conversion can take.
        resolution: bits of the ADC that can make the thresholds of all its searches: log2 of full
            scale over the smallest step; in a total, of the finest.
        plain_sar: a plain SAR of full resolution on the same arrays.
        activity_sar: an `ActivitySAR` on the same arrays.
    """

    name: str
    events: dict[str, int]
    skipped: int
    baseline_comparisons: int
    component_pj: dict[str, float]
    adc_parts_pj: dict[str, float]
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
    table_bytes: int = 0
    words_loaded: int = 0
    depth: int = 0
    resolution: int = 0
    plain_sar: Rival | None = None
    activity_sar: Rival | None = None

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
        return ratio(self.baseline_comparisons, self.comparisons)

    @property
    def words_per_conversion(self) -> float:
        """Words loaded for a conversion that starts; NaN without any."""
        return self.words_loaded / self.conversions if self.conversions else float("nan")

    def times_less(self, figure: str, than: str) -> float:
        """How many times less than a rival; NaN for a rival's own row.

        Args:
            figure: `comparisons`, `conversions`, `adc_energy_pj` or `energy_pj`.
            than: `plain_sar` or `activity_sar`.
        """
        rival: Rival | None = getattr(self, than)
        return math.nan if rival is None else ratio(getattr(rival, figure), getattr(self, figure))

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
        apart = ("latency", "plain_sar", "activity_sar")
        values = {k: v for k, v in vars(self).items() if k not in apart and v != ()}
        for name in _RATIOS:
            values[name] = getattr(self, name)
        values |= latency
        for than in ("plain_sar", "activity_sar"):
            rival: Rival | None = getattr(self, than)
            if rival is not None:
                values[than] = dict(vars(rival))
                for figure in ("comparisons", "adc_energy_pj", "energy_pj"):
                    name = f"{figure.removesuffix('_pj')}_times_less_than_{than}"
                    values[name] = self.times_less(figure, than)
        return {k: finite(v) for k, v in values.items()}


_RATIOS = (
    "comparisons_per_conversion", "comparisons_per_mac", "conversions_per_mac", "reduction",
    "words_per_conversion", "energy_pj", "adc_energy_pj", "adc_share",
)  # fmt: skip


def finite(value: Any) -> Any:
    """A value for JSON: None instead of a number that is not finite, in tables too."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
