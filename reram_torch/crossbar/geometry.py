"""How a layer lies on crossbars: slices, cycles, tiles, and the cells that weights become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from reram_torch.adc.base import MAX_BITS
from reram_torch.config.sections import BALANCED, ENCODINGS, Config, largest_sum

COLUMNS = 64  # bit-lines of a block of cells
LANES = 8  # words of a word-line, one for each slice


_DIGIT = 4  # bits of a width in a number


def _digits(number: int) -> tuple[int, ...]:
    """Widths from the number that `Geometry.as_list` makes of them."""
    found = []
    while number:
        found.append(number % (1 << _DIGIT))
        number >>= _DIGIT
    return tuple(found)


def bit_places(widths: tuple[int, ...]) -> list[tuple[int, int]]:
    """Of groups of bits, the least significant first: how many lie below, and a mask of its own."""
    return [(sum(widths[:k]), 2**width - 1) for k, width in enumerate(widths)]


def _most(widths: tuple[int, ...]) -> np.ndarray:
    """The largest number of each width."""
    return np.array([2**width - 1 for width in widths], dtype=np.int64)


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

    Widths are those of a slice's cells and of a cycle's inputs, the least significant first.
    `encoding` is an index into `config.ENCODINGS`. Unlike a config, a geometry may hold 1-bit
    weights: the arithmetic is defined for every code from -2^(b-1) to 2^(b-1) - 1. An input is
    applied in one pass; in two, positive codes and then negative ones, whose results are
    subtracted, `input_bits` are those of a code's magnitude, without its sign. `centered`: cells
    hold weights less their centers. `speculation`: a sum that its ADC finds too large is recovered:
    the bits of its cycle are applied one by one, and their sums converted in its place.
    """

    rows: int
    cols: int
    cell_widths: tuple[int, ...]
    dac_widths: tuple[int, ...]
    weight_bits: int
    input_bits: int
    encoding: int
    passes: int = 1
    centered: bool = False
    speculation: bool = False

    @classmethod
    def of(cls, config: Config, *, signed_inputs: bool = False) -> Geometry:
        """The geometry of a configuration, with affine or with sign-magnitude input codes."""
        bar, bits = config.crossbar, config.inputs.bits - signed_inputs
        return cls(
            bar.rows,
            bar.cols,
            bar.cell_widths(config.weights.bits),
            bar.dac_widths(bits),
            config.weights.bits,
            bits,
            ENCODINGS.index(config.weights.encoding),
            1 + signed_inputs,
            config.weights.center == BALANCED,
            bar.speculation,
        )

    def as_list(self) -> list[int]:
        """The fields in order, as operators take them: widths are digits of one number."""
        cells, pulses = (
            sum(width << _DIGIT * k for k, width in enumerate(widths))
            for widths in (self.cell_widths, self.dac_widths)
        )
        return [
            self.rows, self.cols, cells, pulses,
            self.weight_bits, self.input_bits, self.encoding, self.passes,
            int(self.centered), int(self.speculation),
        ]  # fmt: skip

    @classmethod
    def of_list(cls, numbers: Sequence[int]) -> Geometry:
        """The inverse of `as_list`."""
        rows, cols, cells, pulses, weight_bits, input_bits, encoding, passes, *flags = numbers
        widths = _digits(cells), _digits(pulses)
        others = weight_bits, input_bits, encoding, passes
        return cls(rows, cols, *widths, *others, *(bool(flag) for flag in flags))

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
        return len(self.cell_widths)

    @property
    def cycles(self) -> int:
        """I, the input cycles of a pass."""
        return len(self.dac_widths)

    @property
    def recoveries(self) -> int:
        """R, the input bits whose sums may be converted one by one; 0 without speculation."""
        return self.input_bits if self.speculation else 0

    @property
    def phases(self) -> int:
        """I + R: the cycles, and then the recoveries by input bit."""
        return self.cycles + self.recoveries

    def recovered_bits(self, cycle: int) -> range:
        """The input bits that a recovery of a cycle applies one by one: none of a single one."""
        first = sum(self.dac_widths[:cycle])
        last = min(first + self.dac_widths[cycle], self.input_bits)
        return range(first, last if self.speculation and self.dac_widths[cycle] > 1 else first)

    @property
    def cell_bits(self) -> int:
        """Bits of the widest cell."""
        return max(self.cell_widths)

    @property
    def dac_bits(self) -> int:
        """Bits of the widest cycle."""
        return max(self.dac_widths)

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
        """The largest bit-line sum; with speculation, the largest that an ADC of 16 bits tells."""
        largest = self.largest_sum(self.rows)
        return min(largest, 2 ** (MAX_BITS - self.signed) - 1) if self.speculation else largest

    def largest_sum(self, driven: int) -> int:
        """The largest bit-line sum of so many driven word-lines."""
        return largest_sum(driven, self.cell_bits, self.dac_bits)

    def largest_sums(self, driven: int) -> np.ndarray:
        """The same of each cycle and slice, and of recoveries, int64 (I + R, J)."""
        pulses = _most(self.dac_widths + (1,) * self.recoveries)
        found: np.ndarray = driven * np.outer(pulses, _most(self.cell_widths))
        return found

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

    def significances(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """What a level counts for in the shift-add, by cycle and then recovered bit, and by slice.

        Returns:
            int64 (I + R, J).
        """
        below = [*(1 << sum(self.dac_widths[:i]) for i in range(self.cycles))]
        below += [1 << bit for bit in range(self.recoveries)]
        cells = [1 << sum(self.cell_widths[:j]) for j in range(self.slices)]
        return torch.tensor(np.outer(below, cells), device=device)

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
