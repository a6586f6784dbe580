"""How real inputs load a layer's word-lines: what wires take depends on it."""

from __future__ import annotations

import base64

import numpy as np
import torch

from reram_torch._support import processes
from reram_torch.crossbar.geometry import Geometry, bit_places, sizes

_LOOKED_AT = 512  # positions of an input
_KEPT = 32  # of these
_KEPT_IN_ALL = 128
_MOST = 255  # a share of 1


def digits_of_input(codes: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """What word-lines are driven with in each cycle, as shares of the largest pulse of it.

    Args:
        codes: of inputs, uint8.
        geometry: of the layer.

    Returns:
        float32 (I, ...).
    """
    places = bit_places(geometry.dac_widths)
    return torch.stack([(codes >> below & mask).float() / mask for below, mask in places])


class LineLoads:
    """How often word-lines are driven, as the cells see it that conduct.

    Sums err by what a driven cell loses to others, times the cells that are driven. So a
    tile-cycle counts by the square of its driven word-lines: of all numbers, its mean leaves the
    least squared error.

    Args:
        geometry: of the layer.
        groups: likewise.
        depth: word-lines of a group, K.
    """

    def __init__(self, geometry: Geometry, groups: int, depth: int):
        self.geometry = geometry
        self.groups, self.depth = groups, depth
        self.clear()

    def clear(self) -> None:
        """Forgets everything."""
        tiles = self.geometry.tiles(self.depth)
        self._driven = torch.zeros(self.groups, self.depth, dtype=torch.float64)
        self._weights = torch.zeros(self.groups, tiles, dtype=torch.float64)
        self.codes = torch.zeros(0, self.groups, self.depth, dtype=torch.uint8)

    def see(self, u: torch.Tensor) -> None:
        """Looks at some positions of input codes: (M, G, K), or windows of them."""
        M, G, K = sizes(u)
        if not M:
            return
        generator = torch.Generator().manual_seed(0)  # whatever came before, in which process
        if M > _LOOKED_AT:
            drawn = torch.randint(M, (_LOOKED_AT,), generator=generator)
        else:
            drawn = torch.randperm(M, generator=generator)
        positions = np.unravel_index(drawn.numpy(), u.shape[: 1 if u.dim() == 3 else 3])
        codes = u[tuple(torch.from_numpy(p).to(u.device) for p in positions)].reshape(-1, G, K)
        codes = codes.cpu()
        for digits in digits_of_input(codes, self.geometry).unbind():
            self._add(digits)
        if len(self.codes) < _KEPT_IN_ALL:
            self.codes = torch.cat([self.codes, codes[:_KEPT]])

    def _add(self, digits: torch.Tensor) -> None:
        """Adds cycles, (m, G, K)."""
        for tile in range(self._weights.shape[1]):
            rows = slice(tile * self.geometry.rows, (tile + 1) * self.geometry.rows)
            part = digits[..., rows].double()
            weights = part.sum(-1).square()
            self._driven[:, rows] += (weights[..., None] * part).sum(0)
            self._weights[:, tile] += weights.sum(0)

    def add_up(self) -> None:
        """Adds what all processes saw."""
        self._driven = processes.add_up(self._driven)
        self._weights = processes.add_up(self._weights)
        self.codes = torch.cat(processes.gather(self.codes))[:_KEPT_IN_ALL]

    def shares(self) -> torch.Tensor:
        """Of the time that a word-line is driven, in 1/255, uint8 (G, K)."""
        weights = self._weights.repeat_interleave(self.geometry.rows, 1)[:, : self.depth]
        return (_MOST * self._driven / weights.clamp(min=1e-30)).round().to(torch.uint8)

    def driven(self) -> float:
        """Word-lines that the most loaded tile drives."""
        shares, rows = self.shares().double() / _MOST, self.geometry.rows
        tiles = range(0, self.depth, rows)
        return max(float(shares[:, first : first + rows].sum(-1).max()) for first in tiles)


def as_text(shares: torch.Tensor) -> str:
    """Shares in 1/255, uint8 (G, K), as text."""
    return base64.b64encode(shares.numpy().tobytes()).decode()


def of_text(text: str, groups: int, depth: int) -> torch.Tensor:
    """The inverse, as shares of 1, float64 (G, K).

    Raises:
        ValueError: the text is of a layer of another shape.
    """
    shares = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    if shares.size != groups * depth:
        raise ValueError(
            f"the load of a layer of {groups} x {depth} word-lines must have as many, "
            f"not {shares.size}"
        )
    return torch.from_numpy(shares.astype(np.float64) / _MOST).view(groups, depth)
