"""The definition: what a crossbar computes, in plain torch, for every geometry.

Every other backend must return the same integers. Shapes: M positions, G groups, K inputs and N
outputs per group, I cycles, R recovered bits, J slices, V possible bit-line sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import torch

from reram_torch.crossbar.cells import encode
from reram_torch.crossbar.chips import Chip
from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import Geometry, bit_places, sizes
from reram_torch.crossbar.odds import Odds
from reram_torch.crossbar.tables import ESCAPE, AdcTables, check_accumulator
from reram_torch.ops.arrays_by_odds import Errors
from reram_torch.ops.arrays_of_chips import ChipArrays


@dataclass(frozen=True)
class Phase:
    """What one cycle, or one bit of a recovery, makes of a tile.

    Attributes:
        index: of the cycle, or of the recovery after all cycles.
        activity: driven word-lines, int64 (G, M, 1).
        sums: bit-line sums by slice and by sign of the shift-add, int64 (G, M, N). Those beyond the
            tables count as the last ones there, as devices that are not ideal make them.
        recoverable: those beyond the tables are recovered.
    """

    index: int
    activity: torch.Tensor
    sums: list[list[torch.Tensor]]
    recoverable: bool = False


class Arrays(Protocol):
    """What gives bit-line sums."""

    def sums(
        self, pulses: torch.Tensor, activity: torch.Tensor, tile: int, phase: int
    ) -> list[list[torch.Tensor]]:
        """Of a tile that word-lines drive, as a `Phase` has them."""

    def disturb(self, tile: int, cycles: list[Phase]) -> None:
        """Changes sums of a tile's cycles once all are known."""


class IdealArrays:
    """Cells that hold just their digits.

    Args:
        codes: weight codes, (G, N, K).
        geometry: of the layer.
        errors: that are drawn for what is read of them, if any.
    """

    def __init__(self, codes: torch.Tensor, geometry: Geometry, errors: Errors | None = None):
        self.geometry, self.cells, self.errors = geometry, encode(codes, geometry), errors

    def sums(
        self, pulses: torch.Tensor, activity: torch.Tensor, tile: int, phase: int
    ) -> list[list[torch.Tensor]]:
        """Products of digits, added up: `activity` and `phase` make no difference."""
        g, found = self.geometry, []
        rows = slice(tile * g.rows, (tile + 1) * g.rows)
        driven = pulses.double()  # products in float64: exact, and far faster than of integers
        for below, mask in bit_places(g.cell_widths):
            stored = (self.cells[..., rows] >> below & mask).double()
            pair = [(driven @ part.transpose(1, 2)).long() for part in stored]
            found.append([pair[0] - pair[1]] if g.signed else pair)
        return found

    def disturb(self, tile: int, cycles: list[Phase]) -> None:
        """Changes sums of a tile that are read as others."""
        if self.errors is not None:
            activity = [cycle.activity for cycle in cycles]
            self.errors.disturb(tile, activity, [cycle.sums for cycle in cycles])


def arrays_of(
    u: torch.Tensor, codes: torch.Tensor, geometry: Geometry, chip: Chip | Odds | None
) -> Arrays:
    """The arrays of a layer: of a chip, or ideal ones.

    Args:
        u: input codes (M, G, K).
        codes: weight codes, (G, N, K).
        geometry: of the layer.
        chip: what it is programmed on, if devices are not ideal.
    """
    if chip is None:
        return IdealArrays(codes, geometry)
    if isinstance(chip, Odds):
        return IdealArrays(codes, geometry, Errors(chip, geometry, u.shape[2]))
    return ChipArrays(chip, geometry, codes.shape[1], u.shape[2], u.shape[0])


def tile_cycles(
    u: torch.Tensor, arrays: Arrays, geometry: Geometry
) -> Iterator[tuple[Phase, list[Phase]]]:
    """Every bit-line sum of a layer, one cycle of a tile at a time.

    Args:
        u: input codes, uint8 (M, G, K); bits above `input_bits` are not applied.
        arrays: that hold the weights.
        geometry: of the layer.

    Yields:
        the cycle, and the bits that recover it, if any can.
    """
    g, K = geometry, u.shape[-1]
    inputs = (u.to(torch.int32) & 2**g.input_bits - 1).transpose(0, 1)

    def phase(index: int, pulses: torch.Tensor, tile: int, recoverable: bool = False) -> Phase:
        activity = (pulses > 0).sum(-1, keepdim=True)
        sums = arrays.sums(pulses, activity, tile, index)
        return Phase(index, activity, sums, recoverable)

    for t in range(g.tiles(K)):
        here = inputs[..., t * g.rows : (t + 1) * g.rows]
        found = []
        for i, (below, mask) in enumerate(bit_places(g.dac_widths)):
            bits = [phase(g.cycles + b, here >> b & 1, t) for b in g.recovered_bits(i)]
            found.append((phase(i, here >> below & mask, t, bool(bits)), bits))
        arrays.disturb(t, [cycle for cycle, _ in found])
        yield from found


