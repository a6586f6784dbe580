"""How much a controller's netlist switches on real conversions, against a plain SAR's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reram_torch.adc.trees import Tables
from reram_torch.hardware.formats import Format
from reram_torch.hardware.gates import netlist_of, synthesised
from reram_torch.hardware.simulation import nets_of


@dataclass(frozen=True)
class Switching:
    """What switched: input pins of cells, each time that their net changed.

    It is proportional to energy as far as pins are alike: neither wires, nor what cells take
    within, nor glitches are in it, since cells have no delays.

    Attributes:
        a_conversion: mean of a conversion, loading words included.
        a_clock: mean of a clock: comparisons, and the one of `start`.
        clocks: mean of a conversion.
    """

    a_conversion: float
    a_clock: float
    clocks: float


def switching(
    made: Format,
    words: Sequence[tuple[int, ...]],
    tables: Sequence[Tables],
    stream: np.ndarray,
) -> Switching:
    """Counts what switches in a controller, its words' latches included.

    Args:
        made: the format of the words.
        words: of each table.
        tables: what they give.
        stream: conversions in order, int (n, 2): a table, and a sum.

    Raises:
        RuntimeError: Icarus Verilog or Yosys is missing.
    """
    pins = _pins(synthesised(made).verilog)
    changes = _changes(nets_of(made, words, tables, stream, netlist_of(made)))
    clocks = sum(int(tables[t].comparisons[v - tables[t].lowest]) + 1 for t, v in stream.tolist())
    switched = sum(count * changes[net] for net, count in pins.items())
    return Switching(switched / len(stream), switched / clocks, clocks / len(stream))


def _pins(netlist: str) -> Counter[str]:
    """How many input pins of cells each net drives."""
    found: Counter[str] = Counter()
    for cell in re.finditer(r"^  [A-Z]+\d* \S+ \(\n(.*?)\n  \);", netlist, re.M | re.S):
        for pin, net in re.findall(r"\.(\w+)\((.*?)\)(?:,|$)", cell[1], re.M):
            if pin not in ("Y", "Q"):
                found[net.replace(" ", "").removeprefix("\\")] += 1
    return found


def _changes(dump: str) -> Counter[str]:
    """How often each net changed, by its name, or its name and [bit]."""
    head, _, body = dump.partition("$enddefinitions")
    nets: dict[str, list[tuple[str, int]]] = {}
    for bits, code, name in re.findall(r"\$var \w+ (\d+) (\S+) (\S+)", head):
        nets.setdefault(code, []).append((name.removeprefix("\\"), int(bits)))
    counts: Counter[tuple[str, int]] = Counter()
    last: dict[str, str] = {}
    for line in body.splitlines():
        if line[:1] not in ("b", "0", "1", "x", "z") or not line:
            continue
        value, code = line[1:].split() if line[0] == "b" else (line[0], line[1:])
        fill = value[0] if value[0] in "xz" else "0"
        value = value.rjust(nets[code][0][1], fill)
        for bit, (old, new) in enumerate(zip(last.get(code, value), value, strict=True)):
            counts[code, len(value) - 1 - bit] += old != new
        last[code] = value
    found: Counter[str] = Counter()
    for (code, bit), count in counts.items():
        for name, bits in nets[code]:
            found[name if bits == 1 else f"{name}[{bit}]"] = count
    return found
