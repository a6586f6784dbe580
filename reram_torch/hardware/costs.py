"""What controllers and the units beside an array cost: gates, area, leakage, depth, energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reram_torch.hardware.controllers import entry_bits, unit_parameters
from reram_torch.hardware.energy import energy_on, units_on
from reram_torch.hardware.gates import synthesised, synthesised_unit
from reram_torch.hardware.loading import LayerWords


@dataclass(frozen=True)
class ControllerCost:
    """A layer's controller in the library's process (45 nm, 1.1 V, 25 C), on real conversions.

    Attributes:
        kind: of the controller.
        bits: of its codes.
        signed: codes can be negative.
        words: of its largest table, which its latches hold.
        word_bits: of a word.
        gates: in two-input NAND gates, without the latches of words.
        gates_with_words: likewise, with them.
        flip_flops: how many it has.
        latches: those of words, and those that gate clocks.
        depth: cells one after another on the longest path, words included.
        area_um2: of cells, with the latches of words, um2.
        leakage_nw: likewise, nW.
        clock_fj: mean of a clock, fJ.
        write_fj: of a word that is written into its latches, fJ.
        clocks: of a mean conversion.
    """

    kind: str
    bits: int
    signed: bool
    words: int
    word_bits: int
    gates: float
    gates_with_words: float
    flip_flops: int
    latches: int
    depth: int
    area_um2: float
    leakage_nw: float
    clock_fj: float
    write_fj: float
    clocks: float

    @property
    def name(self) -> str:
        """The kind, and whether codes can be negative."""
        return f"{self.kind}, signed" if self.signed else self.kind


@dataclass(frozen=True)
class UnitsCost:
    """The units beside an array, likewise; memories of tables and directory are not in it.

    Attributes:
        rows: word-lines of the array.
        counter_gates: of the activity unit, in two-input NAND gates.
        counter_area_um2, counter_leakage_nw, counter_depth: likewise.
        count_fj: of counting the driven word-lines of a cycle, fJ.
        loader_gates: of what loads words.
        loader_area_um2, loader_leakage_nw, loader_depth: likewise.
        lookup_fj: of a look into the directory, fJ.
        load_fj: of a word that is loaded, fJ.
        memory_bits: of the tables; 0 where every table is one word, which the directory holds.
        directory_bits: of the directory.
    """

    rows: int
    counter_gates: float
    counter_area_um2: float
    counter_leakage_nw: float
    counter_depth: int
    count_fj: float
    loader_gates: float
    loader_area_um2: float
    loader_leakage_nw: float
    loader_depth: int
    lookup_fj: float
    load_fj: float
    memory_bits: int
    directory_bits: int


def controller_cost(words: LayerWords, stream: np.ndarray) -> ControllerCost:
    """What a layer's controller costs.

    Args:
        words: of the layer.
        stream: conversions in order, as `real_conversions` gives them.

    Raises:
        RuntimeError: Icarus Verilog or Yosys is missing.
        ValueError: nothing of the stream is converted.
    """
    made, whole = words.format, synthesised(words.format)
    energy = energy_on(words, stream)
    return ControllerCost(
        f"{made.kind}_aligned" if made.aligned else made.kind, made.bits, made.signed, made.words,
        made.word_bits, synthesised(made, bare=True).gates, whole.gates, whole.flip_flops,
        whole.latches, whole.depth, whole.area_um2, whole.leakage_nw, energy.clock_fj,
        energy.write_fj, energy.clocks,
    )  # fmt: skip


def units_cost(words: LayerWords, rows: int, lines: np.ndarray) -> UnitsCost:
    """What activity unit and loader of a layer's arrays cost.

    Args:
        words: of the layer, that are not `plain`.
        rows: word-lines of an array.
        lines: which are driven in the phases of one input after another, bool (n, rows), as
            `driven_lines` gives them.

    Raises:
        RuntimeError: Icarus Verilog or Yosys is missing.
    """
    sizes = unit_parameters("table_loader", words, rows)
    loader = synthesised_unit("table_loader", sizes)
    counter = synthesised_unit("activity_unit", unit_parameters("activity_unit", words, rows))
    energy = units_on(words, rows, lines)
    stored = 0 if sizes["DIRECT"] else sum(map(len, words.tables)) * int(sizes["WORD"])
    return UnitsCost(
        rows, counter.gates, counter.area_um2, counter.leakage_nw, counter.depth, energy.count_fj,
        loader.gates, loader.area_um2, loader.leakage_nw, loader.depth, energy.lookup_fj,
        energy.load_fj, stored, entry_bits(sizes) << int(sizes["KEY"]),
    )  # fmt: skip
