"""How a layer lies on crossbars: slices, cycles, tiles, and the cells that weights become."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from reram_torch.config.sections import ENCODINGS, Config, largest_sum

COLUMNS = 64  # bit-lines of a block of cells
LANES = 8  # words of a word-line, one for each slice


def ceil_div(a: int, b: int) -> int:
    """A / b, rounded up."""
    return -(-a // b)


def sizes(u: torch.Tensor) -> tuple[int, int, int]:
    """M, G and K of input codes: (M, G, K), or windows (M0, M1, M2, G, K0, K1, K2) of codes."""
    if u.dim() == 3:
        M, G, K = u.shape
        return M, G, K
    return math.prod(u.shape[:3]), u.shape[3], math.prod(u.shape[4:])


@dataclass(frozen=True)
class Geometry:
    """The numbers of a layer that the arithmetic depends on, all whole.

    `encoding` is an index into `config.ENCODINGS`. Unlike a config, a geometry may hold 1-bit
    weights: the arithmetic is defined for every code from -2^(b-1) to 2^(b-1) - 1. An input is
    applied in one pass; in two, positive codes and then negative ones, whose results are
    subtracted, `input_bits` are those of a code's magnitude, without its sign.
    """

    rows: int
    cols: int
    cell_bits: int
    dac_bits: int
    weight_bits: int
    input_bits: int
    encoding: int
    passes: int = 1

    @classmethod
    def of(cls, config: Config, *, signed_inputs: bool = False) -> Geometry:
        """The geometry of a configuration, with affine or with sign-magnitude input codes."""
        bar = config.crossbar
        return cls(
            bar.rows,
            bar.cols,
            bar.cell_bits,
            bar.dac_bits,
            config.weights.bits,
            config.inputs.bits - signed_inputs,
            ENCODINGS.index(config.weights.encoding),
            1 + signed_inputs,
        )

    def as_list(self) -> list[int]:
        """The fields in order, as operators take them."""
        return [
            self.rows, self.cols, self.cell_bits, self.dac_bits,
            self.weight_bits, self.input_bits, self.encoding, self.passes,
        ]  # fmt: skip

    @property
    def signed(self) -> bool:
        """Whether bit-line sums can be negative (one conversion of a difference)."""
        return ENCODINGS[self.encoding] == "differential"

    @property
    def offset(self) -> bool:
        """Whether weights are stored with 2^(b-1) added."""
        return ENCODINGS[self.encoding] == "offset"

    @property
    def signs(self) -> tuple[int, ...]:
        """The sign in the shift-add of each conversion that one slice of one output needs."""
        return (1, -1) if ENCODINGS[self.encoding] == "dual" else (1,)

    @property
    def slices(self) -> int:
        """J, the cells of a weight."""
        return ceil_div(self.weight_bits, self.cell_bits)

    @property
    def cycles(self) -> int:
        """I, the input cycles of a pass."""
        return ceil_div(self.input_bits, self.dac_bits)

    @property
    def signed_inputs(self) -> bool:
        """Whether input codes have a sign, and are applied in two passes."""
        return self.passes == 2

    @property
    def input_span(self) -> tuple[int, int]:
        """The lowest and the highest input code."""
        most = 2**self.input_bits - 1
        return -most if self.signed_inputs else 0, most

    @property
    def code_bits(self) -> int:
        """Bits of an input code, its sign included."""
        return self.input_bits + self.signed_inputs

    @property
    def highest(self) -> int:
        """R, the largest bit-line sum."""
        return self.largest_sum(self.rows)

    def largest_sum(self, driven: int) -> int:
        """The largest bit-line sum of so many driven word-lines."""
        return largest_sum(driven, self.cell_bits, self.dac_bits)

    @property
    def lowest(self) -> int:
        """The smallest bit-line sum: -R for a difference, else 0."""
        return -self.highest if self.signed else 0

    @property
    def values(self) -> int:
        """V, how many bit-line sums there can be."""
        return self.highest - self.lowest + 1

    @property
    def bit_lines(self) -> int:
        """Bit-lines that hold one slice of one output: one, or a pair for the two signs."""
        return 1 if self.offset else 2

    def significance(self, cycle: int, part: int) -> int:
        """What a level of a cycle and a slice counts for in the shift-add."""
        return 1 << (cycle * self.dac_bits + part * self.cell_bits)

    def significances(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """The same for all, int64 (I, J)."""
        rows = [[self.significance(i, j) for j in range(self.slices)] for i in range(self.cycles)]
        return torch.tensor(rows, device=device)

    def tiles(self, depth: int) -> int:
        """T, the tiles that `depth` word-lines take."""
        return ceil_div(depth, self.rows)

    def conversions_per_cycle(self, depth: int, positions: int, outputs: int) -> int:
        """Bit-line sums of a slice in a cycle: M * N * T, by pass and by separate conversion."""
        return positions * self.passes * outputs * self.tiles(depth) * len(self.signs)

    def sums(self, depth: int, positions: int, outputs: int) -> int:
        """Bit-line sums of all slices in all cycles."""
        return self.conversions_per_cycle(depth, positions, outputs) * self.slices * self.cycles

    def cells_shape(self, groups: int, outputs: int, depth: int) -> tuple[int, ...]:
        """Shape of the programmed cells, (G, T, B, P, R + 1, 8): see csrc/reram_crossbar.h."""
        planes = self.cell_bits * self.bit_lines
        blocks = ceil_div(outputs, COLUMNS)
        return (groups, self.tiles(depth), blocks, planes, min(self.rows, depth) + 1, LANES)
