"""Centers of weights: what is subtracted before they become cells, and added digitally.

A differential pair whose columns hold as much positive as negative weight has small sums. So an
integer c[n, t] for each output and tile is subtracted from its codes, and c[n, t] * sum_k u_k over
the tile's inputs is added to its result. It is chosen as in RAELLA (Andrulis et al., ISCA 2023):
to make the slices' column sums small, the high ones above all.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from reram_torch.crossbar.geometry import Geometry, bit_places

_MOST_COUNTS = 1 << 22  # of outputs' codes that are looked at together


def centers_of(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """The center of each output in each tile.

    It is the c that makes the least of

        sum_j (2^(bits below slice j) * sum_k slice_j(q_k - c))^4,

    with slice_j of a magnitude, negative where q_k < c; the least one in size of those.

    Args:
        codes: weight codes, int8 (G, N, K), symmetric about zero.
        geometry: of the layer.

    Returns:
        int16 (G, T, N).
    """
    G, N, K = codes.shape
    T, most = geometry.tiles(K), 2 ** (geometry.weight_bits - 1) - 1
    padded = F.pad(codes.long(), (0, T * geometry.rows - K), value=most + 1)
    rows = padded.view(G, N, T, geometry.rows).transpose(1, 2).reshape(-1, geometry.rows)
    # Nearest to zero first, so that the first of the best is the one that is wanted.
    tried = torch.arange(-most, most + 1, device=codes.device)
    tried = tried[tried.abs().argsort(stable=True)]
    values = torch.arange(-most, most + 1, device=codes.device)
    away = values.unsqueeze(1) - tried  # (value, center)
    found = []
    step = max(1, _MOST_COUNTS // (2 * most + 2))
    for part in (rows[k : k + step] for k in range(0, len(rows), step)):
        counts = torch.zeros(len(part), 2 * most + 2, dtype=torch.float64, device=codes.device)
        counts.scatter_add_(1, part + most, torch.ones_like(part, dtype=torch.float64))
        cost = torch.zeros(len(part), len(tried), dtype=torch.float64, device=codes.device)
        for below, mask in bit_places(geometry.cell_widths):
            weights = (away.abs() >> below & mask) * away.sign() << below
            cost += (counts[:, :-1] @ weights.double()).square().square()  # rounds alike everywhere
        found.append(tried[cost.argmin(1)])
    return torch.cat(found).view(G, T, N).to(torch.int16)


def no_centers(codes: torch.Tensor) -> torch.Tensor:
    """Those of weights (G, N, K) without any: int16 (G, 0, N)."""
    return codes.new_empty((codes.shape[0], 0, codes.shape[1]), dtype=torch.int16)


def less_centers(codes: torch.Tensor, centers: torch.Tensor, rows: int) -> torch.Tensor:
    """Weight codes (G, N, K) less their centers (G, T, N), int16."""
    K = codes.shape[2]
    each = centers.transpose(1, 2).repeat_interleave(rows, 2)[..., :K]
    return codes.to(torch.int16) - each


def of_centers(u: torch.Tensor, centers: torch.Tensor, rows: int, mask: int) -> torch.Tensor:
    """What the centers add to the results, sum_t c[n, t] * sum over tile t of u, exact.

    Args:
        u: input codes, uint8 (M, G, K).
        centers: (G, T, N).
        rows: word-lines of a tile.
        mask: the bits of a code that are applied.

    Returns:
        int32 (M, G, N).
    """
    M, G, K = u.shape
    T = centers.shape[1]
    padded = F.pad(u & mask, (0, T * rows - K))
    totals = padded.view(M, G, T, rows).sum(-1, dtype=torch.int32).double()
    return torch.einsum("mgt,gtn->mgn", totals, centers.double()).to(torch.int32)
