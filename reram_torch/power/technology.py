"""Technologies: what each event costs, read from TOML files that say where every number is from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reram_torch._support.checks import check_choice
from reram_torch._support.sections import made, plain, table_of
from reram_torch.config.files import find_toml, read_toml, toml_names
from reram_torch.power.adc_technology import AdcTechnology, BitCycle, Resolution, Sar, TableMemory
from reram_torch.power.controllers import Controllers
from reram_torch.power.counts import EVENTS
from reram_torch.power.sections import check_numbers

_ADC_SECTIONS: dict[str, type[Any]] = {
    "bit_cycle": BitCycle,
    "sar": Sar,
    "resolution": Resolution,
    "controllers": Controllers,
    "tables": TableMemory,
}


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
        check_numbers("array", self)


@dataclass(frozen=True)
class Component:
    """Everything but the ADCs: the energy of the events that it is spent on.

    Args:
        name: of the component.
        event: what is counted, one of `EVENTS`.
        source: where the numbers come from.
        tile_power_mw: of a tile at full activity, mW.
        events_per_tile_cycle: events of a tile in a cycle at full activity.
        event_pj: of one event, pJ, where that is what is known, in place of the two before; it is
            then no part of a tile's power.
        tile_area_mm2: mm2, if known.
        cell_us: of `cell_reads`: conductance of a cell that their energy stands for, uS. On chips
            energy goes by what driven cells conduct; without it, by their number.
    """

    name: str
    event: str
    source: str
    tile_power_mw: float | None = None
    events_per_tile_cycle: float | None = None
    event_pj: float | None = None
    tile_area_mm2: float | None = None
    cell_us: float | None = None

    def __post_init__(self) -> None:
        where = f"component {self.name!r}"
        check_choice(f"{where}: event", self.event, tuple(EVENTS))
        check_numbers(where, self)
        if self.cell_us is not None and (self.event != "cell_reads" or not self.cell_us > 0):
            raise ValueError(
                f"{where}: cell_us must be above 0, of the event 'cell_reads', not "
                f"{self.cell_us!r} of {self.event!r}"
            )
        of_tile = self.tile_power_mw is not None, self.events_per_tile_cycle is not None
        if of_tile not in ((True, True), (False, False)) or any(of_tile) == bool(self.event_pj):
            raise ValueError(
                f"{where} needs tile_power_mw and events_per_tile_cycle, or event_pj in their place"
            )
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
        check_numbers("technology", self)
        names = [c.name for c in self.components]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"two components are named {twice[0]!r}")

    def event_pj(self, component: Component) -> float:
        """Energy of one event of a component, pJ: power times cycle (mW ns) over its events."""
        power, events = component.tile_power_mw, component.events_per_tile_cycle
        if power is None or events is None:
            assert component.event_pj is not None  # one of both forms
            return component.event_pj
        return power * self.array.cycle_ns / events

    def tile_power_mw(self, comparisons: int = 8) -> dict[str, float]:
        """Power of a tile with every component at full activity, mW, by component.

        Args:
            comparisons: of every conversion; each bit-line is converted in every cycle.
        """
        conversions = self.array.arrays_per_tile * self.array.cols
        model = self.adc.bit_cycle
        each = comparisons * model.comparison_pj + model.conversion_pj + model.finer_pj(comparisons)
        power = {c.name: c.tile_power_mw for c in self.components if c.tile_power_mw is not None}
        return {"adc": conversions * each / self.array.cycle_ns, **power}

    def variants(self, model: str) -> Iterator[tuple[str, Technology]]:
        """The technology with each low and high value of its ADC, and what varies in words.

        Args:
            model: the ADC energy model whose values vary.
        """
        for text, adc in self.adc.variants(model):
            yield text, replace(self, adc=adc)

    @property
    def array_area_mm2(self) -> dict[str, float]:
        """Area of what belongs to one array, by component, mm2, where the technology has it."""
        areas = {"adc": self.adc.tile_area_mm2}
        areas |= {c.name: c.tile_area_mm2 for c in self.components}
        per_tile = self.array.arrays_per_tile
        return {name: area / per_tile for name, area in areas.items() if area is not None}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in the form of the TOML file."""
        return {**plain(self), "component": [plain(c) for c in self.components]}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Technology:
        """The inverse of `to_dict`.

        Raises:
            ValueError: an unknown or a missing key, or a value out of range.
        """
        parts = dict(values)
        components = parts.pop("component", [])
        adc = dict(table_of("adc", parts.get("adc")))
        for name, kind in _ADC_SECTIONS.items():
            if name in adc:
                adc[name] = made(kind, f"adc.{name}", adc[name])
        parts["adc"] = made(AdcTechnology, "adc", adc)
        parts["array"] = made(ArrayTiming, "array", parts.get("array"))
        if not isinstance(components, list):
            raise ValueError("components are written as [[component]] tables")
        parts["components"] = tuple(made(Component, _label(c), c) for c in components)
        return made(cls, "technology", parts)


def _label(component: object) -> str:
    if isinstance(component, dict) and "name" in component:
        return f"component {component['name']!r}"
    return "component"


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
