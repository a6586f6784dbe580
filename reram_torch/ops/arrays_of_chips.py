"""The definition of what a chip's ADCs read: bit-line sums of conductances, errors, rounding."""

from __future__ import annotations

from typing import Any

import torch

from reram_torch.crossbar.chips import FRACTION, Chip, unpacked
from reram_torch.crossbar.geometry import Geometry, ceil_div
from reram_torch.crossbar.philox import philox

GAIN_BITS = 16  # of a gain below the point
SIGMA_BITS, NORMAL_BITS = 4, 12  # of a unit of conductance; of a standard deviation
_HALF_STEP = 1 << FRACTION - 1
_WORD = 0xFFFFFFFF
_SECOND_PASS = 1 << 31


class ChipArrays:
    """The arrays of one layer on a chip.

    Args:
        chip: as it was programmed.
        geometry: of the layer.
        outputs: N, of a group.
        depth: K.
        positions: M; of both passes where inputs have a sign.
    """

    def __init__(self, chip: Chip, geometry: Geometry, outputs: int, depth: int, positions: int):
        self.chip, self.geometry, self.positions = chip, geometry, positions
        self.conductances = unpacked(chip.conductances, geometry, outputs, depth)
        numbers = chip.numbers.tolist()
        self.columns_per_adc, self.shift, *self.key, self.first, self.passes = numbers

    def sums(
        self, pulses: torch.Tensor, activity: torch.Tensor, tile: int, phase: int
    ) -> list[list[torch.Tensor]]:
        """What ADCs read of a tile, by slice and by sign of the shift-add, int64 (G, M, N).

        Args:
            pulses: digits on the word-lines of the tile, (G, M, R).
            activity: driven word-lines, int64 (G, M, 1).
            tile: t.
            phase: of the cycles and recovered bits.
        """
        g = self.geometry
        rows = slice(tile * g.rows, (tile + 1) * g.rows)
        driven = pulses.double()  # exact: sums are below 2^31
        found: list[list[torch.Tensor]] = []
        for j in range(g.slices):
            found.append([])
            for s in range(len(g.signs)):
                stored = self.conductances[s, j, :, :, rows].double()
                current = (driven @ stored.transpose(1, 2)).long()
                found[j].append(self._read(current, activity, tile, phase, s * g.slices + j))
        return found

    def disturb(self, tile: int, cycles: list[Any]) -> None:
        """Nothing more: errors are those of cells, ADCs and reads."""

    def _read(
        self, current: torch.Tensor, activity: torch.Tensor, tile: int, phase: int, column: int
    ) -> torch.Tensor:
        """The integers that thresholds tell currents (G, M, N), in units of conductance, to be."""
        chip, (G, _, N) = self.chip, current.shape
        ours = ceil_div(N, self.columns_per_adc)  # ADCs of a group's tile
        groups = torch.arange(G, device=current.device).view(G, 1, 1)
        columns = torch.arange(N, device=current.device)
        tiles = groups * (chip.conductances.shape[1]) + tile
        adc = (column * G * chip.conductances.shape[1] + tiles) * ours
        adc = adc + columns // self.columns_per_adc  # (G, 1, N)
        rounded = self._rounded(current)
        if chip.gains.numel():
            current = current * chip.gains.long()[adc] + (1 << GAIN_BITS - 1) >> GAIN_BITS
        if chip.offsets.numel():
            current = current + chip.offsets.long()[adc]
        if chip.sigmas.numel():
            places = tiles * self.geometry.phases + phase
            current = current + self._noise(rounded, activity, places, column)
        if chip.mismatch.numel():
            at = self._rounded(current) - self.geometry.lowest
            current = current + chip.mismatch.long()[adc, at]
        return current + _HALF_STEP >> FRACTION

    def _rounded(self, current: torch.Tensor) -> torch.Tensor:
        g = self.geometry
        return (current + _HALF_STEP >> FRACTION).clamp(g.lowest, g.highest)

    def _noise(
        self, sums: torch.Tensor, activity: torch.Tensor, places: torch.Tensor, column: int
    ) -> torch.Tensor:
        """Noise of each conversion, (G, M, N), by its place."""
        chip, (_, M, N) = self.chip, sums.shape
        each = M // self.passes
        rows = torch.arange(M, device=sums.device).view(M, 1)
        position = self.first + rows % each if each else rows
        high = position >> 32 | torch.where(rows >= each, _SECOND_PASS, 0)
        quads = column * ceil_div(N, 4) + torch.arange(ceil_div(N, 4), device=sums.device)
        key = self.key[0], self.key[1]
        words = torch.stack(philox((position & _WORD, high, places, quads), key), -1)
        drawn = normals(words.flatten(-2)[..., :N], chip.normal)
        of_sum = (sums.abs() >> self.shift).clamp(max=chip.sigmas.shape[1] - 1)
        sigma = chip.sigmas.long()[chip.sigma_of.long()[activity], of_sum]
        bits = SIGMA_BITS + NORMAL_BITS
        return sigma * drawn + (1 << bits - 1) >> bits


def normals(words: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Standard normal numbers, int64 in 1/4096, of 32-bit words.

    Args:
        words: int64.
        table: int16 (2, 65536), as `crossbar.normals` has it.
    """
    high, low = words >> 16, words & 0xFFFF
    body, tail = table[0].long()[high], table[1].long()[low]
    return torch.where(high == 0, -tail, torch.where(high == 0xFFFF, tail, body))
