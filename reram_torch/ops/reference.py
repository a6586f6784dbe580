"""The definition: what a crossbar computes, in plain torch, for every geometry.

Every other backend must return the same integers. Shapes: M positions, G groups, K inputs and N
outputs per group, I cycles, J slices, V possible bit-line sums.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from reram_torch.crossbar.cells import encode
from reram_torch.crossbar.counting import no_counts
from reram_torch.crossbar.geometry import Geometry, bit_places, sizes
from reram_torch.crossbar.tables import AdcTables, check_accumulator


def bit_line_sums(
    u: torch.Tensor, codes: torch.Tensor, geometry: Geometry
) -> Iterator[tuple[int, int, int, torch.Tensor, torch.Tensor]]:
    """Every bit-line sum of a layer, one (tile, cycle, slice, sign) at a time.

    Args:
        u: input codes, uint8 (M, G, K); bits above `input_bits` are not applied.
        codes: weight codes, (G, N, K).
        geometry: of the layer.

    Yields:
        cycle i, slice j, the sign of the level in the shift-add, how many word-lines are driven,
        int64 (G, M, 1), and the sums, int64 (G, M, N).
    """
    K = u.shape[-1]
    inputs = (u.to(torch.int32) & 2**geometry.input_bits - 1).transpose(0, 1)
    cells = encode(codes, geometry)
    pulses, slices = bit_places(geometry.dac_widths), bit_places(geometry.cell_widths)
    for t in range(geometry.tiles(K)):
        rows = slice(t * geometry.rows, (t + 1) * geometry.rows)
        for i, (below, mask) in enumerate(pulses):
            # Products in float64: exact, and far faster than integer matrix products.
            driven = (inputs[..., rows] >> below & mask).double()
            activity = (driven > 0).sum(-1, keepdim=True)
            for j, (below_cell, cell_mask) in enumerate(slices):
                stored = (cells[..., rows] >> below_cell & cell_mask).double()
                sums = [(driven @ part.transpose(1, 2)).long() for part in stored]
                if geometry.signed:
                    sums = [sums[0] - sums[1]]
                for sign, part in zip(geometry.signs, sums, strict=True):
                    yield i, j, sign, activity, part


def crossbar(
    u: torch.Tensor, codes: torch.Tensor, tables: AdcTables, geometry: Geometry
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bit-line sums, conversion and shift-add of a layer.

    Args:
        u: input codes, uint8 (M, G, K), or windows of codes in seven dimensions.
        codes: signed weight codes, (G, N, K), from -2^(b-1) to 2^(b-1) - 1.
        tables: of the ADCs.
        geometry: of the layer.

    Returns:
        acc, int32 (M, G, N): the shift-add result less the encoding's offset, in units of
        1 / `tables.unit`: with a lossless ADC that many times sum_k u_k q_k; comparisons, int64
        (I, J): A/D operations by cycle and slice; and driven, int64 (I, rows + 1): how many
        tile-cycles drove exactly so many word-lines, those of a position's tile once, whatever its
        bit-lines.

    Raises:
        ValueError: the accumulator could overflow.
    """
    u = u.reshape(sizes(u))
    M, G, K = u.shape
    N = codes.shape[1]
    check_accumulator(geometry, K, tables)
    acc = torch.zeros(G, M, N, dtype=torch.int64, device=u.device)
    comparisons, driven = no_counts(geometry, u.device)
    for i, j, sign, activity, sums in bit_line_sums(u, codes, geometry):
        bucket = torch.bucketize(activity, tables.edges.long(), right=True) - 1
        table = tables.index[:, i, j].long()[bucket].expand_as(sums)
        converted = table >= 0
        index = table.clamp(min=0), sums - geometry.lowest
        significance = geometry.significance(i, j)
        acc += sign * significance * converted * tables.levels.long()[index]
        comparisons[i, j] += (converted * tables.comparisons.long()[index]).sum()
        if j == 0 and sign > 0:
            driven[i] += torch.bincount(activity.flatten(), minlength=geometry.rows + 1)
    acc = acc.transpose(0, 1)
    if geometry.offset:
        total = (u.long() & 2**geometry.input_bits - 1).sum(-1, keepdim=True)
        acc = acc - tables.unit * 2 ** (geometry.weight_bits - 1) * total
    return acc.to(torch.int32).contiguous(), comparisons, driven


def histogram(
    u: torch.Tensor, codes: torch.Tensor, edges: torch.Tensor, geometry: Geometry
) -> torch.Tensor:
    """How often each bit-line sum occurs, by activity bucket, cycle and slice: int64 (B, I, J, V).

    `edges`: fewest driven word-lines of each bucket, rising from 0, int32 (B,).
    """
    u = u.reshape(sizes(u))
    values = geometry.values
    shape = (len(edges), geometry.cycles, geometry.slices, values)
    bins = torch.zeros(shape, dtype=torch.int64, device=u.device)
    for i, j, _, activity, sums in bit_line_sums(u, codes, geometry):
        bucket = (torch.bucketize(activity, edges.long(), right=True) - 1).expand_as(sums)
        flat = (bucket * values + sums - geometry.lowest).flatten()
        bins[:, i, j] += torch.bincount(flat, minlength=len(edges) * values).view(-1, values)
    return bins
