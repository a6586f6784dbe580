"""Weights as the cells of crossbars hold them."""

from __future__ import annotations

from typing import NamedTuple

import torch

from reram_torch.crossbar.geometry import COLUMNS, LANES, Geometry


class CrossbarWeights(NamedTuple):
    """Weights as they lie on crossbars, and what brings results back to floats.

    Attributes:
        cells: int64 of shape `Geometry.cells_shape`.
        scale: s_w by output channel, (N,).
        code_sums: sum_k q_w, int32 (G, N / G).
        centers: c[n, t], subtracted from the codes that the cells hold, int16 (G, T, N / G); with
            no tile, T = 0, where weights have none.
        present: whether any cell of a slice holds anything, bool (J,): others do not exist.
    """

    cells: torch.Tensor
    scale: torch.Tensor
    code_sums: torch.Tensor
    centers: torch.Tensor
    present: torch.Tensor


def slices_of(cells: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Which slices hold anything in any of these cells, bool (J,)."""
    return (cells.flatten(0, -2) != 0).any(0)[: geometry.slices]


def check_cells(
    geometry: Geometry, cells: torch.Tensor, groups: int, outputs: int, depth: int
) -> None:
    """Raises ValueError if programmed cells have a wrong type or shape."""
    expected = geometry.cells_shape(groups, outputs, depth)
    if cells.dtype != torch.int64 or cells.shape != expected:
        raise ValueError(
            f"cells must be int64 of shape {expected}, not {cells.dtype} of {tuple(cells.shape)}"
        )


def encode(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Unsigned values that a weight's cells hold: (signs or 1, ...) planes of `codes`.

    One plane of q + 2^(b-1) for `offset`; else the positive and the negative magnitudes.
    """
    codes = codes.to(torch.int32)
    if geometry.offset:
        shifted: torch.Tensor = codes + 2 ** (geometry.weight_bits - 1)
        return shifted.unsqueeze(0)
    return torch.stack([codes.clamp(min=0), (-codes).clamp(min=0)])


def _places(geometry: Geometry, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """By slice and bit of a cell, int32 (1, J * C, 1, 1, 1): bits below it; 1 where there is one.

    The cells of a narrow slice have fewer bits than room.
    """
    shifts, exist, below = [], [], 0
    for width in geometry.cell_widths:
        shifts += [below + c for c in range(geometry.cell_bits)]
        exist += [int(c < width) for c in range(geometry.cell_bits)]
        below += width
    found = (torch.tensor(x, dtype=torch.int32, device=device) for x in (shifts, exist))
    there, is_one = (x.view(1, -1, 1, 1, 1) for x in found)
    return there, is_one


def program(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Packs weight codes, int8 or int16 (G, N, K), into the bits of their cells.

    Returns:
        int64 of shape `geometry.cells_shape(G, N, K)`.
    """
    G, N, K = codes.shape
    _, T, B, _, lines, _ = geometry.cells_shape(G, N, K)
    J, C = geometry.slices, geometry.cell_bits
    values = encode(codes, geometry)
    S = len(values)
    shifts, exist = _places(geometry, codes.device)
    bits = (values.unsqueeze(1) >> shifts & exist).to(torch.int64)
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
    shifts, _ = _places(geometry, cells.device)
    values = (planes[..., :outputs, :depth] << shifts).sum(1).to(torch.int16)
    less = 2 ** (geometry.weight_bits - 1) if geometry.offset else values[1]
    found: torch.Tensor = values[0] - less
    return found
