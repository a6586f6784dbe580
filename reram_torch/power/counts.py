"""What the crossbars of a layer did, event by event."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reram_torch.crossbar.geometry import Geometry, ceil_div

# ISAAC's ADC makes eight comparisons for every conversion, with 8 cycles of 8 slices.
BASELINE_COMPARISONS = 8
_BASELINE_SLICES_AND_CYCLES = 8 * 8
_BASELINE_ROWS = 128

# What a component can be charged by.
EVENTS = {
    "conversions": "bit-line sums converted",
    "comparisons": "A/D operations",
    "word_line_drives": "pulses on a word-line of an array",
    "dac_units": "the same, each weighed by the size of a DAC of its digit's width, 2^(width - 1)",
    "cell_reads": "cells that a driven word-line joins to a used bit-line",
    "sample_and_holds": "bit-line sums held for conversion",
    "shift_adds": "levels shifted and added",
    "input_register_bits": "input bits read for the word-lines of every array",
    "output_register_bytes": "partial results written after every cycle, bytes",
    "edram_bytes": "inputs read and results written, bytes",
    "array_cycles": "cycles of every array",
    "scale_multiplications": "inputs divided and results multiplied by a token's own scale",
    "center_multiplications": "sums of a tile's inputs multiplied by an output's center",
}


# Of them, what a configuration asks for beside the arrays; a technology may not know it.
DIGITAL = ("scale_multiplications", "center_multiplications")


def baseline_conversions(depth: int, results: int) -> int:
    """Conversions that the ISAAC baseline would have made for so many results of a layer.

    The baseline is the same network and batch on arrays of 128 word-lines, with offset encoding,
    1-bit cells and DACs, 8-bit weights and inputs, whatever the arrays in use.

    Args:
        depth: K.
        results: outputs of all positions, M G N.
    """
    return results * _BASELINE_SLICES_AND_CYCLES * ceil_div(depth, _BASELINE_ROWS)


@dataclass(frozen=True, eq=False)
class LayerMapping:
    """How a layer lies on arrays.

    Attributes:
        geometry: of the layer.
        groups: G, each with arrays of its own.
        outputs: N, of a group.
        depth: K, word-lines of a group.
        present: which slices exist: some cell of theirs holds something, bool (J,).
    """

    geometry: Geometry
    groups: int
    outputs: int
    depth: int
    present: np.ndarray

    @property
    def tiles(self) -> int:
        """T, arrays that the word-lines of a group take."""
        return self.geometry.tiles(self.depth)

    @property
    def bit_lines(self) -> int:
        """Bit-lines of a group: a column for each slice of each output, and its opposite's."""
        return self.outputs * int(self.present.sum()) * self.geometry.bit_lines

    @property
    def arrays_across(self) -> int:
        """Arrays side by side that the bit-lines of a group take."""
        return max(ceil_div(self.bit_lines, self.geometry.cols), 1)

    @property
    def arrays(self) -> int:
        """Arrays of the layer."""
        return self.groups * self.tiles * self.arrays_across

    @property
    def cells(self) -> int:
        """Cells of the layer's arrays."""
        return self.arrays * self.geometry.rows * self.geometry.cols

    @property
    def cells_used(self) -> int:
        """Those that hold a slice of a weight."""
        return self.groups * self.depth * self.bit_lines

    @property
    def utilisation(self) -> float:
        """Cells in use, over those of the layer's arrays."""
        return self.cells_used / self.cells