def _converted(
    phase: Phase, j: int, s: int, tables: AdcTables, g: Geometry
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Levels, comparisons, and whether conversions start, of a slice and a sign, (G, M, N)."""
    bucket = torch.bucketize(phase.activity, tables.edges.long(), right=True) - 1
    sums = phase.sums[j][s]
    inside = sums.clamp(g.lowest, g.highest)
    table = tables.index[:, phase.index, j].long()[bucket].expand_as(sums)
    index = table.clamp(min=0), inside - g.lowest
    level = tables.levels.long()[index].where(table >= 0, 0)
    if phase.recoverable:
        level = level.where((inside == sums) | (table < 0), ESCAPE)
    made = tables.comparisons.long()[index].where(table >= 0, 0)
    starts = tables.comparisons.any(1)[index[0]] & (table >= 0)
    return level, made, starts


def crossbar(
    u: torch.Tensor,
    codes: torch.Tensor,
    tables: AdcTables,
    geometry: Geometry,
    chip: Chip | Odds | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bit-line sums, conversion and shift-add of a layer.

    Args:
        u: input codes, uint8 (M, G, K), or windows of codes in seven dimensions.
        codes: signed weight codes, (G, N, K), from -2^(b-1) to 2^(b-1) - 1.
        tables: of the ADCs.
        geometry: of the layer.
        chip: that holds the weights; None: ideal devices.

    Returns:
        acc, int32 (M, G, N): the shift-add result less the encoding's offset, in units of
        1 / `tables.unit`: with a lossless ADC that many times sum_k u_k q_k; and what is counted,
        as `counting.empty_counts` has it.

    Raises:
        ValueError: the accumulator could overflow.
    """
    u, g = u.reshape(sizes(u)), geometry
    M, G, K = u.shape
    check_accumulator(g, K, tables, ideal=chip is None)
    acc = torch.zeros(G, M, codes.shape[1], dtype=torch.int64, device=u.device)
    made, driven = no_counts(g, u.device)
    weights = g.significances().tolist()
    for cycle, bits in tile_cycles(u, arrays_of(u, codes, g, chip), g):
        again = torch.zeros(G, M, 1, dtype=torch.bool, device=u.device)
        for j, (s, sign) in product(range(g.slices), enumerate(g.signs)):
            level, comparisons, _ = _converted(cycle, j, s, tables, g)
            escaped = level == ESCAPE
            again |= escaped.any(-1, keepdim=True)
            acc += sign * weights[cycle.index][j] * level.where(~escaped, 0)
            made[cycle.index, j] += comparisons.sum()
            for bit in bits:
                level, comparisons, starts = _converted(bit, j, s, tables, g)
                acc += sign * weights[bit.index][j] * level * escaped
                made[bit.index, j] += (comparisons * escaped).sum()
                made[bit.index + g.recoveries, j] += (starts & escaped).sum()
        driven[cycle.index] += torch.bincount(cycle.activity.flatten(), minlength=g.rows + 1)
        for bit in bits:
            driven[bit.index] += torch.bincount(bit.activity[again], minlength=g.rows + 1)
    acc = acc.transpose(0, 1)
    if g.offset:
        total = (u.long() & 2**g.input_bits - 1).sum(-1, keepdim=True)
        acc = acc - tables.unit * 2 ** (g.weight_bits - 1) * total
    return acc.to(torch.int32).contiguous(), made, driven


def histogram(
    u: torch.Tensor,
    codes: torch.Tensor,
    edges: torch.Tensor,
    geometry: Geometry,
    chip: Chip | Odds | None = None,
) -> torch.Tensor:
    """How often each bit-line sum occurs, by activity bucket, phase and slice.

    Args:
        u: input codes, as `crossbar` takes them.
        codes: weight codes, likewise.
        edges: fewest driven word-lines of each bucket, rising from 0, int32 (B,).
        geometry: of the layer.
        chip: as `crossbar` takes it.

    Returns:
        int64 (B, I + R, J, V). Sums beyond the range of the tables count at its ends; recoveries
        are counted as if every sum of a cycle that drives a word-line escaped.
    """
    u, g = u.reshape(sizes(u)), geometry
    shape = (len(edges), g.phases, g.slices, g.values)
    bins = torch.zeros(shape, dtype=torch.int64, device=u.device)
    for cycle, bits in tile_cycles(u, arrays_of(u, codes, g, chip), g):
        for phase in (cycle, *bits):
            bucket = torch.bucketize(phase.activity, edges.long(), right=True) - 1
            start = bucket * g.values - g.lowest
            if phase is not cycle:
                start = start[cycle.activity > 0].unsqueeze(-1)
            for j, s in product(range(g.slices), range(len(g.signs))):
                sums = phase.sums[j][s].clamp(g.lowest, g.highest)
                if phase is not cycle:
                    sums = sums[cycle.activity[..., 0] > 0]
                found = torch.bincount((start + sums).flatten(), minlength=len(edges) * g.values)
                bins[:, phase.index, j] += found.view(-1, g.values)
    return bins
