"""A sample of the cycles that may be recovered, bit by bit: what recovering a sum would take."""

from __future__ import annotations

import math

import torch

from reram_torch.crossbar.cells import read_back
from reram_torch.crossbar.geometry import ceil_div, sizes
from reram_torch.nn.base import CrossbarLayer
from reram_torch.nn.statistics import Tries
from reram_torch.ops.reference import Phase, arrays_of, tile_cycles

_SUMS = 1 << 16  # of each cycle of a layer


class TrySampler:
    """Draws positions of a layer's inputs at random, and looks at all bit-lines there.

    Args:
        layer: its crossbars speculate.
        calls: batches that there will be; each gives its share of the sample.
    """

    def __init__(self, layer: CrossbarLayer, calls: int):
        g = layer.geometry
        conversions = layer.outputs * len(g.signs) * g.slices * g.tiles(layer.depth)
        self._left = max(ceil_div(_SUMS, conversions), 4)
        self._each = ceil_div(self._left, calls)
        self._random = torch.Generator().manual_seed(0)

    def look(self, layer: CrossbarLayer, u: torch.Tensor) -> dict[int, Tries]:
        """What some positions of input codes (M, G, K), or of windows of them, do, by cycle."""
        positions, _, depth = sizes(u)
        number = min(self._each, self._left, positions)
        self._left -= number
        if not number:
            return {}
        g = layer.geometry
        weights = layer.encoded()
        codes = read_back(weights.cells, g, layer.outputs // layer.groups, depth)
        drawn = self._drawn(u, number)
        arrays = arrays_of(drawn, codes, g, layer.chip(weights))
        found: dict[int, list[Tries]] = {}
        for cycle, bits in tile_cycles(drawn, arrays, g):
            if bits:
                found.setdefault(cycle.index, []).append(_tries(cycle, bits))
        return {i: Tries.joined(tiles) for i, tiles in found.items()}

    def _drawn(self, u: torch.Tensor, number: int) -> torch.Tensor:
        """Some positions, (number, G, K)."""
        shape = u.shape[:1] if u.dim() == 3 else u.shape[:3]
        at = torch.randint(math.prod(shape), (number,), generator=self._random)
        where = torch.unravel_index(at.to(u.device), shape)
        drawn = u[where]
        return drawn.reshape(number, *sizes(u)[1:])


def _tries(cycle: Phase, bits: list[Phase]) -> Tries:
    """Of the cycle of a tile; tiles of groups are tiles."""
    return Tries(
        cycle.activity.flatten().cpu(),
        _sums(cycle),
        torch.stack([bit.activity.flatten().cpu() for bit in bits], 1),
        torch.stack([_sums(bit) for bit in bits], 1),
    )


def _sums(phase: Phase) -> torch.Tensor:
    """By tile, slice and conversion, int32 (G M, J, N)."""
    by_slice = [torch.cat(signs, -1).flatten(0, 1) for signs in phase.sums]
    return torch.stack(by_slice, 1).to("cpu", torch.int32)
