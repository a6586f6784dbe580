"""The definition: what a crossbar computes, in plain torch, for every geometry.

Every other backend must return the same integers. Shapes: M positions, G groups, K inputs and N
outputs per group, I cycles, J slices, V possible bit-line sums.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from reram_torch.mapping import Geometry, check_accumulator, encode


def bit_line_sums(
    u: torch.Tensor, codes: torch.Tensor, geometry: Geometry
) -> Iterator[tuple[int, int, int, torch.Tensor]]:
    """Every bit-line sum of a layer, one (tile, cycle, slice, sign) at a time.

    Args:
        u: input codes, uint8 (M, G, K); bits above `input_bits` are not applied.
        codes: weight codes, (G, N, K).
        geometry: of the layer.

    Yields:
        cycle i, slice j, the sign of the level in the shift-add, and the sums, int64 (G, M, N).
    """
    K = u.shape[-1]
    inputs = (u.to(torch.int32) & 2**geometry.input_bits - 1).transpose(0, 1)
    cells = encode(codes, geometry)
    dac_mask, cell_mask = 2**geometry.dac_bits - 1, 2**geometry.cell_bits - 1
    for t in range(geometry.tiles(K)):
        rows = slice(t * geometry.rows, (t + 1) * geometry.rows)
        for i in range(geometry.cycles):
            # Products in float64: exact, and far faster than integer matrix products.
            driven = (inputs[..., rows] >> i * geometry.dac_bits & dac_mask).double()
            for j in range(geometry.slices):
                stored = (cells[..., rows] >> j * geometry.cell_bits & cell_mask).double()
                sums = [(driven @ part.transpose(1, 2)).long() for part in stored]
                if geometry.signed:
                    sums = [sums[0] - sums[1]]
                for sign, part in zip(geometry.signs, sums, strict=True):
                    yield i, j, sign, part


def crossbar(
    u: torch.Tensor,
    codes: torch.Tensor,
    levels: torch.Tensor,
    comparisons: torch.Tensor,
    geometry: Geometry,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bit-line sums, conversion and shift-add of a layer.

    Args:
        u: input codes, uint8 (M, G, K).
        codes: signed weight codes, (G, N, K), from -2^(b-1) to 2^(b-1) - 1.
        levels: decoded level by bit-line sum, int32 (1 or J, V), from `geometry.lowest`.
        comparisons: A/D operations by bit-line sum, uint8 (1 or J, V).
        geometry: of the layer.

    Returns:
        acc, int32 (M, G, N): the shift-add result less the encoding's offset, which is
        sum_k u_k q_k with a lossless ADC; and counts, int64 (2, J): conversions and comparisons.

    Raises:
        ValueError: the accumulator could overflow.
    """
    M, G, K = u.shape
    N = codes.shape[1]
    check_accumulator(geometry, K, levels)
    acc = torch.zeros(G, M, N, dtype=torch.int64, device=u.device)
    counts = torch.zeros(2, geometry.slices, dtype=torch.int64, device=u.device)
    for i, j, sign, sums in bit_line_sums(u, codes, geometry):
        table = j if levels.shape[0] > 1 else 0
        index = sums - geometry.lowest
        significance = 2 ** (i * geometry.dac_bits + j * geometry.cell_bits)
        acc += sign * significance * levels[table].long()[index]
        counts[0, j] += sums.numel()
        counts[1, j] += comparisons[table].long()[index].sum()
    acc = acc.transpose(0, 1)
    if geometry.offset:
        driven = (u.long() & 2**geometry.input_bits - 1).sum(-1, keepdim=True)
        acc = acc - 2 ** (geometry.weight_bits - 1) * driven
    return acc.to(torch.int32).contiguous(), counts


def histogram(u: torch.Tensor, codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """How often each bit-line sum is converted, by cycle and slice: int64 (I, J, V)."""
    values = geometry.highest - geometry.lowest + 1
    bins = torch.zeros(geometry.cycles, geometry.slices, values, dtype=torch.int64, device=u.device)
    for i, j, _, sums in bit_line_sums(u, codes, geometry):
        bins[i, j] += torch.bincount((sums - geometry.lowest).flatten(), minlength=values)
    return bins
