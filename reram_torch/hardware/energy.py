"""What a controller's netlist takes on real conversions: each change of a net and of a cell."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reram_torch.hardware.controllers import controller, source, unit_parameters
from reram_torch.hardware.gates import cell_models, netlist_of, synthesised, synthesised_unit
from reram_torch.hardware.library import library
from reram_torch.hardware.loading import LayerWords
from reram_torch.hardware.netlists import Netlist
from reram_torch.hardware.simulation import nets_of, nets_of_units

Changes = Counter[str]  # of each net, by its name, or its name and [bit]


@dataclass(frozen=True)
class Energy:
    """What a controller takes in the library's process, fJ.

    Of each change of a net half of its capacitance (inputs and wire) times the square of the
    supply's voltage, and of each change of a cell what it takes within. Glitches are not in it,
    since cells have no delays, and neither is what its outputs drive.

    Attributes:
        clock_fj: mean of a clock: comparisons, and the one of `start`.
        write_fj: mean of a word that is written into its latches; 0 if none was.
        clocks: mean of a conversion.
    """

    clock_fj: float
    write_fj: float
    clocks: float


def energy_on(words: LayerWords, stream: np.ndarray) -> Energy:
    """What a layer's controller takes on a stream, its words' latches included.

    Args:
        words: of the layer.
        stream: conversions in order, as `real_conversions` gives them. The words of a table are
            written where the one before was another.

    Raises:
        RuntimeError: Icarus Verilog or Yosys is missing.
        ValueError: nothing of the stream is converted.
    """
    made, pairs = words.format, words.converted(stream)
    if not len(pairs):
        raise ValueError("stream must have conversions, and nothing in it is converted")
    tables = [words.decoded(k) for k in range(len(words.tables))]
    netlist = synthesised(made)
    dump = nets_of(made, words.tables, tables, pairs, netlist_of(made))
    converting, writing = changes(dump, "loading")
    of, sums = pairs.T
    depths = np.stack([each.comparisons for each in tables])
    clocks = int(depths[of, sums - words.lowest].sum()) + len(pairs)
    begun = of[np.append(True, of[1:] != of[:-1])].tolist()
    written = sum(len(words.tables[t]) for t in begun) if made.word_bits else 0
    return Energy(
        taken_fj(netlist, converting) / clocks,
        taken_fj(netlist, writing) / written if written else 0.0,
        clocks / len(pairs),
    )


@dataclass(frozen=True)
class UnitEnergy:
    """What the units beside an array take, fJ.

    Attributes:
        count_fj: of counting the driven word-lines of a cycle.
        lookup_fj: of a look into the directory, its memory left out.
        load_fj: of a word that is loaded, memory and controllers left out.
    """

    count_fj: float
    lookup_fj: float
    load_fj: float


def units_on(words: LayerWords, rows: int, lines: np.ndarray) -> UnitEnergy:
    """What activity unit and loader take, cycle by cycle and slice by slice.

    Args:
        words: of a layer, that are not `plain`.
        rows: word-lines of an array.
        lines: which are driven in the phases of one input after another, bool (n, rows).

    Raises:
        RuntimeError: Icarus Verilog or Yosys is missing.
    """
    phases, slices = np.array(words.directory).shape[1:]
    cycles = np.arange(len(lines)).repeat(slices)
    at = np.tile(np.arange(slices), len(lines))
    least = np.full(len(cycles), max(words.lowest, 0))
    stream = np.stack([lines.sum(1)[cycles], cycles % phases, at, least], 1)
    units = {
        name: synthesised_unit(name, unit_parameters(name, words, rows))
        for name in ("activity_unit", "table_loader")
    }
    text = "\n".join([controller(words.format), *(unit.verilog for unit in units.values())])
    memory = source("table_loader")
    memory = memory[memory.index("module table_memory") :]
    text = "\n".join([text, memory, cell_models()])
    dump = nets_of_units(words, stream, rows, lines[cycles], text)
    counting = sum(changes(dump, "loading", "unit"), Counter[str]())
    looking, loading = changes(dump, "loading", "loader")
    of = words.converted(stream)[:, 0]
    again = np.append(False, of[1:] == of[:-1]) & (words.format.words > 1)
    loaded = sum(len(words.tables[table]) for table in of[~again].tolist())
    counts = 1 + int((lines[1:] != lines[:-1]).any(1).sum())
    return UnitEnergy(
        taken_fj(units["activity_unit"], counting) / counts,
        taken_fj(units["table_loader"], looking) / len(stream),
        taken_fj(units["table_loader"], loading) / max(loaded, 1),
    )


def taken_fj(netlist: Netlist, changed: Changes) -> float:
    """What a netlist takes for so many changes of its nets, fJ."""
    known = library()
    taken, inputs = 0.0, Counter[str]()
    load: dict[str, float] = defaultdict(float)  # fF
    for each in netlist.instances:
        cell = known.cells[each.cell]
        taken += cell.change_fj * changed[each.output]
        for pin, net in each.inputs.items():
            taken += cell.input_fj(pin) * changed[net]
            load[net] += cell.inputs_ff[pin]
            inputs[net] += 1
    return taken + sum(known.change_fj(load[net], n) * changed[net] for net, n in inputs.items())


def changes(dump: str, flag: str, scope: str = "controller") -> tuple[Changes, Changes]:
    """How often each net of a module changed: while a net of a dump was low, and while high."""
    head, _, body = dump.partition("$enddefinitions")
    nets: dict[str, list[tuple[str, int]]] = {}
    flags, sizes, inside = set(), {}, ""
    for module, bits, code, name in re.findall(
        r"\$scope \w+ (\S+)|\$var \w+ (\d+) (\S+) (\S+)", head
    ):
        inside = module or inside
        if code:
            sizes[code] = int(bits)
            if inside == scope:
                nets.setdefault(code, []).append((name.removeprefix("\\"), int(bits)))
            elif name == flag:
                flags.add(code)
    counts: tuple[Counter[tuple[str, int]], ...] = (Counter(), Counter())
    last: dict[str, str] = {}
    high = 0
    for code, given in _values(body):
        bits = sizes[code]
        value = given.rjust(bits, given[0] if given[0] in "xz" else "0")
        if code in flags:
            high = int(value == "1")
        for bit, (old, new) in enumerate(zip(last.get(code, value), value, strict=True)):
            counts[high][code, bits - 1 - bit] += old != new
        last[code] = value
    low, when_high = (_named(each, nets) for each in counts)
    return low, when_high


def _values(body: str) -> Iterator[tuple[str, str]]:
    """What changes, in order: code, and value in binary."""
    for line in body.splitlines():
        if line[:1] == "b":
            value, code = line[1:].split()
            yield code, value
        elif line[:1] in ("0", "1", "x", "z"):
            yield line[1:], line[0]


def _named(counts: Counter[tuple[str, int]], nets: dict[str, list[tuple[str, int]]]) -> Changes:
    found: Changes = Counter()
    for (code, bit), count in counts.items():
        for name, bits in nets.get(code, []):
            found[name if bits == 1 else f"{name}[{bit}]"] = count
    return found