@dataclass(frozen=True, eq=False)
class LayerCounts(LayerMapping):
    """Counts of one layer, by cycle and slice, and what follows from them and from its mapping.

    Attributes:
        conversions: bit-line sums whose conversion started, int64 (I + R, J): with speculation,
            recoveries by input bit after the cycles.
        comparisons: A/D operations made, (I + R, J).
        skipped: bit-line sums whose conversion did not: no word-line is driven, or their table has
            one level for all, (I + R, J); none of a recovery, which is of a sum that started.
        driven: how many tile-cycles drove exactly so many word-lines, in one array of each tile,
            (I + R, rows + 1).
        by_token: each position has an input scale of its own.
        line_us: on a chip, what all cells on a driven word-line conduct, in the mean, uS.
    """

    conversions: np.ndarray
    comparisons: np.ndarray
    skipped: np.ndarray
    driven: np.ndarray
    by_token: bool = False
    line_us: float | None = None

    @property
    def positions(self) -> int:
        """M, how often the layer's arrays were used with one input."""
        return int(self.driven[0].sum()) // (self.groups * self.tiles * self.geometry.passes)

    @property
    def passes(self) -> int:
        """How often inputs were applied: each once, or once with either sign."""
        return self.positions * self.geometry.passes

    @property
    def macs(self) -> int:
        """Multiply-accumulates: K for each position and output."""
        return self.positions * self.groups * self.outputs * self.depth

    # --- the events ---

    @property
    def sums(self) -> int:
        """Bit-line sums, converted or skipped; not those of recoveries."""
        return int((self.conversions + self.skipped)[: self.geometry.cycles].sum())

    @property
    def driven_again(self) -> int:
        """Tiles driven for a bit, to recover sums."""
        return int(self.driven[self.geometry.cycles :].sum())

    @property
    def baseline_comparisons(self) -> int:
        """A/D operations of the ISAAC baseline."""
        results = self.positions * self.groups * self.outputs
        return baseline_conversions(self.depth, results) * BASELINE_COMPARISONS

    @property
    def drives(self) -> np.ndarray:
        """Word-lines driven, by cycle and recovered bit, in one array of each tile, (I + R,)."""
        found: np.ndarray = self.driven @ np.arange(self.driven.shape[1])
        return found

    @property
    def word_line_drives(self) -> np.ndarray:
        """Pulses on word-lines, by cycle, (I,): every array across has DACs of its own."""
        return self.drives * self.arrays_across

    @property
    def dac_units(self) -> int:
        """Pulses on word-lines, each weighed by the part of its DAC that its digit takes.

        That doubles with each bit; a recovery drives single bits.
        """
        g = self.geometry
        widths = np.array(g.dac_widths + (1,) * g.recoveries)
        return int(self.word_line_drives @ (1 << (widths - 1)))

    @property
    def cell_reads(self) -> np.ndarray:
        """Cells on driven word-lines and used bit-lines, by cycle and slice, (I, J)."""
        each = self.outputs * self.geometry.bit_lines * self.present
        found: np.ndarray = self.drives[:, None] * each
        return found

    def reads_of(self, cell_us: float | None) -> float:
        """Cells read; on a chip, how many of this conductance would conduct as much, uS."""
        if cell_us is None or self.line_us is None:
            return float(self.cell_reads.sum())
        return float(self.drives.sum()) * self.line_us / cell_us

    @property
    def input_register_bits(self) -> int:
        """What the word-lines' drivers read: a cycle's bits for each word-line and array across.

        A recovery reads a bit for all word-lines of a tile, taken for as many as a full one has.
        """
        bits = self.passes * self.groups * self.depth * sum(self.geometry.dac_widths)
        again = self.driven_again * min(self.geometry.rows, self.depth)
        return (bits + again) * self.arrays_across

    @property
    def output_register_bytes(self) -> int:
        """Partial results written: one for each output and tile after each cycle."""
        results = self.passes * self.groups * self.tiles * self.geometry.cycles + self.driven_again
        return results * self.outputs * self._result_bytes

    @property
    def _result_bytes(self) -> int:
        """Bytes of a partial result that loses nothing."""
        g = self.geometry
        rows = min(g.rows, self.depth)
        return ceil_div(g.weight_bits + g.code_bits + (rows - 1).bit_length(), 8)

    @property
    def edram_bytes(self) -> int:
        """Input codes read once a position, for all arrays on the bus, and result codes written."""
        code = ceil_div(self.geometry.code_bits, 8)
        return self.positions * self.groups * (self.depth + self.outputs) * code

    @property
    def array_cycles(self) -> int:
        """Cycles of every array of the layer, and of those that are driven again."""
        again = self.driven_again * self.arrays_across
        return self.passes * self.arrays * self.geometry.cycles + again

    @property
    def scale_multiplications(self) -> int:
        """Inputs and results of positions with scales of their own."""
        return self.positions * self.groups * (self.depth + self.outputs) * self.by_token

    @property
    def center_multiplications(self) -> int:
        """One for each result of a tile, where weights have centers."""
        return self.passes * self.groups * self.outputs * self.tiles * self.geometry.centered

    def events(self) -> dict[str, int]:
        """How often each of `EVENTS` happened."""
        conversions = int(self.conversions.sum())
        return {
            "conversions": conversions,
            "comparisons": int(self.comparisons.sum()),
            "word_line_drives": int(self.word_line_drives.sum()),
            "dac_units": self.dac_units,
            "cell_reads": int(self.cell_reads.sum()),
            "sample_and_holds": conversions,
            "shift_adds": conversions,
            "input_register_bits": self.input_register_bits,
            "output_register_bytes": self.output_register_bytes,
            "edram_bytes": self.edram_bytes,
            "array_cycles": self.array_cycles,
            "scale_multiplications": self.scale_multiplications,
            "center_multiplications": self.center_multiplications,
        }

    def by_plain_sar(self, bits: int) -> LayerCounts:
        """The same arrays with a plain SAR ADC: every sum is converted, in `bits` comparisons."""
        sums = (self.conversions + self.skipped) * self._of_cycles
        return replace(
            self,
            conversions=sums,
            comparisons=sums * bits,
            skipped=np.zeros_like(sums),
            driven=self.driven * self._of_cycles,
        )

    @property
    def _of_cycles(self) -> np.ndarray:
        """1 for a cycle and 0 for a recovery, (I + R, 1)."""
        found: np.ndarray = np.arange(self.geometry.phases)[:, None] < self.geometry.cycles
        return found

    def by_activity_sar(self) -> LayerCounts:
        """The same arrays with `ActivitySAR()`: as many comparisons as driven word-lines ask for.

        Sums of n of them reach n times what one adds at most; where none is driven, nothing is
        converted.
        """
        g = self.geometry
        reach = np.arange(g.rows + 1)[:, None, None] * g.largest_sums(1)  # (rows + 1, I + R, J)
        reach = np.minimum(reach, g.highest)
        bits = np.frexp(reach.astype(float))[1] + (g.signed & (reach > 0))  # the bits of a number
        each, driven = self.outputs * len(g.signs) * self.present, self.driven * self._of_cycles
        return replace(
            self,
            conversions=each * driven[:, 1:].sum(1, keepdims=True),
            comparisons=each * np.einsum("in,nij->ij", driven, bits),
            skipped=each * driven[:, :1],
            driven=driven,
        )
