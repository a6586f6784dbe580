"""The generic cell library: what its cells are, take and leak (`cells/generic.lib`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

OUTPUTS = ("Y", "Q")
_CLOCKS = ("CK", "G")


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        area: in two-input NAND gates.
        leakage_nw: nW.
        change_fj: taken within when its output changes, fJ.
        clock_fj: when its clock or gate changes, fJ; 0 without one.
        data_fj: when the data of a flip-flop changes, fJ.
        inputs_ff: capacitances of its inputs, fF.
    """

    area: float
    leakage_nw: float
    change_fj: float
    clock_fj: float
    data_fj: float
    inputs_ff: Mapping[str, float]

    @property
    def stores(self) -> bool:
        """Whether it is a flip-flop or a latch."""
        return any(pin in _CLOCKS for pin in self.inputs_ff)

    def input_fj(self, pin: str) -> float:
        """What it takes within when an input changes and its output does not, fJ."""
        return self.clock_fj if pin in _CLOCKS else self.data_fj


@dataclass(frozen=True)
class Library:
    """Cells, and wires between them.

    Attributes:
        cells: by name.
        nand2_um2: the area that areas count in, um2.
        voltage_v: of the supply, V.
        wires_ff: of a net that drives 1, 2, .. inputs, fF.
        wire_more_ff: for each input more.
    """

    cells: Mapping[str, Cell]
    nand2_um2: float
    voltage_v: float
    wires_ff: tuple[float, ...]
    wire_more_ff: float

    def change_fj(self, inputs_ff: float, inputs: int) -> float:
        """What a supply delivers for one change of a net, the mean of rise and fall, fJ.

        Args:
            inputs_ff: capacitance of the inputs that it drives, fF.
            inputs: how many.
        """
        if not inputs:
            return 0.0
        known = min(inputs, len(self.wires_ff))
        wire = self.wires_ff[known - 1] + self.wire_more_ff * (inputs - known)
        return 0.5 * (inputs_ff + wire) * self.voltage_v**2


def library_text(name: str) -> str:
    """One of the library's files: `generic.lib`, `generic.v` or `latches.v`."""
    return resources.files(__package__).joinpath("cells", name).read_text("utf-8")


@lru_cache(maxsize=1)
def library() -> Library:
    """The project's library."""
    text = library_text("generic.lib")
    head, *cells = re.split(r"^  cell\(", text[text.index("library(") :], flags=re.M)
    wires = re.search(r'^  wire_ff : "([^"]*)"', head, re.M)
    assert wires is not None
    return Library(
        {cell.partition(")")[0]: _cell(cell) for cell in cells},
        _number(head, "nand2_um2"),
        _number(head, "voltage_v"),
        tuple(map(float, wires[1].split())),
        _number(head, "wire_more_ff"),
    )


def _cell(text: str) -> Cell:
    pins = re.findall(r"pin\((\w+)\) \{[^}]*capacitance : ([\d.]+);", text)
    return Cell(
        _number(text, "area"),
        _number(text, "cell_leakage_power"),
        _number(text, "change_fj"),
        _number(text, "clock_fj", 0.0),
        _number(text, "data_fj", 0.0),
        {pin: float(ff) for pin, ff in pins},
    )


def _number(text: str, name: str, missing: float | None = None) -> float:
    found = re.search(rf"\b{name} : ([\d.]+);", text)
    if found is None:
        if missing is None:
            raise ValueError(f"generic.lib has no {name}")
        return missing
    return float(found[1])
