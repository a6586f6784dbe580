"""How a layer lies on crossbars: slices, cycles, tiles, and the cells that weights become."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch

from reram_torch.config import ENCODINGS, Config

COLUMNS = 64  # bit-lines of a block of cells
LANES = 8  # words of a word-line, one for each slice


def ceil_div(a: int, b: int) -> int:
    """A / b, rounded up."""
    return -(-a // b)


def sizes(u: torch.Tensor) -> tuple[int, int, int]:
    """M, G and K of input codes: (M, G, K), or windows (M0, M1, M2, G, K0, K1, K2) of codes."""
    if u.dim() == 3:
        return tuple(u.shape)
    return math.prod(u.shape[:3]), u.shape[3], math.prod(u.shape[4:])


@dataclass(frozen=True)
class Geometry:
    """The numbers that the arithmetic depends on (DESIGN, section 2), all whole.

    `encoding` is an index into `config.ENCODINGS`. Unlike a config, a geometry may hold 1-bit
    weights: the arithmetic is defined for every code from -2^(b-1) to 2^(b-1) - 1.
    """

    rows: int
    cols: int
    cell_bits: int
    dac_bits: int
    weight_bits: int
    input_bits: int
    encoding: int

    @classmethod
    def of(cls, config: Config) -> Geometry:
        """The geometry of a configuration."""
        bar = config.crossbar
        return cls(
            bar.rows,
            bar.cols,
            bar.cell_bits,
            bar.dac_bits,
            config.weights.bits,
            config.inputs.bits,
            ENCODINGS.index(config.weights.encoding),
        )

    def as_list(self) -> list[int]:
        """The fields in order, as operators take them."""
        return [
            self.rows, self.cols, self.cell_bits, self.dac_bits,
            self.weight_bits, self.input_bits, self.encoding,
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
        """I, the input cycles."""
        return ceil_div(self.input_bits, self.dac_bits)

    @property
    def highest(self) -> int:
        """R, the largest bit-line sum."""
        return self.rows * (2**self.cell_bits - 1) * (2**self.dac_bits - 1)

    @property
    def lowest(self) -> int:
        """The smallest bit-line sum: -R for a difference, else 0."""
        return -self.highest if self.signed else 0

    def tiles(self, depth: int) -> int:
        """T, the tiles that `depth` word-lines take."""
        return ceil_div(depth, self.rows)

    def conversions_per_cycle(self, depth: int, positions: int, outputs: int) -> int:
        """Conversions of a slice in a cycle: M * N * T, twice that with separate conversions."""
        return positions * outputs * self.tiles(depth) * len(self.signs)

    def cells_shape(self, groups: int, outputs: int, depth: int) -> tuple[int, ...]:
        """Shape of the programmed cells, (G, T, B, P, R + 1, 8): see csrc/reram_crossbar.h."""
        planes = self.cell_bits * (1 if self.offset else 2)
        blocks = ceil_div(outputs, COLUMNS)
        return (groups, self.tiles(depth), blocks, planes, min(self.rows, depth) + 1, LANES)


class AdcTables(NamedTuple):
    """The ADCs of a layer as look-up tables, and which of them converts what.

    Attributes:
        levels: decoded level by table and bit-line sum (from `geometry.lowest`), int32 (n, V).
        comparisons: A/D operations, uint8 (n, V).
        edges: fewest driven word-lines of each activity bucket, rising from 0, int32 (B,).
        index: which table converts, by activity bucket, cycle and slice, int32 (B, I, J). -1, in a
            bucket of no driven word-line only: nothing is converted, the level is 0.
    """

    levels: torch.Tensor
    comparisons: torch.Tensor
    edges: torch.Tensor
    index: torch.Tensor


def no_counts(geometry: Geometry, device=None) -> tuple[torch.Tensor, torch.Tensor]:
    """Counts (3, I, J) and word-line drives (I,), all zero."""
    counts = torch.zeros(3, geometry.cycles, geometry.slices, dtype=torch.int64, device=device)
    return counts, counts.new_zeros(geometry.cycles)


def check_cells(
    geometry: Geometry, cells: torch.Tensor, groups: int, outputs: int, depth: int
) -> None:
    """Raises ValueError if programmed cells have a wrong type or shape."""
    expected = geometry.cells_shape(groups, outputs, depth)
    if cells.dtype != torch.int64 or cells.shape != expected:
        raise ValueError(
            f"cells must be int64 of shape {expected}, not {cells.dtype} of {tuple(cells.shape)}"
        )


def check_table_shapes(geometry: Geometry, tables: AdcTables) -> None:
    """Raises ValueError if a table has a wrong type or shape."""
    wanted = _table_shapes(geometry, tables.levels.shape[0], tables.edges.shape[0])
    for (name, dtype, shape), value in zip(wanted, tables, strict=True):
        if value.dtype != dtype or value.shape != shape:
            raise ValueError(
                f"{name} must be {dtype} of shape {shape}, "
                f"not {value.dtype} of {tuple(value.shape)}"
            )


@cache
def _table_shapes(geometry: Geometry, n: int, buckets: int) -> tuple[tuple, ...]:
    values = geometry.highest - geometry.lowest + 1
    return (
        ("levels", torch.int32, (n, values)),
        ("comparisons", torch.uint8, (n, values)),
        ("edges", torch.int32, (buckets,)),
        ("index", torch.int32, (buckets, geometry.cycles, geometry.slices)),
    )


def check_tables(geometry: Geometry, tables: AdcTables) -> None:
    """Everything about tables that the backends take for granted.

    Raises:
        ValueError: a wrong type or shape, edges that do not rise from 0, or an index out of range.
    """
    check_table_shapes(geometry, tables)
    n, B = len(tables.levels), len(tables.edges)
    edges = tables.edges.tolist()
    if not edges or edges[0] != 0 or edges != sorted(set(edges)) or B > 255:
        raise ValueError(f"edges must rise from 0, 255 at most, not {edges}")
    lowest = -1 if B > 1 and edges[1] == 1 else 0
    first, rest = tables.index[:1], tables.index[1:]
    if int(tables.index.max()) >= n or int(first.min()) < lowest or (B > 1 and int(rest.min()) < 0):
        raise ValueError(
            f"index must be from 0 to {n - 1}, or -1 in a bucket of no driven word-line"
        )


def check_accumulator(geometry: Geometry, depth: int, tables: AdcTables) -> None:
    """Refuses tables whose shift-add could leave 32 bits.

    Args:
        geometry: of the layer.
        depth: K.
        tables: of the layer.

    Raises:
        ValueError: some input could overflow the accumulator.
    """
    zero = torch.zeros(1, dtype=torch.int32, device=tables.levels.device)  # what -1 decodes to
    low = torch.cat([tables.levels.amin(1), zero])[tables.index.long()]  # (B, I, J)
    high = torch.cat([tables.levels.amax(1), zero])[tables.index.long()]
    significance = torch.tensor(
        [
            [2 ** (i * geometry.dac_bits + j * geometry.cell_bits) for j in range(geometry.slices)]
            for i in range(geometry.cycles)
        ],
        device=low.device,
    )
    least = most = 0
    for sign in geometry.signs:
        a, b = (sign * low.long(), sign * high.long())
        least += int((torch.minimum(a, b).amin(0) * significance).sum())
        most += int((torch.maximum(a, b).amax(0) * significance).sum())
    tiles = geometry.tiles(depth)
    offset = depth * (2**geometry.input_bits - 1) * 2 ** (geometry.weight_bits - 1)
    least = least * tiles - (offset if geometry.offset else 0)
    if least < -(2**31) or most * tiles >= 2**31:
        raise ValueError(
            f"a reduction over {depth} inputs could overflow the 32-bit accumulator "
            f"({least} to {most * tiles}); split the layer, use fewer bits, or skip it"
        )


def encode(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Unsigned values that a weight's cells hold: (signs or 1, ...) planes of `codes`.

    One plane of q + 2^(b-1) for `offset`; else the positive and the negative magnitudes.
    """
    codes = codes.to(torch.int32)
    if geometry.offset:
        return (codes + 2 ** (geometry.weight_bits - 1)).unsqueeze(0)
    return torch.stack([codes.clamp(min=0), (-codes).clamp(min=0)])


