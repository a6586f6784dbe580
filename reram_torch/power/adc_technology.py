"""What a technology says of ADCs: timing, energy models, table memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from reram_torch._support.checks import check_choice
from reram_torch.power.controllers import Controllers
from reram_torch.power.sections import check_numbers, check_variants, varied
from reram_torch.power.switching import SWITCHINGS

_Values = Mapping[str, float]


@dataclass(frozen=True)
class BitCycle:
    """An ADC whose energy is in proportion to its comparisons.

    Args:
        comparison_pj: of one comparison: comparator, capacitors, and a plain SAR's logic as far as
            `Controllers.included_pj` says, pJ.
        conversion_pj: of a conversion that starts besides: sampling, reset, pJ.
        source: where the numbers come from.
        resolution_pj: what its resolution of b bits adds to a conversion that starts, over 2^b, pJ.
        noise_pj: the least that it adds, over 4^b, pJ: what thermal noise asks for.
        low, high: other values of these numbers that the literature allows.
    """

    comparison_pj: float
    conversion_pj: float
    source: str
    resolution_pj: float = 0.0
    noise_pj: float = 0.0
    low: _Values = field(default_factory=dict)
    high: _Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        free = ("conversion_pj", "resolution_pj", "noise_pj")
        check_numbers("adc.bit_cycle", self, zero=free)
        check_variants("adc.bit_cycle", self)

    def finer_pj(self, bits: int) -> float:
        """What a conversion that starts takes for its ADC's resolution, pJ; nothing for 0 bits."""
        return finer_pj(bits, self.resolution_pj, self.noise_pj)


def finer_pj(bits: int, resolution_pj: float, noise_pj: float) -> float:
    """What a conversion takes for so many bits of resolution, pJ, by the prices of `BitCycle`."""
    return max(resolution_pj * 2.0**bits, noise_pj * 4.0**bits) if bits else 0.0


@dataclass(frozen=True)
class Sar:
    """A SAR ADC whose capacitors are simulated along the path of each search.

    Args:
        switching: `conventional`, `monotonic` or `vcm` (see `reram_torch.switching`).
        unit_capacitor_ff: the smallest capacitor, fF.
        reference_v: Vref, V.
        comparator_pj: the comparator in one comparison, pJ.
        logic_pj: a plain SAR's logic in one comparison, pJ.
        conversion_pj: of a conversion that starts besides, pJ.
        source: where the numbers come from.
        low, high: other values of these numbers that the literature allows.
    """

    switching: str
    unit_capacitor_ff: float
    reference_v: float
    comparator_pj: float
    logic_pj: float
    conversion_pj: float
    source: str
    low: _Values = field(default_factory=dict)
    high: _Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("adc.sar.switching", self.switching, SWITCHINGS)
        check_numbers("adc.sar", self, zero=("comparator_pj", "logic_pj", "conversion_pj"))
        check_variants("adc.sar", self)


@dataclass(frozen=True)
class Resolution:
    """A survey's price of an ADC of so many bits that always finishes.

    Args:
        sample_rate_hz: conversions a second of one ADC.
        source: where the number comes from.
    """

    sample_rate_hz: float
    source: str

    def __post_init__(self) -> None:
        check_numbers("adc.resolution", self)


@dataclass(frozen=True)
class TableMemory:
    """The memory beside each array that holds the words of its ADCs' searches.

    Args:
        word_pj: reading a word, pJ; once for the bit-lines of an array that are converted in a
            cycle with the same table.
        leakage_nw_per_byte: nW.
        source: where the numbers come from.
        latched_bytes: a layer's tables of up to so many bytes lie in latches: nothing is loaded.
        area_mm2_per_byte: mm2, if known.
        low, high: other values of these numbers that the literature allows.
    """

    word_pj: float
    leakage_nw_per_byte: float
    source: str
    latched_bytes: int = 0
    area_mm2_per_byte: float | None = None
    low: _Values = field(default_factory=dict)
    high: _Values = field(default_factory=dict)

    def __post_init__(self) -> None:
        free = ("word_pj", "leakage_nw_per_byte", "latched_bytes")
        check_numbers("adc.tables", self, zero=free)
        check_variants("adc.tables", self)


@dataclass(frozen=True)
class AdcTechnology:
    """The ADC: its timing, a section for each energy model, and what searches take besides.

    Args:
        comparison_ns: one A/D operation, ns.
        source: where the numbers come from.
        tile_area_mm2: of a tile's ADCs, mm2, if known.
        bit_cycle, sar, resolution: the models.
        controllers, tables: None: they cost nothing, and reports say so.
    """

    comparison_ns: float
    source: str
    bit_cycle: BitCycle
    tile_area_mm2: float | None = None
    sar: Sar | None = None
    resolution: Resolution | None = None
    controllers: Controllers | None = None
    tables: TableMemory | None = None

    def __post_init__(self) -> None:
        check_numbers("adc", self)

    def variants(self, model: str) -> Iterator[tuple[str, AdcTechnology]]:
        """Each section of a model with its low and its high values, and what varies in words."""
        besides = () if model == "resolution" else ("controllers", "tables")
        for name in (model, *besides):
            section = getattr(self, name)
            for side in ("low", "high"):
                values: _Values = getattr(section, side, None) or {}
                if values:
                    text = ", ".join(f"{key} {value:g}" for key, value in values.items())
                    yield f"{name}: {text}", replace(self, **{name: varied(section, side)})
