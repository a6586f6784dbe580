"""Technologies: what each event costs, read from TOML files that say where every number is from."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reram_torch._support.checks import check_choice
from reram_torch._support.names import check_keys
from reram_torch.config.files import find_toml, read_toml, toml_names
from reram_torch.power.counts import EVENTS
from reram_torch.power.switching import SWITCHINGS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Section = TypeVar("_Section", bound="DataclassInstance")


def _check_numbers(where: str, section: DataclassInstance, *, zero: tuple[str, ...] = ()) -> None:
    """Raises ValueError unless every number is finite and above 0 (or 0, where it may be)."""
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), f"{where}.{field.name}"
        if field.type in ("str", "str | None"):
            if value is not None and (not isinstance(value, str) or not value.strip()):
                raise ValueError(f"{name} must be text, not {value!r}")
        elif field.type in ("float", "int", "float | None"):
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number, not {value!r}")
            if math.isnan(value):
                raise ValueError(f"{name} is not filled in (nan)")
            if field.type == "int" and not isinstance(value, int):
                raise ValueError(f"{name} must be a whole number, not {value!r}")
            if not 0 <= value < math.inf or (value == 0 and field.name not in zero):
                least = "at least 0" if field.name in zero else "above 0"
                raise ValueError(f"{name} must be finite and {least}, not {value!r}")


@dataclass(frozen=True)
class ArrayTiming:
    """The arrays that the powers are those of, and how they are read out.

    Args:
        cycle_ns: word-lines driven, bit-lines settled and held, ns.
        arrays_per_tile: arrays of the unit that powers and areas are given for.
        rows: word-lines of such an array.
        cols: bit-lines of such an array.
        columns_per_adc: bit-lines that one ADC converts, one after the other.
        source: where the numbers come from.
    """

    cycle_ns: float
    arrays_per_tile: int
    rows: int
    cols: int
    columns_per_adc: int
    source: str

    def __post_init__(self) -> None:
        _check_numbers("array", self)


@dataclass(frozen=True)
class BitCycle:
    """An ADC whose energy is in proportion to its comparisons.

    Args:
        comparison_pj: of one comparison, pJ.
        conversion_pj: of a conversion besides, pJ.
        source: where the numbers come from.
    """

    comparison_pj: float
    conversion_pj: float
    source: str

    def __post_init__(self) -> None:
        _check_numbers("adc.bit_cycle", self, zero=("conversion_pj",))


@dataclass(frozen=True)
class Sar:
    """A SAR ADC whose capacitors are simulated along the path of each search.

    Args:
        switching: `conventional`, `monotonic` or `vcm` (see `reram_torch.switching`).
        unit_capacitor_ff: the smallest capacitor, fF.
        reference_v: Vref, V.
        comparator_pj: the comparator in one comparison, pJ.
        logic_pj: the SAR logic in one comparison, pJ.
        conversion_pj: of a conversion besides, pJ.
        source: where the numbers come from.
    """

    switching: str
    unit_capacitor_ff: float
    reference_v: float
    comparator_pj: float
    logic_pj: float
    conversion_pj: float
    source: str

    def __post_init__(self) -> None:
        check_choice("adc.sar.switching", self.switching, SWITCHINGS)
        _check_numbers("adc.sar", self, zero=("comparator_pj", "logic_pj", "conversion_pj"))


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
        _check_numbers("adc.resolution", self)


@dataclass(frozen=True)
class AdcTechnology:
    """The ADC: its timing, and a section for each energy model that it has numbers for.

    Args:
        comparison_ns: one A/D operation, ns.
        source: where the numbers come from.
        tile_area_mm2: of a tile's ADCs, mm2, if known.
        bit_cycle, sar, resolution: the models.
    """

    comparison_ns: float
    source: str
    bit_cycle: BitCycle
    tile_area_mm2: float | None = None
    sar: Sar | None = None
    resolution: Resolution | None = None

    def __post_init__(self) -> None:
        _check_numbers("adc", self)


@dataclass(frozen=True)
class Component:
    """Everything but the ADCs: a power at full activity, and the events that it is spent on.

    Args:
        name: of the component.
        event: what is counted, one of `reram_torch.counts.EVENTS`.
        tile_power_mw: of a tile at full activity, mW.
        events_per_tile_cycle: events of a tile in a cycle at full activity.
        source: where the numbers come from.
        tile_area_mm2: mm2, if known.
    """

    name: str
    event: str
    tile_power_mw: float
    events_per_tile_cycle: float
    source: str
    tile_area_mm2: float | None = None

    def __post_init__(self) -> None:
        where = f"component {self.name!r}"
        check_choice(f"{where}: event", self.event, tuple(EVENTS))
        _check_numbers(where, self)
        if self.name in ("adc", "total"):
            raise ValueError(f"a component cannot be named {self.name!r}: reports use that name")


@dataclass(frozen=True)
class Technology:
    """A technology, as its TOML file states it.

    Args:
        name: of the technology.
        process_nm: its node, nm.
        array: the arrays and their timing.
        adc: the ADC and its energy models.
        components: everything else.
    """

    name: str
    process_nm: float
    array: ArrayTiming
    adc: AdcTechnology
    components: tuple[Component, ...]

    def __post_init__(self) -> None:
        _check_numbers("technology", self)
        names = [c.name for c in self.components]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two components are named {twice[0]!r}")

    def event_pj(self, component: Component) -> float:
        """Energy of one event of a component, pJ: power times cycle (mW ns) over its events."""
        return component.tile_power_mw * self.array.cycle_ns / component.events_per_tile_cycle

    def tile_power_mw(self, comparisons: int = 8) -> dict[str, float]:
        """Power of a tile with every component at full activity, mW, by component.

        Args:
            comparisons: of every conversion; each bit-line is converted in every cycle.
        """
        conversions = self.array.arrays_per_tile * self.array.cols
        model = self.adc.bit_cycle
        adc = conversions * (comparisons * model.comparison_pj + model.conversion_pj)
        energy = {c.name: c.events_per_tile_cycle * self.event_pj(c) for c in self.components}
        return {k: pj / self.array.cycle_ns for k, pj in {"adc": adc, **energy}.items()}

    @property
    def array_area_mm2(self) -> dict[str, float]:
        """Area of what belongs to one array, by component, mm2, where the technology has it."""
        areas = {"adc": self.adc.tile_area_mm2}
        areas |= {c.name: c.tile_area_mm2 for c in self.components}
        per_tile = self.array.arrays_per_tile
        return {name: area / per_tile for name, area in areas.items() if area is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the form of the TOML file."""

        def plain(section: DataclassInstance) -> dict[str, Any]:
            pairs = ((f.name, getattr(section, f.name)) for f in dataclasses.fields(section))
            return {
                k: plain(v) if dataclasses.is_dataclass(v) and not isinstance(v, type) else v
                for k, v in pairs
                if v is not None and k != "components"
            }

        return {**plain(self), "component": [plain(c) for c in self.components]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Technology:
        """The inverse of `to_dict`.

        Raises:
            ValueError: an unknown or a missing key, or a value out of range.
        """
        parts = dict(values)
        components = parts.pop("component", [])
        adc = dict(_table("adc", parts.get("adc")))
        for name, kind in (("bit_cycle", BitCycle), ("sar", Sar), ("resolution", Resolution)):
            if name in adc:
                adc[name] = _make(kind, f"adc.{name}", adc[name])
        parts["adc"] = _make(AdcTechnology, "adc", adc)
        parts["array"] = _make(ArrayTiming, "array", parts.get("array"))
        if not isinstance(components, list):
            raise ValueError("components are written as [[component]] tables")
        parts["components"] = tuple(_make(Component, "component", c) for c in components)
        return _make(cls, "technology", parts)


def _table(where: str, table: object) -> dict[str, Any]:
    if table is None:
        raise ValueError(f"the table [{where}] is missing")
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table, not {table!r}")
    return table


def _make(kind: type[_Section], where: str, table: object) -> _Section:
    """A section from a table that has its keys, no other, and all that have no default."""
    table = _table(where, table)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    label = f"{where} {table['name']!r}" if kind is Component and "name" in table else where
    check_keys(label, table, fields)
    missing = [n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in table]
    if missing:
        raise ValueError(f"{label}: the key {missing[0]!r} is missing")
    return kind(**table)


def technology_names() -> list[str]:
    """The names that `load_technology` knows."""
    return toml_names("technology")


def load_technology(name: str | Path | Technology) -> Technology:
    """A technology by name (see `technology_names`) or from a TOML file.

    Raises:
        FileNotFoundError: neither a known name nor a file.
        ValueError: the file is not TOML, has unknown or missing keys, values out of range, or
            numbers that are not filled in.
    """
    if isinstance(name, Technology):
        return name
    return read_toml(find_toml("technology", name), Technology.from_dict)