def program(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Packs weight codes, int8 (G, N, K), into the bits of their cells.

    Returns:
        int64 of shape `geometry.cells_shape(G, N, K)`.
    """
    G, N, K = codes.shape
    _, T, B, _, lines, _ = geometry.cells_shape(G, N, K)
    J, C = geometry.slices, geometry.cell_bits
    values = encode(codes, geometry)
    S = len(values)
    shifts = torch.arange(J * C, device=codes.device, dtype=torch.int32).view(1, -1, 1, 1, 1)
    bits = (values.unsqueeze(1) >> shifts & 1).to(torch.int64)
    height = lines - 1
    padded = bits.new_zeros(S, J * C, G, B * COLUMNS, T * height)
    padded[..., :N, :K] = bits
    padded = padded.view(S, J, C, G, B, COLUMNS, T, height)
    weights = torch.ones(COLUMNS, dtype=torch.int64, device=codes.device)
    weights <<= torch.arange(COLUMNS, device=codes.device)
    words = (padded * weights.view(-1, 1, 1)).sum(5)
    cells = bits.new_zeros(G, T, B, S, C, lines, LANES)
    cells[..., :height, :J] = words.permute(3, 5, 4, 0, 2, 6, 1)
    return cells.view(geometry.cells_shape(G, N, K))


def read_back(cells: torch.Tensor, geometry: Geometry, outputs: int, depth: int) -> torch.Tensor:
    """The inverse of `program`: weight codes, int16 (G, N, K), from programmed cells."""
    G, T, B, P, lines, _ = cells.shape
    J, C = geometry.slices, geometry.cell_bits
    shifts = torch.arange(COLUMNS, device=cells.device)
    words = cells[..., :-1, :J].view(G, T, B, P // C, C, lines - 1, J)
    bits = words.unsqueeze(-1) >> shifts & 1
    planes = bits.permute(3, 6, 4, 0, 2, 7, 1, 5).reshape(
        P // C, J * C, G, B * COLUMNS, T * (lines - 1)
    )
    weights = 2 ** torch.arange(J * C, device=cells.device).view(1, -1, 1, 1, 1)
    values = (planes[..., :outputs, :depth] * weights).sum(1).to(torch.int16)
    if geometry.offset:
        return values[0] - 2 ** (geometry.weight_bits - 1)
    return values[0] - values[1]
