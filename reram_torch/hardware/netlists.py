"""What a netlist of the library's cells is: area, leakage, depth."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from reram_torch.hardware.library import OUTPUTS, library

_FLIP_FLOPS, _LATCHES = ("DFF",), ("LATCH", "LATCHN")


@dataclass(frozen=True)
class Instance:
    """A cell of a netlist: the library's name of it, and the net at each pin."""

    cell: str
    nets: Mapping[str, str]

    @property
    def inputs(self) -> dict[str, str]:
        """The nets that it reads, by pin."""
        return {pin: net for pin, net in self.nets.items() if pin not in OUTPUTS}

    @property
    def output(self) -> str:
        """The net that it drives."""
        return next(self.nets[pin] for pin in OUTPUTS if pin in self.nets)


@dataclass(frozen=True)
class Netlist:
    """A module after synthesis.

    Attributes:
        verilog: the netlist, of cells of the library.
    """

    verilog: str

    @cached_property
    def instances(self) -> tuple[Instance, ...]:
        """Its cells."""
        found = []
        for cell, pins in re.findall(
            r"^  ([A-Z]+\d*) \S+ \(\n(.*?)\n  \);", self.verilog, re.M | re.S
        ):
            nets = re.findall(r"\.(\w+)\((.*?)\)(?:,|$)", pins, re.M)
            found.append(Instance(cell, {pin: _net(net) for pin, net in nets}))
        return tuple(found)

    @cached_property
    def counts(self) -> Counter[str]:
        """How many there are of each cell."""
        return Counter(each.cell for each in self.instances)

    @property
    def cells(self) -> int:
        """All of its cells."""
        return len(self.instances)

    @property
    def flip_flops(self) -> int:
        """How many it has."""
        return sum(self.counts[name] for name in _FLIP_FLOPS)

    @property
    def latches(self) -> int:
        """Likewise, those that gate clocks included."""
        return sum(self.counts[name] for name in _LATCHES)

    @property
    def gates(self) -> float:
        """Its area in two-input NAND gates."""
        return self._total("area")

    @property
    def area_um2(self) -> float:
        """Its area in the library's process, um2: cells alone."""
        return self.gates * library().nand2_um2

    @property
    def leakage_nw(self) -> float:
        """What it leaks in the library's process, nW."""
        return self._total("leakage_nw")

    def _total(self, name: str) -> float:
        cells = library().cells
        return float(sum(n * getattr(cells[cell], name) for cell, n in self.counts.items()))

    @cached_property
    def depth(self) -> int:
        """Cells on the longest path from what is stored, or comes from outside, to what stores it.

        Raises:
            ValueError: a loop that nothing stored interrupts.
        """
        cells = library().cells
        driver = {each.output: each for each in self.instances if not cells[each.cell].stores}
        known: dict[str, int] = {}
        waiting = [net for each in self.instances for net in each.nets.values()]
        begun: set[str] = set()
        while waiting:
            net = waiting[-1]
            each = driver.get(net)
            before = [] if each is None else list(each.inputs.values())
            missing = [other for other in before if other not in known]
            if net in known or not missing:
                depths = [known[other] for other in before]
                known.setdefault(net, 0 if each is None else 1 + max(depths, default=0))
                waiting.pop()
            elif net in begun:
                raise ValueError(f"the netlist has a loop through {net}")
            else:
                begun.add(net)
                waiting += missing
        return max(known.values(), default=0)


def _net(name: str) -> str:
    """A net as value change dumps have it."""
    return name.replace(" ", "").removeprefix("\\")
